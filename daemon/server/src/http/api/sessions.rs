//! Whose a token is: asked anew for every request, since another master may have ended it meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kontena_core::token::{Digest, Digester, OriginalSalt, is_access_token};
use kontena_core::vault::Vault;
use kontena_store::{Failure, Store, VerifiedToken};
use serde_json::Value;
use tokio::sync::{OnceCell, Semaphore};

use super::gather::{Ask, Gather, Gatherer};
use super::refused::Refused;

/// How many digests of the original are remembered.
const REMEMBERED_MAX: usize = 4_096;
/// How many of them are computed at once: each takes a core for some 50 ms.
const COMPUTED_AT_ONCE: usize = 1;
/// How long a request waits for its turn to have one computed.
const TURN_WITHIN: Duration = Duration::from_secs(5);
/// For the key in the database to be read or made.
const KEY_WITHIN: Duration = Duration::from_secs(5);
const SALT: &str = "server.salt";

type Found = Arc<HashMap<Digest, VerifiedToken>>;

/// Verifies tokens.
#[derive(Clone)]
pub(super) struct Sessions {
    store: Store,
    vault: Option<Vault>,
    /// Keyed by the vault key.
    digester: Option<Digester>,
    /// Keyed by what is in the database: without a vault key, and for tokens that were made before there was one.
    keyless: Arc<OnceCell<Option<Digester>>>,
    gather: Gather<Vec<Digest>, Found>,
    salt: Arc<OnceCell<OriginalSalt>>,
    /// The original's digest of a token, by ours. That it is remembered does not make the token valid.
    remembered: Arc<Mutex<HashMap<Digest, Digest>>>,
    turns: Arc<Semaphore>,
}

impl Sessions {
    pub(super) fn new(
        store: &Store,
        vault: Option<Vault>,
        digester: Option<Digester>,
    ) -> (Self, Gatherer<Vec<Digest>, Found>) {
        let tokens = store.access_tokens();
        let ask: Ask<Vec<Digest>, Found> = Box::new(move |questions: HashSet<Vec<Digest>>| {
            let tokens = tokens.clone();
            Box::pin(async move {
                let digests: Vec<Digest> = questions.into_iter().flatten().collect();
                Ok(Arc::new(tokens.sessions(&digests).await?.into_iter().collect()))
            })
        });
        let (gather, gatherer) = Gather::new(ask);
        let sessions = Self {
            store: store.clone(),
            vault,
            digester,
            keyless: Arc::default(),
            gather,
            salt: Arc::default(),
            remembered: Arc::default(),
            turns: Arc::new(Semaphore::new(COMPUTED_AT_ONCE)),
        };
        (sessions, gatherer)
    }

    /// What digests new tokens.
    pub(super) async fn digester(&self) -> Result<Digester, Refused> {
        match (&self.digester, self.keyless().await?) {
            (Some(digester), _) | (None, Some(digester)) => Ok(digester.clone()),
            (None, None) => Err(Refused::Busy),
        }
    }

    /// What digests tokens by the key in the database. With a vault key none is made.
    async fn keyless(&self) -> Result<Option<&Digester>, Refused> {
        let load = || async {
            let key = self.store.token_key();
            let key = match &self.digester {
                Some(_) => key.get(KEY_WITHIN).await?,
                None => Some(key.get_or_make(rand::random(), KEY_WITHIN).await?),
            };
            Ok::<_, Failure>(key.map(|key| Digester::new(&key)))
        };
        Ok(self.keyless.get_or_try_init(load).await?.as_ref())
    }

    /// Our digests under which a token may be stored, that of a new one first.
    async fn own_digests(&self, token: &str) -> Result<Vec<Digest>, Refused> {
        let keyless = self.keyless().await?;
        Ok(self.digester.iter().chain(keyless).map(|digester| digester.digest(token)).collect())
    }

    /// The session of an access token, valid or expired.
    pub(super) async fn verify(&self, token: &str) -> Result<Option<VerifiedToken>, Refused> {
        if !is_access_token(token) {
            return Ok(None);
        }
        let own = self.own_digests(token).await?;
        let Some(digest) = own.first().cloned() else { return Ok(None) };
        let remembered = self.remembered().get(&digest).cloned();
        let known = remembered.is_some();
        if let Some(session) = self.find(own.into_iter().chain(remembered).collect()).await? {
            return Ok(Some(session));
        }
        if known {
            return Ok(None);
        }
        let Some(original) = self.original_digest(token).await? else { return Ok(None) };
        let found = self.find(vec![original.clone()]).await?;
        if found.is_some() {
            let mut remembered = self.remembered();
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(digest, original);
        }
        Ok(found)
    }

    /// All digests under which a token may be stored.
    pub(super) async fn digests(&self, token: &str) -> Result<Vec<Digest>, Refused> {
        let mut digests = self.own_digests(token).await?;
        digests.extend(self.original_digest(token).await?);
        Ok(digests)
    }

    async fn find(&self, digests: Vec<Digest>) -> Result<Option<VerifiedToken>, Refused> {
        let found = self.gather.ask(digests.clone()).await?;
        Ok(digests.iter().find_map(|digest| found.get(digest).cloned()))
    }

    /// The original's digest of a token, if tokens of the original are left.
    async fn original_digest(&self, token: &str) -> Result<Option<Digest>, Refused> {
        if !self.store.access_tokens().has_originals().await? {
            return Ok(None);
        }
        let Some(salt) = self.salt().await? else { return Ok(None) };
        let turn = tokio::time::timeout(TURN_WITHIN, self.turns.clone().acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(Refused::Busy) };
        let token = token.to_owned();
        let computed = tokio::task::spawn_blocking(move || {
            let digest = salt.digest(&token);
            drop(turn);
            digest
        });
        computed.await.map_err(|_| Refused::Busy)
    }

    async fn salt(&self) -> Result<Option<OriginalSalt>, Refused> {
        if let Some(salt) = self.salt.get() {
            return Ok(Some(salt.clone()));
        }
        let Some(vault) = &self.vault else { return Ok(None) };
        let Some(Value::String(stored)) = self.store.configurations().get(SALT).await? else {
            return Ok(None);
        };
        let salt = vault.decrypt(&stored).and_then(|inner| vault.decrypt(&inner)).ok();
        let Some(salt) = salt.as_deref().and_then(OriginalSalt::parse) else {
            tracing::error!("server.salt in the database cannot be read: tokens of the original do not work");
            return Ok(None);
        };
        Ok(Some(self.salt.get_or_init(async || salt).await.clone()))
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Digest>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
