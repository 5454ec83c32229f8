//! Everything a master is told, checked. Where it comes from is the daemon's business.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use kontena_core::election::Timing;
use kontena_core::token::Digester;
use kontena_core::vault::Vault;
use kontena_store::DatabaseUri;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use subtle::ConstantTimeEq;

use crate::acme::AcmeSettings;
use crate::agents::AgentSettings;
use crate::cloud::CloudSettings;

/// The settings of one master.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Of the program.
    pub version: String,
    /// Of the original, as announced to command lines and agents.
    pub compat_version: String,
    /// How this host is named to people.
    pub name: String,
    /// Where the database is.
    pub database: DatabaseUri,
    /// Where other masters and people reach the HTTP API of this one. None: as bound.
    pub advertise: Option<String>,
    /// What can be changed while it runs.
    pub tunables: Tunables,
    /// What only the right vault key can yield. None: without a vault.
    pub vault_proof: Option<String>,
    /// What encrypts and decrypts. None: without a vault.
    pub vault: Option<Vault>,
    /// What finds tokens without storing them. None: by a key in the database.
    pub token_digester: Option<Digester>,
    /// With what the administrator logs in for the first time. None: not until a token is made otherwise.
    pub initial_admin_code: Option<SecretString>,
    /// Who is believed to say where a request came from.
    pub trusted_proxies: Vec<IpNet>,
    /// Values of the configuration in the database, where it has none of its own.
    pub configuration_defaults: ConfigurationDefaults,
    /// Of the settings that all masters must share.
    pub fingerprint: String,
    /// How often the probe duty runs, if it does.
    pub probe_every: Option<Duration>,
    /// Where to record when this master acted, for measurements.
    pub trace: Option<PathBuf>,
    /// How agents are treated.
    pub agents: AgentSettings,
    /// Where certificates come from.
    pub acme: AcmeSettings,
    /// When the link to Kontena Cloud is tried.
    pub cloud: CloudSettings,
    /// Where the HTTP API listens.
    pub listen: SocketAddr,
}

/// The settings that a running master takes anew.
#[derive(Clone, Debug)]
pub struct Tunables {
    /// The times of the election.
    pub timing: Timing,
    /// Whether this master may lead.
    pub eligible: bool,
    /// Whether others leave a lease that was given back to this master.
    pub preferred: bool,
    /// Who may use the administration over TCP. None: nobody.
    pub admin_token: Option<AdminToken>,
    /// How long a stopping master goes on serving after it gave up the lease.
    pub drain_grace: Duration,
}

/// Values by their keys. Some are secrets: `Debug` shows the keys only.
#[derive(Clone, Default)]
pub struct ConfigurationDefaults(pub Vec<(String, Value)>);

impl fmt::Debug for ConfigurationDefaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(key, _)| key)).finish()
    }
}

/// A secret that lets its bearer administer.
#[derive(Clone)]
pub struct AdminToken(SecretString);

impl AdminToken {
    /// Takes the secret.
    #[must_use]
    pub fn new(secret: SecretString) -> Self {
        Self(secret)
    }

    /// Compares in a time that does not depend on where the two differ.
    #[must_use]
    pub fn matches(&self, offered: &str) -> bool {
        self.0.expose_secret().as_bytes().ct_eq(offered.as_bytes()).into()
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminToken(..)")
    }
}
