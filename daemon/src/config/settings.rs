//! The checked configuration: what was merged, with the defaults filled in, or everything that is wrong with it.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use kontena_core::agents::Tolerance;
use kontena_core::agents::version::Version;
use kontena_core::election::{TTL_DEFAULT, Timing};
use kontena_core::token::Digester;
use kontena_core::vault;
use kontena_server::{AdminToken, AgentSettings, CloudSettings, ConfigurationDefaults, Settings, Tunables};
use kontena_store::DatabaseUri;
use secrecy::{ExposeSecret, SecretString};

use super::acme;
use super::fault::{Fault, Place};
use super::fragment::{Fragment, Sourced, Value};
use super::key::{self, Key};

/// The API version that command lines and agents compare with: the last release of the original.
const COMPAT_VERSION: &str = "1.5.4";
/// How long an agent may take to answer a ping.
const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// Less than from one ping to the next.
const PING_TIMEOUT_RANGE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(29));
/// How far the clocks of agents may be off.
const CLOCK_SKEW: Duration = Duration::from_secs(1);
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(3600);
/// The original's port.
const LISTEN: &str = "0.0.0.0:9292";
const DRAIN_GRACE: Duration = Duration::from_secs(5);
const DRAIN_GRACE_MAX: Duration = Duration::from_secs(300);
const ADMIN_SOCKET: &str = "/run/kontena-master/admin.sock";
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
/// The shortest token that is taken for a secret, in characters.
const TOKEN_MIN: usize = 16;

/// All that the program is told.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// For the master itself.
    pub(crate) settings: Settings,
    /// Where administrators on this host connect.
    pub(crate) admin_socket: PathBuf,
    /// The token for administrators elsewhere.
    pub(crate) admin_token: Option<SecretString>,
    /// What is logged.
    pub(crate) log_level: String,
    /// What is not as it seems, though it can be used.
    pub(crate) warnings: Vec<String>,
    merged: Fragment,
}

impl Config {
    /// The keys whose values differ in `other`.
    pub(crate) fn changes(&self, other: &Self) -> Vec<&'static Key> {
        self.merged.changes(&other.merged)
    }

    /// What is set, by key, with the place where it was read. Secrets are shown as such.
    pub(crate) fn described(&self) -> Vec<(&'static str, String, String)> {
        let describe = |key: &'static Key| {
            let found = self.merged.get(key)?;
            let value = match &found.value {
                Value::Text(text) => format!("{text:?}"),
                Value::Secret(_) => "a secret, not shown".to_owned(),
                Value::Flag(flag) => flag.to_string(),
            };
            Some((key.name, value, found.place.to_string()))
        };
        key::ALL.into_iter().filter_map(describe).collect()
    }
}

/// Checks what was merged. `looked_in` says where a value that is missing could stand.
pub(super) fn check(merged: Fragment, looked_in: &str) -> Result<Config, Vec<Fault>> {
    let mut check = Check { merged: &merged, faults: Vec::new() };
    let database = check.database(looked_in);
    let listen = check.listen();
    let advertise = check.advertise();
    let timing = check.timing();
    let drain_grace = check.drain_grace();
    let log_level = check.log_level();
    let (vault_key, vault_iv) =
        (check.vault(&key::VAULT_KEY, vault::KEY_MIN), check.vault(&key::VAULT_IV, vault::IV_MIN));
    let admin_token = check.admin_token();
    let compat_version = check.compat_version();
    let agents = check.agents();
    let trusted_proxies = check.trusted_proxies();
    let (acme, warning) = acme::settings(&mut check);
    let initial_admin_code = check.secret(&key::INITIAL_ADMIN_CODE).map(|(code, _)| code.clone());
    let name = check.text(&key::NAME).map_or_else(host_name, |(name, _)| name.to_owned());
    let eligible = check.flag(&key::ELIGIBLE).unwrap_or(true);
    let preferred = check.flag(&key::PREFERRED).unwrap_or(false);
    let admin_socket =
        check.text(&key::ADMIN_SOCKET).map_or_else(|| PathBuf::from(ADMIN_SOCKET), |(path, _)| path.into());
    let (Some(database), Some(listen), Some(timing), true) =
        (database, listen, timing, check.faults.is_empty())
    else {
        return Err(check.faults);
    };
    let vault_key = vault_key.as_ref().map(|key| key.expose_secret().as_bytes());
    let vault_iv = vault_iv.as_ref().map(|iv| iv.expose_secret().as_bytes());
    let vault_proof = vault_key.map(|key| vault::proof(key, vault_iv));
    let settings = Settings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        name,
        database: DatabaseUri::from(database),
        advertise,
        tunables: Tunables {
            timing,
            eligible,
            preferred,
            admin_token: admin_token.clone().map(AdminToken::new),
            drain_grace,
        },
        fingerprint: fingerprint(&compat_version, vault_proof.as_deref()),
        compat_version,
        vault_proof,
        vault: vault_key.map(|key| vault::Vault::new(key, vault_iv)),
        token_digester: vault_key.map(Digester::new),
        initial_admin_code,
        trusted_proxies,
        configuration_defaults: ConfigurationDefaults::default(),
        probe_every: None,
        trace: None,
        agents,
        acme,
        cloud: CloudSettings::default(),
        listen,
    };
    let warnings = warning.into_iter().collect();
    Ok(Config { settings, admin_socket, admin_token, log_level, warnings, merged })
}

pub(super) struct Check<'a> {
    merged: &'a Fragment,
    faults: Vec<Fault>,
}

impl<'a> Check<'a> {
    pub(super) fn text(&self, key: &Key) -> Option<(&'a str, &'a Place)> {
        match self.merged.get(key)? {
            Sourced { value: Value::Text(text), place } => Some((text, place)),
            Sourced { value: Value::Secret(_) | Value::Flag(_), .. } => None,
        }
    }

    fn secret(&self, key: &Key) -> Option<(&'a SecretString, &'a Place)> {
        match self.merged.get(key)? {
            Sourced { value: Value::Secret(secret), place } => Some((secret, place)),
            Sourced { value: Value::Text(_) | Value::Flag(_), .. } => None,
        }
    }

    fn flag(&self, key: &Key) -> Option<bool> {
        match self.merged.get(key)?.value {
            Value::Flag(flag) => Some(flag),
            Value::Text(_) | Value::Secret(_) => None,
        }
    }

    pub(super) fn fault(&mut self, place: &Place, key: &Key, message: impl Into<String>) {
        self.faults.push(Fault::of(place.clone(), key, message));
    }

    fn database(&mut self, looked_in: &str) -> Option<SecretString> {
        let Some((uri, place)) = self.secret(&key::MONGODB_URI) else {
            let message = "is missing: write, for instance, uri = \
                 \"mongodb://host1,host2,host3/kontena_server?replicaSet=rs0\" below [mongodb], set MONGODB_URI, \
                 or run kontena-master bootstrap";
            self.fault(&Place::Missing(looked_in.to_owned()), &key::MONGODB_URI, message);
            return None;
        };
        if let Err(error) = DatabaseUri::from(uri.clone()).check() {
            self.fault(place, &key::MONGODB_URI, error.to_string());
        }
        Some(uri.clone())
    }

    fn listen(&mut self) -> Option<SocketAddr> {
        let Some((text, place)) = self.text(&key::LISTEN) else { return LISTEN.parse().ok() };
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let message =
                format!("is {text:?}, which is not an address and a port: write it like {LISTEN:?}");
            self.fault(place, &key::LISTEN, message);
        }
        parsed
    }

    fn advertise(&mut self) -> Option<String> {
        let (text, place) = self.text(&key::ADVERTISE)?;
        let host = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains('/')) {
            let message = format!(
                "is {text:?}, which is not where a master is reached: write it like \"http://10.0.0.11:9292\""
            );
            self.fault(place, &key::ADVERTISE, message);
        }
        Some(text.to_owned())
    }

    fn trusted_proxies(&mut self) -> Vec<IpNet> {
        let Some((text, place)) = self.text(&key::TRUSTED_PROXIES) else { return Vec::new() };
        let mut networks = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let network = part.parse().ok().or_else(|| Some(IpNet::from(part.parse::<IpAddr>().ok()?)));
            if network.is_none() {
                let message = format!(
                    "has {part:?}, which is neither an address nor a network: write it like \"10.0.0.5, 10.1.0.0/16\""
                );
                self.fault(place, &key::TRUSTED_PROXIES, message);
            }
            networks.extend(network);
        }
        networks
    }

    fn timing(&mut self) -> Option<Timing> {
        let (ttl, place) = self.time(&key::LEASE_TTL, TTL_DEFAULT)?;
        match Timing::new(ttl) {
            Ok(timing) => Some(timing),
            Err(error) => {
                let message = format!("is {} ms: {error}", ttl.as_millis());
                self.fault(&place, &key::LEASE_TTL, message);
                None
            }
        }
    }

    fn drain_grace(&mut self) -> Duration {
        self.time_within(&key::DRAIN_GRACE, DRAIN_GRACE, Duration::ZERO, DRAIN_GRACE_MAX)
    }

    /// A time that must lie between two others; without one, or a wrong one, the default.
    fn time_within(
        &mut self,
        key: &'static Key,
        default: Duration,
        least: Duration,
        most: Duration,
    ) -> Duration {
        let Some((time, place)) = self.time(key, default) else { return default };
        let seconds = time.as_secs_f64();
        if time < least {
            self.fault(&place, key, format!("is {seconds} s: at least {} s are needed", least.as_secs()));
        } else if time > most {
            self.fault(&place, key, format!("is {seconds} s: at most {} s are possible", most.as_secs()));
        }
        time
    }

    fn compat_version(&mut self) -> String {
        let Some((text, place)) = self.text(&key::COMPAT_VERSION) else { return COMPAT_VERSION.to_owned() };
        let segments = text.split('.').take_while(|part| part.parse::<u32>().is_ok()).count();
        // Agents write it into a file of variables, and pull the image that is tagged with it.
        if segments < 3 || Version::parse(text).is_none() || text.len() > 32 {
            let message = format!(
                "is {text:?}, which is no release of the original: write it like {COMPAT_VERSION:?} (agents run the \
                 image of this version)"
            );
            self.fault(place, &key::COMPAT_VERSION, message);
        }
        text.to_owned()
    }

    fn agents(&mut self) -> AgentSettings {
        let (least, most) = PING_TIMEOUT_RANGE;
        let ping_timeout = self.time_within(&key::PING_TIMEOUT, PING_TIMEOUT, least, most);
        let skew = self.time_within(&key::CLOCK_SKEW, CLOCK_SKEW, Duration::ZERO, CLOCK_SKEW_MAX);
        // An agent notes the time before it dials, which may take as long as a ping.
        let tolerance = Tolerance { connect: ping_timeout.as_secs_f64(), skew: skew.as_secs_f64() };
        AgentSettings { ping_timeout, tolerance, ..AgentSettings::default() }
    }

    fn log_level(&mut self) -> String {
        let Some((text, place)) = self.text(&key::LOG_LEVEL) else { return "info".to_owned() };
        let level = text.to_lowercase();
        if !LEVELS.contains(&level.as_str()) {
            let message = format!("is {text:?}: write one of {}", LEVELS.join(", "));
            self.fault(place, &key::LOG_LEVEL, message);
        }
        level
    }

    fn vault(&mut self, key: &Key, least: usize) -> Option<SecretString> {
        let (secret, place) = self.secret(key)?;
        let found = secret.expose_secret().len();
        if found < least {
            let message = format!(
                "has {found} bytes: at least {least} are needed (kontena-master bootstrap makes one; all masters \
                 of a database need the same)"
            );
            self.fault(place, key, message);
        }
        Some(secret.clone())
    }

    fn admin_token(&mut self) -> Option<SecretString> {
        let (token, key, place) = if let Some((token, place)) = self.secret(&key::ADMIN_TOKEN) {
            (token.clone(), &key::ADMIN_TOKEN, place)
        } else {
            let (path, place) = self.text(&key::ADMIN_TOKEN_FILE)?;
            match std::fs::read_to_string(Path::new(path)) {
                Ok(text) => (SecretString::from(text.trim()), &key::ADMIN_TOKEN_FILE, place),
                Err(error) => {
                    self.fault(
                        place,
                        &key::ADMIN_TOKEN_FILE,
                        format!("names {path}, which cannot be read: {error}"),
                    );
                    return None;
                }
            }
        };
        let found = token.expose_secret().chars().count();
        if found < TOKEN_MIN {
            let message = format!("holds {found} characters: at least {TOKEN_MIN} are needed");
            self.fault(place, key, message);
        }
        Some(token)
    }

    /// Reads times such as "2s", "1500ms", "1.5s" or "1m".
    fn time(&mut self, key: &'static Key, default: Duration) -> Option<(Duration, Place)> {
        let Some((text, place)) = self.text(key) else {
            return Some((default, Place::Missing(String::new())));
        };
        let parse = || {
            let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
            let (number, unit) = text.split_at(digits);
            let seconds = match unit.trim() {
                "ms" => 0.001,
                "s" => 1.0,
                "m" => 60.0,
                _ => return None,
            };
            Duration::try_from_secs_f64(number.parse::<f64>().ok()? * seconds).ok()
        };
        if let Some(time) = parse() {
            Some((time, place.clone()))
        } else {
            self.fault(place, key, format!("is {text:?}: write {}", key.form.wanted()));
            None
        }
    }
}

/// Of what all masters must share. Equal fingerprints mean equal settings.
fn fingerprint(compat_version: &str, vault_proof: Option<&str>) -> String {
    let shared = format!("compat_version={compat_version}\nvault={}\n", vault_proof.unwrap_or("none"));
    vault::proof(shared.as_bytes(), None).chars().take(16).collect()
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
