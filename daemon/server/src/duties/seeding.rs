//! Puts into a new database what must be there before anybody can log in: roles, the local administrator with its
//! first code, and the values of the configuration that have none.
//!
//! On a database of the original there is nothing to do. A run that is cut off is completed by the next one.
//!
//! The configuration is completed once in the life of a process, as the original did at each start: what an
//! administrator removes meanwhile stays removed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_core::token::Digester;
use kontena_core::vault::Vault;
use kontena_store::{Configurations, Effect, Minted};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::{Duty, DutyError, Leader};
use crate::settings::{ConfigurationDefaults, Settings};

const UUID: &str = "server.uuid";

pub(crate) struct Seeding {
    code: Option<SecretString>,
    defaults: ConfigurationDefaults,
    vault: Option<Vault>,
    /// Whether this process has completed the configuration.
    configured: AtomicBool,
}

impl Seeding {
    pub(crate) fn new(settings: &Settings) -> Self {
        Self {
            code: settings.initial_admin_code.clone(),
            defaults: settings.configuration_defaults.clone(),
            vault: settings.vault.clone(),
            configured: AtomicBool::new(false),
        }
    }

    /// The effects that set what has no value yet.
    fn configuration(&self, present: &[String]) -> Vec<Effect> {
        let uuid = (UUID.to_owned(), Value::String(random_uuid()));
        let missing = self.defaults.0.iter().cloned().chain([uuid]).filter(|(key, _)| !present.contains(key));
        let stored = missing.filter_map(|(key, value)| match (&value, &self.vault) {
            (Value::String(text), Some(vault)) if key.ends_with("_secret") => {
                Some((key, vault.encrypt(text, rand::random()).into()))
            }
            // Without a vault a secret is not kept.
            (_, None) if key.ends_with("_secret") => None,
            _ => Some((key, value)),
        });
        stored.map(|(key, value)| Configurations::seed(&key, &value)).collect()
    }
}

/// A token that nobody gets to know: it becomes another one when the code is exchanged.
fn unknown_token() -> Minted {
    let token = hex::encode(rand::random::<[u8; 32]>());
    let digest = Digester::new(&rand::random::<[u8; 32]>()).digest(&token);
    Minted { token_digest: digest.clone(), refresh_digest: digest, refresh: token.clone(), token }
}

impl Duty for Seeding {
    fn name(&self) -> &'static str {
        "seeding"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let plan = leader.store.seed().plan().await?;
            let code = self.code.as_ref().map(ExposeSecret::expose_secret);
            let mut effects = plan.effects(code, &unknown_token());
            // A new database has no administrator yet, whatever this process wrote into an earlier one.
            if plan.makes_admin() || !self.configured.load(Ordering::Relaxed) {
                let present: Vec<String> = leader.store.configurations().all().await?.into_keys().collect();
                effects.extend(self.configuration(&present));
            }
            if effects.is_empty() {
                self.configured.store(true, Ordering::Relaxed);
                return Ok("everything is there".to_owned());
            }
            let count = effects.len();
            leader.commit(self.name(), effects).await?;
            self.configured.store(true, Ordering::Relaxed);
            if plan.makes_admin() && self.code.is_none() {
                tracing::warn!(
                    "the administrator was made without a code: nobody can log in before one is set up"
                );
            }
            Ok(format!("wrote what was missing: {count} documents"))
        }
        .boxed()
    }
}

/// A random UUID, of version 4.
fn random_uuid() -> String {
    let mut bytes = rand::random::<[u8; 16]>();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let digits = hex::encode(bytes);
    let part = |range: std::ops::Range<usize>| digits.get(range).unwrap_or_default();
    format!("{}-{}-{}-{}-{}", part(0..8), part(8..12), part(12..16), part(16..20), part(20..32))
}
