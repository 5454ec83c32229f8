//! All nodes at a glance, for people.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use mongodb::bson::{Document, doc};

use super::{HOST_NODES, HostNodes};
use crate::command::Failure;
use crate::document::Read;

/// A node as people see it in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSummary {
    /// Its document.
    pub id: Id,
    /// Its name, unique in the grid.
    pub name: String,
    /// The name of its grid. None if the grid is gone.
    pub grid: Option<String>,
    /// Whether it counts as connected.
    pub connected: bool,
    /// Who holds its agent's session.
    pub master: Option<HolderId>,
    /// Of its agent's program.
    pub agent_version: Option<String>,
    /// When its last session began, in milliseconds since 1970.
    pub connected_at: Option<i64>,
    /// When its last session ended, in milliseconds since 1970.
    pub disconnected_at: Option<i64>,
}

impl HostNodes {
    /// All nodes, in no order, but not more than `most`. Rows that make no sense are left out.
    pub async fn overview(&self, most: i64, limit: Duration) -> Result<Vec<NodeSummary>, Failure> {
        let grids = self.store.database().collection::<Document>("grids");
        let grids = grids.find(doc! {}).projection(doc! { "name": 1 }).max_time(limit).await?;
        let grids: Vec<Document> = grids.try_collect().await?;
        let grids: HashMap<Id, String> =
            grids.iter().filter_map(|grid| Some((grid.id("_id")?, grid.text("name")?))).collect();
        let fields = doc! {
            "name": 1, "grid_id": 1, "connected": 1, "master_id": 1, "agent_version": 1, "connected_at": 1,
            "disconnected_at": 1,
        };
        let nodes = self.store.database().collection::<Document>(HOST_NODES);
        let nodes = nodes.find(doc! {}).projection(fields).limit(most).max_time(limit).await?;
        let nodes: Vec<Document> = nodes.try_collect().await?;
        let summary = |node: &Document| {
            Some(NodeSummary {
                id: node.id("_id")?,
                name: node.text("name").unwrap_or_default(),
                grid: node.id("grid_id").and_then(|id| grids.get(&id).cloned()),
                connected: node.flag("connected").unwrap_or_default(),
                master: super::master(node),
                agent_version: node.text("agent_version"),
                connected_at: node.time("connected_at"),
                disconnected_at: node.time("disconnected_at"),
            })
        };
        Ok(nodes.iter().filter_map(summary).collect())
    }
}
