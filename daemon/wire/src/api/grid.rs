//! Grids.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A grid.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    /// The name.
    pub id: String,
    /// Unique.
    pub name: String,
    /// With which agents join.
    pub token: String,
    /// How many nodes keep the grid's state.
    pub initial_size: i64,
    /// Where statistics go.
    pub stats: Stats,
    /// For services without an affinity.
    pub default_affinity: Vec<String>,
    /// Between which nodes traffic is not encrypted.
    pub trusted_subnets: Vec<String>,
    /// Connected or not.
    pub node_count: u64,
    /// Services.
    pub service_count: u64,
    /// Containers that are not deleted.
    pub container_count: u64,
    /// Members.
    pub user_count: u64,
    /// Of the containers, in CIDR notation.
    pub subnet: String,
    /// Of the agents' own containers too, in CIDR notation.
    pub supernet: String,
    /// Where logs go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<LogForwarding>,
}

/// Where statistics go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// None: nowhere.
    pub statsd: Option<Statsd>,
}

/// A statsd server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statsd {
    /// Host.
    pub server: String,
    /// UDP port.
    pub port: i64,
}

/// Where the engines send what containers write.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogForwarding {
    /// Always `fluentd`.
    pub forwarder: String,
    /// Of the engine's log driver.
    pub opts: Map<String, Value>,
}

/// Several grids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Grids {
    /// The oldest first.
    pub grids: Vec<Grid>,
}
