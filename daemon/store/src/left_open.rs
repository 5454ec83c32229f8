//! Transactions that a dead master left open. What they wrote is locked for everybody until the server ends them, a
//! minute later by default: a connection that closes does not, and who was killed or stands still says nothing. So
//! whoever finds a master dead ends them, found by the name under which that master connected.

use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::election::HolderId;
use mongodb::bson::{Document, doc};

use crate::client::{Store, app_name};
use crate::command::Failure;
use crate::fence::kill_sessions;
use crate::session::SessionId;

impl Store {
    /// Ends the transactions that these masters have open; returns how many. One of a master that is not dead after all
    /// is tried again by it, or was overtaken by who took its work.
    pub async fn end_transactions_of(
        &self,
        masters: impl IntoIterator<Item = HolderId>,
        limit: Duration,
    ) -> Result<usize, Failure> {
        let names: Vec<String> = masters.into_iter().map(app_name).collect();
        if names.is_empty() {
            return Ok(0);
        }
        // Of the own user, which needs no right; of other users there is nothing to be seen.
        let found = [
            doc! { "$currentOp": { "idleSessions": true } },
            doc! { "$match": { "appName": { "$in": names }, "transaction": { "$exists": true } } },
            doc! { "$project": { "lsid": 1 } },
        ];
        let admin = self.client().database("admin");
        let rows: Vec<Document> = admin.aggregate(found).max_time(limit).await?.try_collect().await?;
        let session = |row: &Document| SessionId::from_document(row.get_document("lsid").ok()?).ok();
        let sessions: Vec<SessionId> = rows.iter().filter_map(session).collect();
        kill_sessions(&admin, &sessions).await?;
        Ok(sessions.len())
    }
}
