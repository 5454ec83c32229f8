//! Certificates by ACME v2: the authority, the accounts of grids there, and what the leader does with an order
//! (`order.rs`). What comes next with an order is decided in `kontena_core::acme`.

mod account;
mod dns;
mod http;
mod look;
mod order;
mod trouble;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use instant_acme::{Account, AccountBuilder};
use kontena_core::id::Id;
use kontena_core::vault::Vault;
use kontena_store::Store;
use tokio::sync::Notify;

pub(crate) use order::Step;
pub(crate) use trouble::Trouble;

use crate::settings::Settings;
use dns::Records;
use http::Transport;

/// How many accounts are remembered.
const ACCOUNTS_MAX: usize = 1000;

/// The certificate authority.
#[derive(Clone, Debug)]
pub struct AcmeSettings {
    /// The address of its directory.
    pub directory: String,
    /// Certificates in PEM by which its server is trusted, beside those of the system.
    pub roots: Option<Vec<u8>>,
    /// Who is asked for records of domains. None: the resolvers of the system.
    pub resolver: Option<SocketAddr>,
}

/// An account as it was looked up, with the stored key that it belongs to.
struct Known {
    key: String,
    account: Account,
}

/// The authority as this master reaches it.
pub(crate) struct Acme {
    directory: String,
    transport: Transport,
    records: Records,
    store: Store,
    vault: Option<Vault>,
    accounts: Mutex<HashMap<Id, Known>>,
    /// Which answers this process has told to be there: order and token.
    told: Mutex<HashSet<(Id, String)>>,
    wanted: Notify,
}

impl Acme {
    /// Nothing is sent yet.
    pub(crate) fn new(settings: &Settings, store: &Store) -> Result<Arc<Self>, reqwest::Error> {
        let AcmeSettings { directory, roots, resolver } = &settings.acme;
        Ok(Arc::new(Self {
            directory: directory.clone(),
            transport: Transport::new(roots.as_deref())?,
            records: Records::new(*resolver),
            store: store.clone(),
            vault: settings.vault.clone(),
            accounts: Mutex::default(),
            told: Mutex::default(),
            wanted: Notify::new(),
        }))
    }

    /// The authority, by its directory.
    pub(crate) fn directory(&self) -> &str {
        &self.directory
    }

    /// The leader may have something to do; if this master leads, it looks at once.
    pub(crate) fn wake(&self) {
        self.wanted.notify_one();
    }

    /// Until somebody wants something.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Whether a domain has the record that proves it, as far as can be seen from here.
    pub(crate) async fn has_record(&self, domain: &str, content: &str) -> bool {
        self.records.has(domain, content).await
    }

    fn builder(&self) -> AccountBuilder {
        Account::builder_with_http(Box::new(self.transport.clone()))
    }

    fn known(&self, grid: Id, key: &str) -> Option<Account> {
        let accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.get(&grid).filter(|known| known.key == key).map(|known| known.account.clone())
    }

    fn remember(&self, grid: Id, key: String, account: &Account) {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ACCOUNTS_MAX {
            accounts.clear();
        }
        accounts.insert(grid, Known { key, account: account.clone() });
    }

    /// The authority may not know the account any more.
    fn forget(&self, grid: Id) {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).remove(&grid);
    }

    fn was_told(&self, order: Id, token: &str) -> bool {
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.contains(&(order, token.to_owned()))
    }

    fn tell(&self, order: Id, token: &str) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert((order, token.to_owned()));
    }

    /// Nothing of what was told for other orders than these is of use any more.
    pub(crate) fn keep_told(&self, orders: &HashSet<Id>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|(order, _)| orders.contains(order));
    }
}
