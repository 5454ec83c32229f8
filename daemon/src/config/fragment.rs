//! What a file or the environment says: everything optional, nothing checked but its form.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use anyhow::Context;
use secrecy::SecretString;
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Fragment {
    pub(super) name: Option<String>,
    pub(super) mongodb: Mongodb,
    pub(super) http: Http,
    pub(super) election: Election,
    pub(super) admin: Admin,
    pub(super) vault: Vault,
    pub(super) log: Log,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Mongodb {
    pub(super) uri: Option<SecretString>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Http {
    pub(super) listen: Option<String>,
    pub(super) advertise: Option<String>,
    pub(super) drain_grace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Election {
    pub(super) lease_ttl: Option<String>,
    pub(super) eligible: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Admin {
    pub(super) socket: Option<PathBuf>,
    pub(super) token_file: Option<PathBuf>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Vault {
    pub(super) key: Option<SecretString>,
    pub(super) iv: Option<SecretString>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Log {
    pub(super) level: Option<String>,
}

/// Where a file is wrong, and how. The offending line is not quoted: it may hold a secret.
#[derive(Debug)]
pub(super) struct Fault {
    line: usize,
    message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

impl Fragment {
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            Fault { line: before.matches('\n').count() + 1, message: error.message().to_owned() }
        })
    }

    pub(super) fn from_environment(variables: &HashMap<&'static str, String>) -> anyhow::Result<Self> {
        let text = |name: &str| variables.get(name).cloned();
        let secret = |name: &str| text(name).map(SecretString::from);
        let port = text("PORT")
            .map(|port| port.parse::<u16>().context("PORT in the environment is not a port number"))
            .transpose()?;
        Ok(Self {
            name: None,
            mongodb: Mongodb { uri: secret("MONGODB_URI").or_else(|| secret("MONGOHQ_URL")) },
            http: Http { listen: port.map(|port| format!("0.0.0.0:{port}")), ..Http::default() },
            election: Election::default(),
            admin: Admin::default(),
            vault: Vault { key: secret("VAULT_KEY"), iv: secret("VAULT_IV") },
            log: Log { level: text("LOG_LEVEL") },
        })
    }

    /// What `other` says stands; what it leaves open stays.
    pub(super) fn overridden_by(self, other: Self) -> Self {
        let Self { name, mongodb, http, election, admin, vault, log } = other;
        let Mongodb { uri } = mongodb;
        let Http { listen, advertise, drain_grace } = http;
        let Election { lease_ttl, eligible } = election;
        let Admin { socket, token_file } = admin;
        let Vault { key, iv } = vault;
        let Log { level } = log;
        Self {
            name: name.or(self.name),
            mongodb: Mongodb { uri: uri.or(self.mongodb.uri) },
            http: Http {
                listen: listen.or(self.http.listen),
                advertise: advertise.or(self.http.advertise),
                drain_grace: drain_grace.or(self.http.drain_grace),
            },
            election: Election {
                lease_ttl: lease_ttl.or(self.election.lease_ttl),
                eligible: eligible.or(self.election.eligible),
            },
            admin: Admin {
                socket: socket.or(self.admin.socket),
                token_file: token_file.or(self.admin.token_file),
            },
            vault: Vault { key: key.or(self.vault.key), iv: iv.or(self.vault.iv) },
            log: Log { level: level.or(self.log.level) },
        }
    }
}
