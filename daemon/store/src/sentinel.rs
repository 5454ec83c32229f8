//! The proof that all masters have the same vault key: `cluster {_id: "vault_key", proof}`.
//!
//! The first master of a database leaves what only the vault key can yield; whoever computes something else has
//! another key, and must not write with it.

use std::time::Duration;

use mongodb::Database;
use mongodb::bson::doc;

use crate::command::{Failure, find_first, write};

pub(crate) const CLUSTER: &str = "cluster";
const ID: &str = "vault_key";

/// The document.
#[derive(Clone, Debug)]
pub struct Sentinel {
    database: Database,
}

impl Sentinel {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Whether `proof` is what the first master left; None if no master has been here yet.
    pub async fn compare(&self, proof: &str, limit: Duration) -> Result<Option<bool>, Failure> {
        let found = find_first(&self.database, CLUSTER, doc! { "_id": ID }, "majority", limit).await?;
        Ok(found.map(|found| found.get_str("proof").is_ok_and(|left| left == proof)))
    }

    /// Whether `proof` is what the first master left; leaves it if nobody has yet.
    pub async fn agrees(&self, proof: &str, limit: Duration) -> Result<bool, Failure> {
        let insert = doc! { "insert": CLUSTER, "documents": [{ "_id": ID, "proof": proof }] };
        match write(&self.database, insert, limit).await {
            Ok(_) => Ok(true),
            Err(Failure::Duplicate) => Ok(self.compare(proof, limit).await?.unwrap_or(false)),
            Err(failure) => Err(failure),
        }
    }
}
