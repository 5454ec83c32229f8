//! The lock of the original's election: `distributed_locks {name: "leader_elect", lock_id, created_at}`.
//!
//! An original master takes the lock when it is absent or its `created_at` is more than 60 s old by its own
//! clock. Holding it with a date in the near future keeps original masters from leading beside ours, and frees
//! them by itself some minutes after the last of ours was stopped.

use std::time::Duration;

use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::command::{Failure, millis};
use crate::effect::{Effect, Statement};

pub(crate) const LOCKS: &str = "distributed_locks";
const LEADER_ELECT: &str = "leader_elect";
const PUBSUB: &str = "pubsub_channels";

/// The `lock_id` by which ours is recognised: no random one of 32 hexadecimal digits looks like this.
const LOCK_ID: &str = "highly-available-kontena-master";

/// How far in the future the lock is dated. Must outlast a pause between two leaders.
const AHEAD: Duration = Duration::from_secs(300);

/// The lock, and the signs of life of original masters.
#[derive(Clone, Debug)]
pub struct OriginalLock {
    database: Database,
}

impl OriginalLock {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Takes the lock, or dates it anew.
    #[must_use]
    pub fn hold() -> Effect {
        let filter = doc! { "name": LEADER_ELECT };
        let change = doc! { "$set": { "lock_id": LOCK_ID, "name": LEADER_ELECT } };
        // Only an update by pipeline can compute with the database's clock.
        let dated = doc! { "$set": { "created_at": { "$add": ["$$NOW", millis(AHEAD)] } } };
        Effect { collection: LOCKS, statement: Statement::Compute { filter, pipeline: vec![change, dated] } }
    }

    /// Milliseconds since 1970 at which the newest message between original masters was written.
    pub async fn last_sign_of_life(&self, limit: Duration) -> Result<Option<i64>, Failure> {
        let id = self.newest(limit).await?;
        Ok(id.as_ref().and_then(Bson::as_object_id).map(|id| id.timestamp().timestamp_millis()))
    }

    /// The id of the newest message between original masters. Whoever sees it change knows that one is running.
    pub async fn newest_message(&self, limit: Duration) -> Result<Option<String>, Failure> {
        Ok(self.newest(limit).await?.map(|id| id.to_string()))
    }

    async fn newest(&self, limit: Duration) -> Result<Option<Bson>, Failure> {
        let collection = self.database.collection::<Document>(PUBSUB);
        let newest = collection
            .find_one(doc! {})
            .sort(doc! { "$natural": -1 })
            .projection(doc! { "_id": 1 })
            .max_time(limit)
            .await?;
        Ok(newest.and_then(|message| message.get("_id").cloned()))
    }
}
