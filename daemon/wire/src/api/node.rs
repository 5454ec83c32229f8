//! Nodes.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{LogForwarding, Stats};

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "as the contract has it")]
pub struct Node {
    /// `grid/name`.
    pub id: String,
    /// Of the agent; none until it first connects.
    pub node_id: Option<String>,
    /// Whether its agent is there.
    pub connected: bool,
    /// Whether its agent told what the node is.
    pub updated: bool,
    /// `active` or `drain`.
    pub availability: String,
    /// When.
    pub created_at: String,
    /// When.
    pub updated_at: String,
    /// When, last.
    pub connected_at: Option<String>,
    /// When, last.
    pub last_seen_at: Option<String>,
    /// When, last.
    pub disconnected_at: Option<String>,
    /// `created`, `offline`, `connecting`, `drain` or `online`.
    pub status: String,
    /// Whether it has a token of its own.
    pub has_token: bool,
    /// Unique in its grid.
    pub name: String,
    /// Operating system.
    pub os: Option<String>,
    /// Where the engine keeps its data.
    pub engine_root_dir: Option<String>,
    /// Of the engine's storage.
    pub driver: Option<String>,
    /// Of the engine.
    pub network_drivers: Vec<NodePlugin>,
    /// Of the engine.
    pub volume_drivers: Vec<NodePlugin>,
    /// Of the kernel.
    pub kernel_version: Option<String>,
    /// `key=value` or `key`.
    pub labels: Vec<String>,
    /// Bytes.
    pub mem_total: Option<i64>,
    /// Bytes.
    pub mem_limit: Option<i64>,
    /// Count.
    pub cpus: Option<i64>,
    /// For nodes of other regions.
    pub public_ip: Option<String>,
    /// For nodes of the same region.
    pub private_ip: Option<String>,
    /// In the grid's own network.
    pub overlay_ip: String,
    /// Of the agent.
    pub agent_version: Option<String>,
    /// Of the engine.
    pub docker_version: Option<String>,
    /// Where it reaches the other nodes.
    pub peer_ips: Vec<String>,
    /// From 1 to 254, unique in its grid.
    pub node_number: i64,
    /// Whether it keeps the grid's state.
    pub initial_member: bool,
    /// The grid it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grid: Option<NodeGrid>,
    /// What its agent last measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_usage: Option<Map<String, Value>>,
}

/// A driver of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePlugin {
    /// What it is called.
    pub name: String,
    /// None for those that come with the engine.
    pub version: Option<String>,
}

/// The grid of a node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NodeGrid {
    /// The name.
    pub id: String,
    /// Unique.
    pub name: String,
    /// How many nodes keep the grid's state.
    pub initial_size: i64,
    /// With which agents join.
    pub token: String,
    /// Where statistics go.
    pub stats: Stats,
    /// Where logs go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logs: Option<LogForwarding>,
    /// Between which nodes traffic is not encrypted.
    pub trusted_subnets: Vec<String>,
    /// Of the containers.
    pub subnet: String,
    /// Of the agents' own containers too.
    pub supernet: String,
}

/// Several nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nodes {
    /// By name.
    pub nodes: Vec<Node>,
}

/// The token of a node.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeToken {
    /// `grid/name`.
    pub id: String,
    /// With which its agent joins.
    pub token: String,
}

/// How a connected node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeHealth {
    /// `grid/name`.
    pub id: String,
    /// Unique in its grid.
    pub name: String,
    /// From 1 to 254, unique in its grid.
    pub node_number: i64,
    /// Whether it keeps the grid's state.
    pub initial_member: bool,
    /// As for a node.
    pub status: String,
    /// When, last.
    pub connected_at: Option<String>,
    /// When, last.
    pub disconnected_at: Option<String>,
    /// Whether its agent is there.
    pub connected: bool,
    /// What its agent says.
    pub etcd_health: EtcdHealth,
}

/// How the etcd of a node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtcdHealth {
    /// Whether it is well. None: see the error.
    pub health: Option<bool>,
    /// Why that is not known.
    pub error: Option<String>,
}
