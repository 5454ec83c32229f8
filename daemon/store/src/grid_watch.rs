//! Hints that something changed that decides where instances go, from a change stream of the whole database that the
//! server filters. Nothing depends on them but how soon one looks.

use std::time::Duration;

use futures_util::StreamExt;
use kontena_core::id::Id;
use mongodb::bson::{Document, doc};
use mongodb::change_stream::ChangeStream;

use crate::claims::{CLAIMS, STACK_CLAIMS};
use crate::client::Store;
use crate::command::Failure;
use crate::document::Read;
use crate::grid_services::SERVICES;
use crate::host_nodes::HOST_NODES;
use crate::service_instances::INSTANCES;

/// How long the server may hold a request for events back while there are none.
const AWAIT: Duration = Duration::from_secs(10);

/// Whose change it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changed {
    /// Of this grid.
    Grid(Id),
    /// Of the grid that has this node, service, stack or instance.
    Member(Id),
    /// A deploy of this service or stack has ended, mostly as it should have.
    Deployed(Id),
}

/// An open stream. Whoever opens one looks once at everything: what was before is not told.
#[derive(Debug)]
pub struct GridWatch {
    stream: ChangeStream<Document>,
}

impl GridWatch {
    /// Opens a stream of what changes from now on.
    pub async fn open(store: &Store) -> Result<Self, Failure> {
        let shown = doc! {
            "_id": 1, "ns.coll": 1, "operationType": 1, "documentKey": 1, "grid": "$fullDocument.grid_id",
        };
        let pipeline = [doc! { "$match": { "$or": wanted() } }, doc! { "$project": shown }];
        let opened = store.database().watch().pipeline(pipeline).max_await_time(AWAIT).await?;
        Ok(Self { stream: opened.with_type() })
    }

    /// The next change. A wait for it may be given up; nothing is lost by that. After a failure the stream is over.
    pub async fn next(&mut self) -> Result<Changed, Failure> {
        loop {
            let event =
                self.stream.next().await.ok_or_else(|| Failure::unknown("the stream has ended"))??;
            let collection = event.get_document("ns").map(|ns| ns.text_or_empty("coll")).unwrap_or_default();
            let id = event.get_document("documentKey").ok().and_then(|key| key.id("_id"));
            return match (event.id("grid"), id, collection.as_str()) {
                (Some(grid), _, _) | (None, Some(grid), "grids") => Ok(Changed::Grid(grid)),
                (None, Some(member), CLAIMS | STACK_CLAIMS) => Ok(Changed::Deployed(member)),
                (None, Some(member), _) => Ok(Changed::Member(member)),
                (None, None, _) => continue,
            };
        }
    }
}

/// The events that are told.
fn wanted() -> Vec<Document> {
    let touched = |fields: &[&str]| -> Vec<Document> {
        let touched =
            |field: &&str| doc! { format!("updateDescription.updatedFields.{field}"): { "$exists": true } };
        fields.iter().map(touched).collect()
    };
    let updated = |collection: &str, fields: &[&str]| {
        doc! { "ns.coll": collection, "operationType": "update", "$or": touched(fields) }
    };
    let emptied = |collection: &str, field: &str| {
        doc! {
            "ns.coll": collection, "operationType": "update",
            format!("updateDescription.updatedFields.{field}"): { "$type": "null" },
        }
    };
    vec![
        doc! { "ns.coll": HOST_NODES, "operationType": { "$in": ["insert", "delete", "replace"] } },
        // `updated`: with its first report an agent tells what its node has.
        updated(HOST_NODES, &["connected", "availability", "labels", "updated"]),
        updated(SERVICES, &["updated_at", "state", "affinity"]),
        doc! { "ns.coll": SERVICES, "operationType": { "$in": ["delete", "replace"] } },
        updated("grids", &["default_affinity"]),
        // A deploy of a service or a stack has ended.
        emptied(CLAIMS, "master"),
        emptied(STACK_CLAIMS, "master"),
        // An instance has lost its node.
        emptied(INSTANCES, "host_node_id"),
    ]
}
