//! Indexes by which the newest deploys of every service and stack are found without reading the others.

use std::time::Duration;

use mongodb::IndexModel;
use mongodb::bson::{Document, doc};
use mongodb::options::IndexOptions;

use super::IndexFailure;
use crate::client::Store;

const NEWEST: [(&str, &str); 2] =
    [("grid_service_deploys", "grid_service_id"), ("stack_deploys", "stack_id")];

impl Store {
    /// Makes the indexes that are missing; returns those that could not be made.
    pub(super) async fn ensure_overview_indexes(&self, limit: Duration) -> Vec<IndexFailure> {
        let mut failures = Vec::new();
        for (collection, group) in NEWEST {
            let options = IndexOptions::builder().name(format!("{group}_1__id_1")).build();
            let index = IndexModel::builder().keys(doc! { group: 1, "_id": 1 }).options(options).build();
            let table = self.database().collection::<Document>(collection);
            if let Err(error) = table.create_index(index).max_time(limit).await {
                failures.push(IndexFailure { collection, failure: error.into() });
            }
        }
        failures
    }
}
