//! Containers, and what they wrote.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Named;

/// A container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// `grid/node/name`; the name alone if its node is gone.
    pub id: String,
    /// Unique on its node.
    pub name: String,
    /// Of the engine.
    pub container_id: Option<String>,
    /// The grid's name.
    pub grid_id: Option<String>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<ContainerNode>,
    /// `grid/stack/service`.
    pub service_id: Option<String>,
    /// When it was first reported.
    pub created_at: String,
    /// When it was last reported.
    pub updated_at: String,
    /// By the engine.
    pub started_at: Option<String>,
    /// By the engine; the year 1 if never.
    pub finished_at: Option<String>,
    /// When it was lost from sight.
    pub deleted_at: Option<String>,
    /// `deleted`, `paused`, `restarting`, `dead`, `running`, `oom_killed` or `stopped`.
    pub status: String,
    /// Of the engine.
    pub state: Map<String, Value>,
    /// By which deploy it was made.
    pub deploy_rev: Option<String>,
    /// From which revision of its service it was made.
    pub service_rev: Option<String>,
    /// Of its service.
    pub instance_number: Option<i64>,
    /// What it was made from.
    pub image: Option<String>,
    /// What runs in it.
    pub cmd: Option<Vec<String>>,
    /// Without secrets.
    pub env: Option<Vec<String>>,
    /// Of the engine.
    pub volumes: Vec<Value>,
    /// In the grid's own network.
    pub ip_address: Option<String>,
    /// Within it.
    pub hostname: Option<String>,
    /// Within it.
    pub domainname: Option<String>,
    /// Of the engine.
    pub network_settings: Map<String, Value>,
    /// What its own check says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_status: Option<ContainerHealth>,
}

/// The node of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerNode {
    /// Of its agent.
    pub id: Option<String>,
    /// Whether its agent is there.
    pub connected: bool,
    /// When, last.
    pub last_seen_at: Option<String>,
    /// Unique in its grid.
    pub name: String,
    /// `key=value` or `key`.
    pub labels: Vec<String>,
    /// For nodes of other regions.
    pub public_ip: Option<String>,
    /// For nodes of the same region.
    pub private_ip: Option<String>,
    /// Unique in its grid.
    pub node_number: i64,
    /// The grid it is in.
    pub grid: ContainerGrid,
}

/// The grid of a container's node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerGrid {
    /// The name.
    pub id: String,
    /// Unique.
    pub name: String,
    /// How many nodes keep the grid's state.
    pub initial_size: i64,
}

/// What a container's own check says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerHealth {
    /// `healthy` or `unhealthy`.
    pub status: String,
    /// When that was noted.
    pub updated_at: String,
}

/// Several containers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Containers {
    /// The oldest first.
    pub containers: Vec<Container>,
}

/// What a container wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Rises from line to line.
    pub id: String,
    /// Of the container.
    pub name: String,
    /// The database's id of the container.
    pub container_id: Option<String>,
    /// Of a container that belongs to a service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<Named>,
    /// Together with the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stack: Option<Named>,
    /// Together with the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<Named>,
    /// Where it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// When, by the agent's clock.
    pub created_at: String,
    /// `stdout` or `stderr`.
    #[serde(rename = "type")]
    pub stream: Option<String>,
    /// The line.
    pub data: String,
}

/// The name of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeName {
    /// Unique in its grid.
    pub name: String,
}
