//! What must exist before agents come, beside what the original has: the collections that they fill, ring buffers
//! among them, and the indexes of the fields that we add.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;

use super::{IndexFailure, MustBeUnique, unless_made};
use crate::client::Store;
use crate::command::Failure;

const MIB: u64 = 1 << 20;

/// Ring buffers and their sizes, for a database in which they do not exist.
const CAPPED: [(&str, u64); 4] = [
    ("container_logs", 1000 * MIB),
    ("container_stats", 500 * MIB),
    ("event_logs", 100 * MIB),
    ("host_node_stats", 128 * MIB),
];

const PLAIN: [&str; 11] = [
    "bus",
    "containers",
    "grid_service_instances",
    "grids",
    "host_nodes",
    "volume_instances",
    "grid_services",
    "grid_service_deploys",
    "deploy_claims",
    "stack_claims",
    "frozen_pods",
];

/// How long a message between masters is kept for those that lost their stream.
const BUS_KEPT: Duration = Duration::from_secs(300);

/// What must be unique.
pub(super) fn unique() -> MustBeUnique {
    MustBeUnique { collection: "containers", fields: &["host_node_id", "container_id"], among: reported() }
}

/// Containers that an agent reported: old rows of the original may lack either field.
fn reported() -> Document {
    doc! { "host_node_id": { "$type": "objectId" }, "container_id": { "$type": "string" } }
}

impl Store {
    /// Makes the collections that are missing.
    pub(super) async fn ensure_agent_collections(&self, existing: &[String]) -> Result<(), Failure> {
        let missing = |name: &str| existing.iter().all(|found| found != name);
        let database = self.database();
        for (name, size) in CAPPED.into_iter().filter(|(name, _)| missing(name)) {
            unless_made(database.create_collection(name).capped(true).size(size).await)?;
        }
        for name in PLAIN.into_iter().filter(|name| missing(name)) {
            unless_made(database.create_collection(name).await)?;
        }
        Ok(())
    }

    /// Makes the indexes that are missing; returns those that could not be made.
    pub(super) async fn ensure_agent_indexes(&self, limit: Duration) -> Vec<IndexFailure> {
        let mut failures = Vec::new();
        for (collection, models) in models() {
            for model in models {
                let table = self.database().collection::<Document>(collection);
                if let Err(error) = table.create_index(model).max_time(limit).await {
                    failures.push(IndexFailure { collection, failure: error.into() });
                }
            }
        }
        failures
    }
}

fn models() -> [(&'static str, Vec<IndexModel>); 3] {
    let sparse = || IndexOptions::builder().sparse(true).build();
    [
        (
            "host_nodes",
            vec![
                index(doc! { "master_id": 1 }, sparse()),
                index(doc! { "session_lost_at": 1 }, sparse()),
                // Nodes that an original master left connected have no master of ours.
                index(doc! { "connected": 1, "master_id": 1 }, IndexOptions::default()),
            ],
        ),
        (
            "containers",
            vec![
                index(
                    doc! { "host_node_id": 1, "container_id": 1 },
                    IndexOptions::builder().unique(true).partial_filter_expression(reported()).build(),
                ),
                index(doc! { "container_id": 1 }, IndexOptions::default()),
                index(doc! { "deleted_at": 1 }, sparse()),
            ],
        ),
        (
            "bus",
            vec![
                index(doc! { "to": 1 }, IndexOptions::default()),
                index(doc! { "created_at": 1 }, IndexOptions::builder().expire_after(BUS_KEPT).build()),
            ],
        ),
    ]
}

/// Under the name that the original gave it, so that an existing one is recognised.
fn index(keys: Document, mut options: IndexOptions) -> IndexModel {
    let name: Vec<String> = keys.keys().map(|key| format!("{key}_1")).collect();
    options.name = Some(name.join("_"));
    IndexModel::builder().keys(keys).options(options).build()
}
