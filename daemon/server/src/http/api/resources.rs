//! What the handlers of the original's API work with.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use kontena_core::clock::Clock;
use kontena_core::id::Id;
use kontena_core::rate_limit::RateLimit;
use kontena_core::token::Digest;
use kontena_core::vault::Vault;
use kontena_store::{AuditEntry, Failure, GridCounts, GridRow, Minted, Store, VerifiedToken};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::caller::Caller;
use super::gather::{Gather, Gatherer};
use super::grids::{GridList, WhichGrids, ask_for_lists as ask_for_grids};
use super::nodes::{NodeLists, ask_for_lists};
use super::refused::Refused;
use super::sessions::Sessions;
use crate::clock::SystemClock;
use crate::settings::Settings;

/// Over which the token routes count.
const RATE_WINDOW: Duration = Duration::from_secs(60);
const SERVER_NAME: &str = "server.name";

/// The store, and what is kept beside it for the requests of this master.
pub(crate) struct Resources {
    pub(in crate::http) store: Store,
    pub(super) vault: Option<Vault>,
    pub(super) sessions: Sessions,
    grids: Gather<WhichGrids, Arc<GridList>>,
    node_lists: Gather<Id, NodeLists>,
    rate: Mutex<RateLimit<IpAddr>>,
    /// Ends when this master stops, so that followed logs end with it.
    pub(super) stopping: CancellationToken,
    /// What goes on when its client has left, and what clients talk to for long.
    pub(super) tasks: TaskTracker,
}

/// [`Resources`] whose tasks do not run yet.
pub(crate) struct ResourceTasks {
    resources: Arc<Resources>,
    sessions: Gatherer<Vec<Digest>, Arc<HashMap<Digest, VerifiedToken>>>,
    grids: Gatherer<WhichGrids, Arc<GridList>>,
    node_lists: Gatherer<Id, NodeLists>,
}

impl ResourceTasks {
    /// Starts the tasks, which end with `cancel`; what they serve can be used from now on.
    pub(crate) fn start(self, cancel: &CancellationToken) -> Arc<Resources> {
        let tasks = &self.resources.tasks;
        tasks.spawn(self.sessions.run(cancel.clone()));
        tasks.spawn(self.grids.run(cancel.clone()));
        tasks.spawn(self.node_lists.run(cancel.clone()));
        self.resources
    }
}

impl Resources {
    /// Over this store.
    pub(crate) fn over(
        store: &Store,
        settings: &Settings,
        stopping: CancellationToken,
        tasks: &TaskTracker,
    ) -> ResourceTasks {
        let (sessions, session_task) =
            Sessions::new(store, settings.vault.clone(), settings.token_digester.clone());
        let (grids, grid_task) = Gather::new(ask_for_grids(store));
        let (node_lists, node_task) = Gather::new(ask_for_lists(store));
        let resources = Self {
            store: store.clone(),
            vault: settings.vault.clone(),
            sessions,
            grids,
            node_lists,
            rate: Mutex::new(RateLimit::new(RATE_WINDOW)),
            stopping,
            tasks: tasks.clone(),
        };
        let resources = Arc::new(resources);
        ResourceTasks { resources, sessions: session_task, grids: grid_task, node_lists: node_task }
    }

    /// The vault, without which nothing secret can be kept.
    pub(super) fn vault(&self) -> Result<&Vault, Refused> {
        self.vault.as_ref().ok_or(Refused::NoVault)
    }

    /// A grid that the caller may access.
    pub(super) async fn grid(&self, caller: &Caller, name: &str) -> Result<GridRow, Refused> {
        let grid = self.store.grids().by_name(name).await?.ok_or_else(Refused::not_found)?;
        if caller.actor().may_access(grid.id) { Ok(grid) } else { Err(Refused::Denied) }
    }

    /// Whether a grid is there still, for what was just made in it.
    pub(super) async fn keeps(&self, grid: &GridRow) -> Result<bool, Refused> {
        Ok(self.store.grids().by_ids(&[grid.id]).await?.contains_key(&grid.id))
    }

    /// The list of the grids that the caller may access, rendered.
    pub(super) async fn grid_list(&self, caller: &Caller) -> Result<Bytes, Refused> {
        let actor = caller.actor();
        if actor.may_administrate() {
            return Ok(self.grids.ask(WhichGrids::All).await?.all());
        }
        let own = actor.grids.iter().copied().collect();
        Ok(self.grids.ask(WhichGrids::These(own)).await?.only(|grid| actor.may_access(grid)))
    }

    /// The nodes of a grid, rendered.
    pub(super) async fn node_list(&self, grid: Id) -> Result<Bytes, Refused> {
        self.node_lists.ask(grid).await?.get(&grid).cloned().ok_or_else(Refused::not_found)
    }

    /// How much is in one grid.
    pub(super) async fn counts(&self, grid: Id) -> Result<GridCounts, Refused> {
        Ok(self.store.grids().counts(&[grid]).await?.remove(&grid).unwrap_or_default())
    }

    /// Whether a client may make one more request to the token routes, of `allowed` a minute.
    pub(super) fn admit(&self, client: IpAddr, allowed: f64) -> bool {
        let now = SystemClock.now().monotonic;
        self.rate.lock().unwrap_or_else(PoisonError::into_inner).admit(now, client, allowed)
    }

    /// The master administrator whose valid token this is.
    pub(in crate::http) async fn administrator(&self, token: &str) -> Option<(Id, String)> {
        let session = self.sessions.verify(token).await.ok()??;
        let valid = session.token.expires_in.is_none_or(|seconds| seconds > 0);
        let user = session.user;
        (valid && user.actor.may_administrate()).then(|| (user.id(), user.actor.email.clone()))
    }

    /// Adds an entry to the audit log.
    pub(in crate::http) async fn audit(&self, entry: AuditEntry) -> Result<(), Failure> {
        self.store.audit_logs().add(entry).await
    }

    /// What this logical master is called.
    pub(super) async fn server_name(&self) -> Result<Option<String>, Refused> {
        let name = self.store.configurations().get(SERVER_NAME).await?;
        Ok(name.and_then(|name| name.as_str().map(str::to_owned)))
    }

    /// The configuration in the database, readable.
    pub(super) async fn configuration(&self) -> Result<BTreeMap<String, Value>, Refused> {
        let mut values = self.store.configurations().all().await?;
        for (key, value) in values.iter_mut().filter(|(key, _)| is_encrypted(key)) {
            *value = self.readable(key, value.take())?;
        }
        Ok(values)
    }

    /// The same, for who is no client; why it cannot be read is told in words.
    pub(crate) async fn readable_configuration(&self) -> Result<BTreeMap<String, Value>, String> {
        self.configuration().await.map_err(|refused| format!("{refused:?}"))
    }

    /// A stored value as it was given.
    pub(super) fn readable(&self, key: &str, value: Value) -> Result<Value, Refused> {
        match (value, &self.vault) {
            (Value::String(stored), Some(vault)) if is_encrypted(key) => Ok(vault.decrypt(&stored)?.into()),
            (value, _) => Ok(value),
        }
    }

    /// A new token with its refresh token.
    pub(super) async fn mint(&self) -> Result<Minted, Refused> {
        let (token, refresh) = (hex::encode(rand::random::<[u8; 32]>()), random_hex_64());
        let digester = self.sessions.digester().await?;
        let digest = |text: &str| digester.digest(text);
        Ok(Minted { token_digest: digest(&token), refresh_digest: digest(&refresh), token, refresh })
    }
}

/// 128 random hexadecimal digits.
fn random_hex_64() -> String {
    hex::encode([rand::random::<[u8; 32]>(), rand::random::<[u8; 32]>()].concat())
}

/// Which values of the configuration are stored encrypted.
pub(super) fn is_encrypted(key: &str) -> bool {
    key.ends_with("_secret") || key == "server.salt"
}
