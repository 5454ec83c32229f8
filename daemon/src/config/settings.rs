//! The checked configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kontena_core::election::{TTL_DEFAULT, Timing};
use kontena_core::vault;
use kontena_server::{AdminToken, Settings};
use kontena_store::DatabaseUri;
use secrecy::{ExposeSecret, SecretString};
use thiserror::Error;

use super::fragment::Fragment;

/// The API version that command lines and agents compare with: the last release of the original.
const COMPAT_VERSION: &str = "1.5.4";
/// The original's port.
const LISTEN: &str = "0.0.0.0:9292";
const DRAIN_GRACE: Duration = Duration::from_secs(5);
const DRAIN_GRACE_MAX: Duration = Duration::from_secs(300);
const ADMIN_SOCKET: &str = "/run/kontena-master/admin.sock";
const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];

/// All that the program is told.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// For the master itself.
    pub(crate) settings: Settings,
    /// Where administrators on this host connect.
    pub(crate) admin_socket: PathBuf,
    /// The token for administrators elsewhere, as read from its file.
    pub(crate) admin_token: Option<SecretString>,
    /// What is logged.
    pub(crate) log_level: String,
}

/// What is wrong with the configuration, and what would be right.
#[derive(Debug, Error)]
pub(crate) enum Fault {
    #[error(
        "mongodb.uri is missing: set it, for instance to \
         \"mongodb://host1,host2,host3/kontena_server?replicaSet=rs0\", or set MONGODB_URI"
    )]
    NoDatabase,
    #[error("{key} is {found:?}, which is not {wanted}")]
    Value { key: &'static str, found: String, wanted: String },
    #[error("{key} has {found} bytes: at least {least} are needed")]
    Short { key: &'static str, found: usize, least: usize },
    #[error("admin.token_file: {path} {what}", path = .path.display())]
    TokenFile { path: PathBuf, what: String },
}

/// Checks what was merged, and fills in the defaults.
pub(super) fn check(merged: Fragment) -> Result<Config, Fault> {
    let Fragment { name, mongodb, http, election, admin, vault, log } = merged;
    let database = mongodb.uri.ok_or(Fault::NoDatabase)?;
    let uri = database.expose_secret();
    if !(uri.starts_with("mongodb://") || uri.starts_with("mongodb+srv://")) {
        // The value may hold a password: only its beginning can be shown.
        let found = uri.split([':', '/', '@']).next().unwrap_or_default().to_owned();
        let wanted = "an address that starts with mongodb:// or mongodb+srv://".to_owned();
        return Err(Fault::Value { key: "mongodb.uri", found, wanted });
    }
    let listen = http.listen.unwrap_or_else(|| LISTEN.to_owned());
    let listen: SocketAddr = listen.parse().map_err(|_| Fault::Value {
        key: "http.listen",
        found: listen,
        wanted: format!("an address and a port, such as {LISTEN:?}"),
    })?;
    let ttl = duration("election.lease_ttl", election.lease_ttl, TTL_DEFAULT)?;
    let timing = Timing::new(ttl).map_err(|error| Fault::Value {
        key: "election.lease_ttl",
        found: format!("{} ms", ttl.as_millis()),
        wanted: format!("possible: {error}"),
    })?;
    let drain_grace = duration("http.drain_grace", http.drain_grace, DRAIN_GRACE)?;
    if drain_grace > DRAIN_GRACE_MAX {
        return Err(Fault::Value {
            key: "http.drain_grace",
            found: format!("{} s", drain_grace.as_secs()),
            wanted: format!("at most {} s", DRAIN_GRACE_MAX.as_secs()),
        });
    }
    let level = log.level.map_or_else(|| "info".to_owned(), |level| level.to_lowercase());
    if !LEVELS.contains(&level.as_str()) {
        return Err(Fault::Value {
            key: "log.level",
            found: level,
            wanted: format!("one of {}", LEVELS.join(", ")),
        });
    }
    let vault_proof = vault_proof(vault.key.as_ref(), vault.iv.as_ref())?;
    let admin_token = admin.token_file.as_deref().map(read_token).transpose()?;
    let settings = Settings {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        compat_version: COMPAT_VERSION.to_owned(),
        name: name.unwrap_or_else(host_name),
        database: DatabaseUri::from(database.clone()),
        advertise: http.advertise,
        timing,
        eligible: election.eligible.unwrap_or(true),
        admin_token: admin_token.clone().map(AdminToken::new),
        fingerprint: fingerprint(vault_proof.as_deref()),
        vault_proof,
        drain_grace,
        probe_every: None,
        trace: None,
        listen,
    };
    let admin_socket = admin.socket.unwrap_or_else(|| PathBuf::from(ADMIN_SOCKET));
    Ok(Config { settings, admin_socket, admin_token, log_level: level })
}

/// Of what all masters must share. Equal fingerprints mean equal settings.
fn fingerprint(vault_proof: Option<&str>) -> String {
    let shared = format!("compat_version={COMPAT_VERSION}\nvault={}\n", vault_proof.unwrap_or("none"));
    vault::proof(shared.as_bytes(), None).chars().take(16).collect()
}

fn vault_proof(key: Option<&SecretString>, iv: Option<&SecretString>) -> Result<Option<String>, Fault> {
    let long_enough = |name, secret: &SecretString, least| match secret.expose_secret().len() {
        found if found < least => Err(Fault::Short { key: name, found, least }),
        _ => Ok(()),
    };
    if let Some(iv) = iv {
        long_enough("vault.iv", iv, vault::IV_MIN)?;
    }
    let Some(key) = key else { return Ok(None) };
    long_enough("vault.key", key, vault::KEY_MIN)?;
    let iv = iv.map(|iv| iv.expose_secret().as_bytes());
    Ok(Some(vault::proof(key.expose_secret().as_bytes(), iv)))
}

fn read_token(path: &Path) -> Result<SecretString, Fault> {
    let fault = |what: String| Fault::TokenFile { path: path.to_owned(), what };
    let text = std::fs::read_to_string(path).map_err(|error| fault(format!("cannot be read: {error}")))?;
    match text.trim() {
        token if token.len() < 16 => Err(fault("holds less than 16 characters".to_owned())),
        token => Ok(SecretString::from(token)),
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Reads times such as "2s", "1500ms", "1.5s" or "1m".
fn duration(key: &'static str, text: Option<String>, default: Duration) -> Result<Duration, Fault> {
    let Some(text) = text else { return Ok(default) };
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
    parse().ok_or_else(|| Fault::Value {
        key,
        found: text.clone(),
        wanted: "a time such as \"2s\" or \"1500ms\"".to_owned(),
    })
}
