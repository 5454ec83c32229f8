//! What must exist in the database before the first write: collections, since a transaction should not have to
//! create them, and indexes that replace the original's checks by query and insert.

mod agents;
mod original;
mod overview;

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::IndexOptions;

use crate::client::Store;
use crate::cloud::{CLOUD, NAMES};
use crate::command::Failure;
use crate::original_lock::LOCKS;
use crate::schedules::SCHEDULES;

const COLLECTIONS: [&str; 9] =
    ["leases", "fences", "masters", "leader_history", "cluster", LOCKS, SCHEDULES, CLOUD, NAMES];

/// Fields that no two documents may have alike.
#[derive(Clone, Debug)]
pub(crate) struct MustBeUnique {
    pub(crate) collection: &'static str,
    pub(crate) fields: &'static [&'static str],
    /// Finds the documents that this concerns.
    pub(crate) among: Document,
}

/// All that must be unique, as far as it can be shown.
pub(crate) fn unique() -> impl Iterator<Item = MustBeUnique> {
    let lock = MustBeUnique { collection: LOCKS, fields: &["name"], among: doc! {} };
    [lock, agents::unique()].into_iter().chain(original::unique())
}

/// An index that could not be made. The start goes on without it.
#[derive(Clone, Debug)]
pub struct IndexFailure {
    /// The collection.
    pub collection: &'static str,
    /// What the server said.
    pub failure: Failure,
}

impl Store {
    /// Makes the collections and indexes that are missing. Returns those indexes that could not be made, for
    /// instance since old data has duplicates.
    pub async fn ensure_indexes(&self, limit: Duration) -> Result<Vec<IndexFailure>, Failure> {
        let existing = self.database().list_collection_names().await?;
        for name in COLLECTIONS.into_iter().filter(|name| existing.iter().all(|found| found != name)) {
            unless_made(self.database().create_collection(name).await)?;
        }
        self.ensure_agent_collections(&existing).await?;
        let options = IndexOptions::builder().name("name_1".to_owned()).unique(true).build();
        let index = IndexModel::builder().keys(doc! { "name": 1 }).options(options).build();
        let made = self.database().collection::<Document>(LOCKS).create_index(index).max_time(limit).await;
        let mut failures = self.ensure_original_indexes(limit).await;
        failures.extend(self.ensure_agent_indexes(limit).await);
        failures.extend(self.ensure_overview_indexes(limit).await);
        failures.extend(made.err().map(|error| IndexFailure { collection: LOCKS, failure: error.into() }));
        Ok(failures)
    }

    /// Makes the collection of the probe duty, which only measurements need.
    pub async fn ensure_probe(&self) -> Result<(), Failure> {
        unless_made(self.database().create_collection(crate::probe::PROBE).await)
    }
}

/// Passes over `NamespaceExists`: another master was faster.
fn unless_made(outcome: mongodb::error::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if !matches!(&*error.kind, ErrorKind::Command(command) if command.code == 48) => {
            Err(error.into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
