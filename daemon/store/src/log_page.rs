//! Which part of a log is read: logs only grow, and their ids rise.

use kontena_core::id::Id;
use mongodb::bson::{Document, doc};

use crate::command::Failure;
use crate::document::{date, oid};
use crate::table::Table;

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
                table.newest(query, limit).await
            }
            Self::After(id) => {
                query.insert("_id", doc! { "$gt": oid(id) });
                table.some(query, doc! { "_id": 1 }, limit).await
            }
        }
    }
}
