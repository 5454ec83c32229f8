//! Which part of a log is read: logs only grow, and their ids rise.

use kontena_core::id::Id;
use mongodb::bson::{Document, doc};

use crate::command::Failure;
use crate::document::{date, oid};
use crate::table::Table;

/// By how much the clock that dated an entry may have been ahead of the one that its id is from, in milliseconds.
const AHEAD: i64 = 3_600_000;

/// From where on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The newest.
    Newest,
    /// The newest that are later than this, in milliseconds since 1970.
    Since(i64),
    /// The oldest with greater ids.
    After(Id),
}

impl Page {
    /// At most `limit` entries, oldest first.
    pub(crate) async fn read(
        self,
        table: &Table,
        mut query: Document,
        limit: i64,
    ) -> Result<Vec<Document>, Failure> {
        match self {
            Self::Newest => table.newest(query, limit).await,
            Self::Since(time) => {
                query.insert("created_at", doc! { "$gt": date(time) });
                // Times have no index in every database, and where few entries match all older ones would be read.
                query.insert("_id", doc! { "$gte": oid(first_id(time.saturating_sub(AHEAD))) });
                table.newest(query, limit).await
            }
            Self::After(id) => {
                query.insert("_id", doc! { "$gt": oid(id) });
                table.some(query, doc! { "_id": 1 }, limit).await
            }
        }
    }
}

/// The least id of an entry that was written at this time, in milliseconds since 1970, or later: ids begin with the time,
/// and unlike it they have an index in every database.
pub(crate) fn first_id(time: i64) -> Id {
    let seconds = u32::try_from(time.max(0) / 1000).unwrap_or(u32::MAX);
    let mut bytes = [0; 12];
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    Id::from_bytes(bytes)
}
