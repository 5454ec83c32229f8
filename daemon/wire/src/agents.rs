//! The body of `GET /v1/cluster/agents`: every agent that the masters know.

use serde::{Deserialize, Serialize};

/// The answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct AgentList {
    /// In no order.
    pub agents: Vec<Agent>,
}

/// One agent, on one host.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Agent {
    /// The node's id.
    pub id: String,
    /// The host's name.
    pub name: String,
    /// The grid that it belongs to.
    pub grid: String,
    /// Whether a master holds its session.
    pub connected: bool,
    /// The name of that master.
    #[serde(default)]
    pub master: Option<String>,
    /// Of the agent's program.
    #[serde(default)]
    pub version: Option<String>,
    /// Since when its session stands, or stood last, RFC 3339.
    #[serde(default)]
    pub since: Option<String>,
    /// The last round trip to it, in milliseconds.
    #[serde(default)]
    pub rtt_ms: Option<f64>,
}
