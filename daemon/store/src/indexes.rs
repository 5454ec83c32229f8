//! What must exist in the database before the first write: collections, since a transaction should not have to
//! create them, and indexes that replace the original's checks by query and insert.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;

use crate::client::Store;
use crate::command::Failure;
use crate::original_lock::LOCKS;

const COLLECTIONS: [&str; 6] = ["leases", "fences", "masters", "leader_history", "cluster", LOCKS];

/// What must be unique, by collection.
pub(crate) const UNIQUE: [(&str, &[&str]); 1] = [(LOCKS, &["name"])];

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
            match self.database().create_collection(name).await {
                Ok(()) => {}
                // NamespaceExists: another master was faster.
                Err(error) if matches!(&*error.kind, mongodb::error::ErrorKind::Command(command) if command.code == 48) =>
                    {}
                Err(error) => return Err(error.into()),
            }
        }
        let options = IndexOptions::builder().name("name_1".to_owned()).unique(true).build();
        let index = IndexModel::builder().keys(doc! { "name": 1 }).options(options).build();
        let made = self.database().collection::<Document>(LOCKS).create_index(index).max_time(limit).await;
        let lock = made.err().map(|error| IndexFailure { collection: LOCKS, failure: error.into() });
        let mut failures = crate::agent_indexes::ensure(self, &existing, limit).await?;
        failures.extend(lock);
        failures.extend(self.ensure_original_indexes(limit).await);
        Ok(failures)
    }

    /// Makes the collection of the probe duty, which only measurements need.
    pub async fn ensure_probe(&self) -> Result<(), Failure> {
        match self.database().create_collection(crate::probe::PROBE).await {
            Err(error) if !matches!(&*error.kind, mongodb::error::ErrorKind::Command(command) if command.code == 48) => {
                Err(error.into())
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }
}
