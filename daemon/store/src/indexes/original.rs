//! The indexes of the original's collections, named as it names them, and those of ours that replace its checks by
//! query and insert or serve a query of ours. Of collections that each instance of a deploy writes to, those of the
//! original's are left out that no query here uses: each costs a write on every member. Existing ones stay.
//!
//! Databases that were upgraded lack some of the original's. Old data may have duplicates that keep a unique index
//! from being made: the start goes on without it, and inserts look first.

use std::time::Duration;

use futures_util::future::join_all;
use mongodb::IndexModel;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::IndexOptions;

use super::{IndexFailure, MustBeUnique};
use crate::client::Store;

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

/// Fields whose values are for nobody's eyes.
const SECRETS: [&str; 2] = ["token", "code"];

type Index = (&'static [&'static str], Kind);

const INDEXES: [(&str, &[Index]); 28] = [
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
    (
        "acme_orders",
        &[
            (&["slot"], UniqueSparse),
            (&["state"], Plain),
            (&["grid_id"], Plain),
            // What nobody has come back to for a month is of no use to the authority either.
            (&["updated_at"], Expiring(30 * 24 * 3600)),
        ],
    ),
    ("audit_logs", &[(&["grid_id"], Plain), (&["grid_id", "_id"], Plain)]),
    (
        "authorization_requests",
        &[(&["state"], Plain), (&["created_at"], Expiring(3600)), (&["deleted_at"], ExpiringSparse(1))],
    ),
    ("certificates", &[(&["grid_id"], Plain), (&["subject"], Plain), (&["grid_id", "subject"], Unique)]),
    ("configurations", &[(&["key"], Unique)]),
    (
        "container_logs",
        &[
            (&["grid_id", "_id"], Plain),
            (&["grid_service_id", "_id"], Plain),
            (&["container_id", "_id"], Plain),
            // For those who wrote little in a grid that writes much.
            (&["host_node_id"], Plain),
            (&["name"], Plain),
        ],
    ),
    ("container_stats", &[(&["container_id", "_id"], Plain), (&["grid_service_id", "created_at"], Plain)]),
    (
        "containers",
        &[
            (&["grid_id", "deleted_at", "container_type"], Plain),
            (&["host_node_id"], Plain),
            (&["grid_service_id"], Plain),
        ],
    ),
    (
        "event_logs",
        &[
            (&["stack_id"], Plain),
            (&["grid_service_id"], Plain),
            (&["host_node_id"], Plain),
            (&["grid_id", "_id"], Plain),
        ],
    ),
    (
        "grid_domain_authorizations",
        &[
            (&["grid_id"], Plain),
            (&["domain"], Plain),
            (&["grid_id", "domain"], Unique),
            (&["grid_service_id"], Plain),
            (&["challenge_opts.token"], Sparse),
        ],
    ),
    ("grid_secrets", &[(&["grid_id"], Plain), (&["grid_id", "name"], Unique)]),
    (
        "grid_services",
        &[
            (&["grid_id"], Plain),
            (&["name"], Plain),
            (&["grid_service_ids"], Plain),
            (&["grid_id", "stack_id", "name"], Unique),
            (&["grid_service_links.linked_grid_service_id"], Plain),
        ],
    ),
    (
        "grid_service_deploys",
        &[
            (&["created_at"], Plain),
            (&["finished_at"], Plain),
            (&["stack_deploy_id"], Sparse),
            (&["grid_service_id", "finished_at"], Plain),
        ],
    ),
    ("frozen_pods", &[(&["grid_service_id"], Plain)]),
    ("grids", &[(&["name"], Unique), (&["token"], Unique), (&["user_ids"], Plain)]),
    (
        "grid_service_instances",
        &[(&["host_node_id"], Plain), (&["grid_service_id", "instance_number"], Unique)],
    ),
    ("host_node_stats", &[(&["host_node_id", "created_at"], Plain), (&["grid_id", "created_at"], Plain)]),
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
    ("stack_deploys", &[(&["stack_id"], Plain), (&["_deploy_state"], Plain)]),
    ("stack_revisions", &[(&["stack_id"], Plain), (&["stack_id", "revision"], Plain)]),
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
            (&["removal.asked_at"], Sparse),
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

/// What must be unique, as far as it can be shown: tokens and codes cannot.
pub(super) fn unique() -> impl Iterator<Item = MustBeUnique> {
    INDEXES.into_iter().flat_map(|(collection, indexes)| {
        let shown = indexes.iter().filter(|(fields, _)| !fields.iter().any(|field| SECRETS.contains(field)));
        shown.filter_map(move |(fields, kind)| match kind {
            Unique => Some(MustBeUnique { collection, fields, among: doc! {} }),
            // A sparse index has the documents that have one of its fields.
            UniqueSparse => {
                let present: Vec<Document> =
                    fields.iter().map(|field| doc! { *field: { "$exists": true } }).collect();
                Some(MustBeUnique { collection, fields, among: doc! { "$or": present } })
            }
            Plain | Sparse | Expiring(_) | ExpiringSparse(_) => None,
        })
    })
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
    pub(super) async fn ensure_original_indexes(&self, limit: Duration) -> Vec<IndexFailure> {
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
