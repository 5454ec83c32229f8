//! Nodes that were meant to go, and the removal of a node with what hangs on it.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};

use super::sessions::LostNode;
use super::{HOST_NODES, HostNodes, Session};
use crate::command::{Failure, integer, millis};
use crate::containers::CONTAINERS;
use crate::document::{Read, oid};
use crate::effect::{Effect, Statement};
use crate::service_instances::INSTANCES;
use crate::volume_instances::VOLUME_INSTANCES;

impl HostNodes {
    /// The nodes with a label `ephemeral`, whatever its value, that were not seen for `away` by the database's clock, are no members of
    /// their grid's etcd, and have no container of a stateful service.
    pub async fn ephemeral(&self, away: Duration, limit: Duration) -> Result<Vec<LostNode>, Failure> {
        let old = doc! { "$lt": ["$last_seen_at", { "$subtract": ["$$NOW", millis(away)] }] };
        let lookup = |from: &str, local: &str, foreign: &str, name: &str| {
            doc! { "$lookup": { "from": from, "localField": local, "foreignField": foreign, "as": name } }
        };
        let pipeline = [
            doc! { "$match": {
                "connected": { "$ne": true }, "labels": { "$regex": "^ephemeral(=|$)" }, "last_seen_at": { "$type": "date" },
                "$expr": old,
            } },
            lookup("grids", "grid_id", "_id", "grid"),
            lookup(CONTAINERS, "_id", "host_node_id", "containers"),
            lookup("grid_services", "containers.grid_service_id", "_id", "services"),
            doc! { "$match": {
                "$expr": { "$gt": ["$node_number", { "$max": "$grid.initial_size" }] },
                "services.stateful": { "$ne": true },
            } },
            doc! { "$project": { "session_epoch": 1, "name": 1 } },
        ];
        let collection = self.store.database().collection::<Document>(HOST_NODES);
        let rows: Vec<Document> = collection.aggregate(pipeline).max_time(limit).await?.try_collect().await?;
        let gone = |row: &Document| {
            let epoch = integer(row, "session_epoch").unwrap_or(0);
            let session = Session { node: row.id("_id")?, epoch };
            Some(LostNode { session, name: row.text("name").unwrap_or_default() })
        };
        Ok(rows.iter().filter_map(gone).collect())
    }

    /// Removes a node, unless it came back: its containers and places of volumes go with it, its instances lose
    /// their place.
    #[must_use]
    pub fn remove_ephemeral(gone: &LostNode) -> [Effect; 5] {
        let Session { node, epoch } = gone.session;
        let id = oid(node);
        let of_node = || doc! { "host_node_id": id };
        let delete = |collection, filter| Effect { collection, statement: Statement::Delete { filter } };
        let unchanged = doc! {
            "_id": id, "connected": { "$ne": true }, "session_epoch": super::sessions::observed(epoch),
        };
        // A node that came back does not match, which makes the whole batch stale.
        let mark = doc! { "$set": { "removed": true } };
        let displaced = doc! { "$set": { "host_node_id": Bson::Null } };
        [
            Effect {
                collection: HOST_NODES,
                statement: Statement::Update { filter: unchanged, change: mark },
            },
            Effect {
                collection: INSTANCES,
                statement: Statement::UpdateMany { filter: of_node(), change: displaced },
            },
            delete(VOLUME_INSTANCES, of_node()),
            delete(CONTAINERS, of_node()),
            delete(HOST_NODES, doc! { "_id": id }),
        ]
    }
}
