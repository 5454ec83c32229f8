//! What must exist before agents come: the collections that they fill, ring buffers among them, and the indexes
//! that their admission relies on.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::error::ErrorKind;
use mongodb::options::IndexOptions;

use crate::client::Store;
use crate::command::Failure;
use crate::indexes::IndexFailure;

const MIB: u64 = 1 << 20;

/// Ring buffers and their sizes, for a database in which they do not exist.
const CAPPED: [(&str, u64); 4] = [
    ("container_logs", 1000 * MIB),
    ("container_stats", 500 * MIB),
    ("event_logs", 100 * MIB),
    ("host_node_stats", 128 * MIB),
];

const PLAIN: [&str; 7] = [
    "bus",
    "containers",
    "grid_service_instances",
    "grids",
    "host_nodes",
    "volume_instances",
    "grid_services",
];

/// How long a message between masters is kept for those that lost their stream.
const BUS_KEPT: Duration = Duration::from_secs(300);

pub(crate) async fn ensure(
    store: &Store,
    existing: &[String],
    limit: Duration,
) -> Result<Vec<IndexFailure>, Failure> {
    let missing = |name: &str| existing.iter().all(|found| found != name);
    let database = store.database();
    for (name, size) in CAPPED.into_iter().filter(|(name, _)| missing(name)) {
        made(database.create_collection(name).capped(true).size(size).await)?;
    }
    for name in PLAIN.into_iter().filter(|name| missing(name)) {
        made(database.create_collection(name).await)?;
    }
    let mut failures = Vec::new();
    for (collection, models) in models() {
        for model in models {
            let made = database.collection::<Document>(collection).create_index(model).max_time(limit).await;
            if let Err(error) = made {
                failures.push(IndexFailure { collection, failure: error.into() });
            }
        }
    }
    Ok(failures)
}

/// Another master may have been faster.
fn made(outcome: mongodb::error::Result<()>) -> Result<(), Failure> {
    match outcome {
        Err(error) if !matches!(&*error.kind, ErrorKind::Command(command) if command.code == 48) => {
            Err(error.into())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn models() -> [(&'static str, Vec<IndexModel>); 6] {
    let unique = || IndexOptions::builder().unique(true);
    [
        (
            "host_nodes",
            vec![
                index(doc! { "node_id": 1 }, unique().sparse(true).build()),
                index(doc! { "token": 1 }, unique().sparse(true).build()),
                index(doc! { "grid_id": 1, "name": 1 }, unique().build()),
                index(doc! { "grid_id": 1, "node_number": 1 }, unique().build()),
                index(doc! { "master_id": 1 }, IndexOptions::builder().sparse(true).build()),
                index(doc! { "session_lost_at": 1 }, IndexOptions::builder().sparse(true).build()),
            ],
        ),
        (
            "grids",
            vec![index(doc! { "token": 1 }, unique().build()), index(doc! { "name": 1 }, unique().build())],
        ),
        (
            "containers",
            vec![
                index(
                    doc! { "host_node_id": 1, "container_id": 1 },
                    unique()
                        .partial_filter_expression(doc! {
                            "host_node_id": { "$type": "objectId" }, "container_id": { "$type": "string" },
                        })
                        .build(),
                ),
                index(doc! { "container_id": 1 }, IndexOptions::default()),
                index(doc! { "deleted_at": 1 }, IndexOptions::builder().sparse(true).build()),
            ],
        ),
        ("grid_service_instances", vec![index(doc! { "host_node_id": 1 }, IndexOptions::default())]),
        ("volume_instances", vec![index(doc! { "host_node_id": 1 }, IndexOptions::default())]),
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
