//! The indexes of the original's collections, named as it names them, and those of ours that replace its checks by
//! query and insert or serve a query of ours.
//!
//! Databases that were upgraded lack some of the original's. Old data may have duplicates that keep a unique index
//! from being made: the start goes on without it, and inserts look first.

use std::time::Duration;

use futures_util::future::join_all;
use mongodb::IndexModel;
use mongodb::bson::{Bson, Document};
use mongodb::options::IndexOptions;

use crate::client::Store;
use crate::indexes::IndexFailure;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Sparse,
    Unique,
    UniqueSparse,
    /// Seconds until a document is removed.
    Expiring(u64),
    ExpiringSparse(u64),
}

use Kind::{Expiring, ExpiringSparse, Plain, Sparse, Unique, UniqueSparse};

type Index = (&'static [&'static str], Kind);

const INDEXES: [(&str, &[Index]); 20] = [
    (
        "access_tokens",
        &[
            (&["user_id"], Plain),
            (&["internal"], Plain),
            (&["token"], Unique),
            (&["refresh_token"], Sparse),
            (&["expires_at"], Sparse),
            (&["deleted_at"], ExpiringSparse(1)),
            (&["code"], UniqueSparse),
        ],
    ),
    ("audit_logs", &[(&["grid_id"], Plain), (&["grid_id", "_id"], Plain)]),
    (
        "authorization_requests",
        &[(&["state"], Plain), (&["created_at"], Expiring(3600)), (&["deleted_at"], ExpiringSparse(1))],
    ),
    ("certificates", &[(&["grid_id"], Plain), (&["subject"], Plain), (&["grid_id", "subject"], Unique)]),
    ("configurations", &[(&["key"], Unique)]),
    ("containers", &[(&["grid_id", "deleted_at", "container_type"], Plain), (&["host_node_id"], Plain)]),
    (
        "event_logs",
        &[
            (&["created_at"], Plain),
            (&["severity"], Plain),
            (&["reason"], Plain),
            (&["grid_id"], Plain),
            (&["stack_id"], Plain),
            (&["grid_service_id"], Plain),
            (&["volume_id"], Plain),
            (&["host_node_id"], Plain),
            (&["grid_id", "_id"], Plain),
        ],
    ),
    (
        "grid_domain_authorizations",
        &[(&["grid_id"], Plain), (&["domain"], Plain), (&["grid_id", "domain"], Unique)],
    ),
    ("grid_secrets", &[(&["grid_id"], Plain), (&["grid_id", "name"], Unique)]),
    ("grid_services", &[(&["grid_id"], Plain), (&["name"], Plain), (&["grid_service_ids"], Plain)]),
    ("grids", &[(&["name"], Unique), (&["token"], Unique), (&["user_ids"], Plain)]),
    ("grid_service_instances", &[(&["grid_service_id"], Plain), (&["host_node_id"], Plain)]),
    (
        "host_nodes",
        &[
            (&["grid_id"], Plain),
            (&["labels"], Plain),
            (&["grid_id", "name"], Unique),
            (&["token"], UniqueSparse),
            (&["node_id"], UniqueSparse),
            (&["grid_id", "node_number"], Unique),
        ],
    ),
    ("networks", &[(&["name"], Plain), (&["grid_id"], Plain)]),
    ("registries", &[(&["grid_id"], Plain), (&["grid_id", "name"], Unique)]),
    ("roles", &[(&["name"], Unique), (&["user_ids"], Plain)]),
    (
        "stacks",
        &[
            (&["grid_id"], Plain),
            (&["name"], Plain),
            (&["parent_name"], Plain),
            (&["labels"], Plain),
            (&["grid_id", "name"], Unique),
        ],
    ),
    (
        "users",
        &[
            (&["email"], Unique),
            (&["external_id"], Sparse),
            (&["invite_code"], Sparse),
            (&["name"], Plain),
            (&["grid_ids"], Plain),
        ],
    ),
    ("volume_instances", &[(&["host_node_id"], Plain), (&["volume_id"], Plain)]),
    ("volumes", &[(&["grid_id"], Plain), (&["name"], Plain), (&["grid_id", "name"], Unique)]),
];

/// What must be unique in which collection, as far as it can be shown: tokens cannot.
pub(crate) fn unique() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    let of_collection = |(collection, indexes): (&'static str, &'static [Index])| {
        let unique = indexes.iter().filter(|(fields, kind)| *kind == Unique && !fields.contains(&"token"));
        unique.map(move |(fields, _)| (collection, *fields))
    };
    INDEXES.into_iter().flat_map(of_collection)
}

fn model((fields, kind): Index) -> IndexModel {
    let name: Vec<String> = fields.iter().map(|field| format!("{field}_1")).collect();
    let keys: Document = fields.iter().map(|field| ((*field).to_owned(), Bson::Int32(1))).collect();
    let expiring = match kind {
        Expiring(seconds) | ExpiringSparse(seconds) => Some(Duration::from_secs(seconds)),
        Plain | Sparse | Unique | UniqueSparse => None,
    };
    let options = IndexOptions::builder()
        .name(name.join("_"))
        .unique(matches!(kind, Unique | UniqueSparse).then_some(true))
        .sparse(matches!(kind, Sparse | UniqueSparse | ExpiringSparse(_)).then_some(true))
        .expire_after(expiring)
        .build();
    IndexModel::builder().keys(keys).options(options).build()
}

impl Store {
    /// Makes the indexes that are missing; returns those that could not be made.
    pub(crate) async fn ensure_original_indexes(&self, limit: Duration) -> Vec<IndexFailure> {
        let made = INDEXES.map(|(collection, indexes)| self.ensure_indexes_of(collection, indexes, limit));
        join_all(made).await.concat()
    }

    async fn ensure_indexes_of(
        &self,
        collection: &'static str,
        indexes: &'static [Index],
        limit: Duration,
    ) -> Vec<IndexFailure> {
        let table = self.database().collection::<Document>(collection);
        let all: Vec<IndexModel> = indexes.iter().copied().map(model).collect();
        if table.create_indexes(all).max_time(limit).await.is_ok() {
            return Vec::new();
        }
        // One of them cannot be made: the others still can.
        let mut failures = Vec::new();
        for index in indexes {
            if let Err(error) = table.create_index(model(*index)).max_time(limit).await {
                failures.push(IndexFailure { collection, failure: error.into() });
            }
        }
        failures
    }
}
