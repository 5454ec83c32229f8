//! The link to Kontena Cloud, decided: whether it is wanted and to where, when the next try comes, and which users are
//! told of an event. The rules are the original's.

mod master_info;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use thiserror::Error;
use url::Url;

use crate::access::{Actor, Role};
use crate::id::Id;
use crate::login::{Provider, says_true};

pub use master_info::MasterInfo;

/// What stands behind the address of the socket.
const PATH: &str = "/platform";
/// Whose authentication providers the cloud knows.
const DOMAIN: &str = "kontena.io";
/// From this attempt on the pause is not doubled any more.
const DOUBLED_UNTIL: u32 = 16;

/// Where the cloud is, and as whom to come. The secret never shows in `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// Of the WebSocket.
    pub url: Url,
    /// The master's name at the authentication provider.
    pub client_id: String,
    /// The master's secret there.
    pub client_secret: String,
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// Why there is no link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Off {
    /// Keys of the provider are missing.
    #[error("the authentication provider is not complete: the oauth2 keys and server.root_url make it so")]
    NoProvider,
    /// It is somebody else's.
    #[error(
        "the authentication provider is not Kontena's: cloud.provider_is_kontena is not \"true\", and \
         oauth2.authorize_endpoint is not at kontena.io"
    )]
    OtherProvider,
    /// It is switched off.
    #[error("cloud.enabled is not \"true\"")]
    Disabled,
    /// There is no address.
    #[error("cloud.socket_uri is not set")]
    NoAddress,
    /// The address cannot be used.
    #[error("cloud.socket_uri is no address of a WebSocket: it begins with ws:// or wss://")]
    BadAddress,
}

impl Target {
    /// From the configuration's values by their keys, secrets decrypted.
    pub fn from_configuration(values: &BTreeMap<String, Value>) -> Result<Self, Off> {
        let provider = provider(values)?;
        if !says_true(values, "cloud.enabled") {
            return Err(Off::Disabled);
        }
        let address = values.get("cloud.socket_uri").and_then(Value::as_str).unwrap_or_default();
        let address = address.trim_end_matches('/');
        if address.is_empty() {
            return Err(Off::NoAddress);
        }
        let url = Url::parse(&format!("{address}{PATH}")).map_err(|_| Off::BadAddress)?;
        if !matches!(url.scheme(), "ws" | "wss") || url.host().is_none() {
            return Err(Off::BadAddress);
        }
        Ok(Self { url, client_id: provider.client_id, client_secret: provider.client_secret })
    }
}

/// The authentication provider, if it is complete and Kontena's.
fn provider(values: &BTreeMap<String, Value>) -> Result<Provider, Off> {
    let provider = Provider::from_configuration(values).ok_or(Off::NoProvider)?;
    let is_kontena = provider.authorize_host().is_some_and(|host| host.ends_with(DOMAIN));
    if is_kontena || says_true(values, "cloud.provider_is_kontena") {
        Ok(provider)
    } else {
        Err(Off::OtherProvider)
    }
}

/// How soon one tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Before the first try, and the base of the pauses between later ones.
    pub first: Duration,
    /// The longest pause.
    pub most: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: Duration::from_secs(5), most: Duration::from_secs(120) }
    }
}

impl Pace {
    /// The pause before another try, after so many `attempts` since the last success. `chance` is drawn from 0 to 1.
    #[must_use]
    pub fn again(&self, attempts: u32, chance: f64) -> Duration {
        let most = match 2_u32.checked_pow(attempts) {
            Some(factor) if attempts <= DOUBLED_UNTIL => self.first.saturating_mul(factor).min(self.most),
            Some(_) | None => self.most,
        };
        most.mul_f64(if chance.is_finite() { chance.clamp(0.0, 1.0) } else { 1.0 })
    }
}

/// By which names the cloud knows those who may see a grid: the master administrators first, then its users. Without a
/// grid, only those. Who never logged in through the provider has no such name.
pub fn audience<'a>(
    users: impl Iterator<Item = (&'a Actor, Option<&'a str>)> + Clone,
    grid: Option<Id>,
) -> Vec<String> {
    let is_admin = |actor: &Actor| actor.roles.contains(&Role::MasterAdmin);
    let admins = users.clone().filter(|(actor, _)| is_admin(actor));
    let others =
        users.filter(|(actor, _)| !is_admin(actor) && grid.is_some_and(|grid| actor.grids.contains(&grid)));
    admins.chain(others).filter_map(|(_, name)| name.map(str::to_owned)).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    pub(crate) fn complete() -> BTreeMap<String, Value> {
        [
            ("oauth2.authorize_endpoint", json!("https://cloud.kontena.io/authorize")),
            ("oauth2.token_endpoint", json!("https://cloud.kontena.io/token")),
            ("oauth2.userinfo_endpoint", json!("https://cloud.kontena.io/user")),
            ("oauth2.client_id", json!("cid")),
            ("oauth2.client_secret", json!("hush")),
            ("server.root_url", json!("http://master.example.com")),
            ("cloud.enabled", json!("true")),
            ("cloud.socket_uri", json!("wss://socket.kontena.io")),
        ]
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
    }

    #[test]
    fn the_link_is_wanted_once_everything_is_there() {
        let target = Target::from_configuration(&complete()).unwrap();
        assert_eq!(target.url.as_str(), "wss://socket.kontena.io/platform");
        assert!(!format!("{target:?}").contains("hush"));
        let table: [(&str, Value, Option<Off>); 11] = [
            ("oauth2.client_id", Value::Null, Some(Off::NoProvider)),
            ("oauth2.client_secret", json!(""), Some(Off::NoProvider)),
            ("server.root_url", Value::Null, Some(Off::NoProvider)),
            ("oauth2.authorize_endpoint", json!("https://example.com/a"), Some(Off::OtherProvider)),
            ("cloud.enabled", json!("false"), Some(Off::Disabled)),
            ("cloud.enabled", Value::Null, Some(Off::Disabled)),
            ("cloud.enabled", json!(true), None),
            ("cloud.socket_uri", Value::Null, Some(Off::NoAddress)),
            ("cloud.socket_uri", json!("/"), Some(Off::NoAddress)),
            ("cloud.socket_uri", json!("https://socket.kontena.io"), Some(Off::BadAddress)),
            ("cloud.socket_uri", json!("ws://127.0.0.1:9/"), None),
        ];
        for (key, value, off) in table {
            let mut values = complete();
            values.insert(key.to_owned(), value.clone());
            assert_eq!(Target::from_configuration(&values).err(), off, "{key} {value}");
        }
        let mut other = complete();
        other.insert("oauth2.authorize_endpoint".to_owned(), json!("https://example.com/a"));
        other.insert("cloud.provider_is_kontena".to_owned(), json!("true"));
        assert!(Target::from_configuration(&other).is_ok());
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_are_drawn_from_all_of_it() {
        let pace = Pace::default();
        let seconds: Vec<u64> = [0, 1, 2, 4, 5, 16, 17, 32, u32::MAX]
            .into_iter()
            .map(|attempts| pace.again(attempts, 1.0).as_secs())
            .collect();
        assert_eq!(seconds, [5, 10, 20, 80, 120, 120, 120, 120, 120]);
        assert_eq!(pace.again(3, 0.0), Duration::ZERO);
        assert_eq!(pace.again(3, 0.25), Duration::from_secs(10));
        assert_eq!(pace.again(0, f64::NAN), Duration::from_secs(5));
    }

    #[test]
    fn administrators_hear_everything_and_members_of_their_grids() {
        let (one, two) = (Id::from_bytes([1; 12]), Id::from_bytes([2; 12]));
        let actor = |number: u8, admin: bool, grids: &[Id]| Actor {
            id: Id::from_bytes([number; 12]),
            email: format!("{number}@x.y"),
            roles: admin.then_some(Role::MasterAdmin).into_iter().collect(),
            grids: grids.iter().copied().collect::<BTreeSet<Id>>(),
        };
        let users = [
            (actor(5, false, &[one]), Some("member")),
            (actor(6, true, &[one]), Some("admin")),
            (actor(7, false, &[two]), Some("other")),
            (actor(8, false, &[one]), None),
        ];
        let users = || users.iter().map(|(actor, name)| (actor, *name));
        assert_eq!(audience(users(), Some(one)), ["admin", "member"]);
        assert_eq!(audience(users(), Some(two)), ["admin", "other"]);
        assert_eq!(audience(users(), None), ["admin"]);
    }
}
