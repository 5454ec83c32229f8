//! Deploys that ended long ago: of each service the latest hundred are kept.

use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::id::Id;
use mongodb::Database;
use mongodb::bson::{Bson, DateTime, Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::deploys::DEPLOYS;
use crate::document::{Read, oid};
use crate::effect::{Effect, Statement};

/// How many of a service are kept.
const KEPT: u64 = 100;

/// A service with too many, and the end of the oldest that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overfull {
    service: Id,
    before: DateTime,
}

impl Overfull {
    /// Removes those that ended before.
    #[must_use]
    pub fn forget(&self) -> Effect {
        let filter = doc! { "grid_service_id": oid(self.service), "finished_at": { "$lt": self.before } };
        Effect { collection: DEPLOYS, statement: Statement::Delete { filter } }
    }
}

/// The collection.
#[derive(Clone, Debug)]
pub struct OldDeploys {
    database: Database,
}

impl Store {
    /// Deploys that ended long ago.
    #[must_use]
    pub fn old_deploys(&self) -> OldDeploys {
        OldDeploys { database: self.database().clone() }
    }
}

impl OldDeploys {
    /// At most `count` services that have too many.
    pub async fn overfull(&self, count: i64, limit: Duration) -> Result<Vec<Overfull>, Failure> {
        let deploys = self.database.collection::<Document>(DEPLOYS);
        let pipeline = [
            doc! { "$match": { "finished_at": { "$type": "date" } } },
            doc! { "$group": { "_id": "$grid_service_id", "finished": { "$sum": 1 } } },
            doc! { "$match": { "finished": { "$gt": i64::try_from(KEPT).unwrap_or(i64::MAX) } } },
            doc! { "$limit": count },
        ];
        let rows = deploys.aggregate(pipeline).max_time(limit);
        let rows: Vec<Document> = rows.await?.try_collect().await?;
        let mut found = Vec::new();
        for service in rows.iter().filter_map(|row| row.id("_id")) {
            let finished = doc! { "grid_service_id": oid(service), "finished_at": { "$ne": Bson::Null } };
            let oldest = deploys.find_one(finished).sort(doc! { "finished_at": -1 }).skip(KEPT - 1);
            let oldest = oldest.projection(doc! { "finished_at": 1 }).max_time(limit).await?;
            if let Some(before) = oldest.and_then(|row| row.get_datetime("finished_at").copied().ok()) {
                found.push(Overfull { service, before });
            }
        }
        Ok(found)
    }
}
