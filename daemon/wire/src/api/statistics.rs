//! What nodes and containers measured.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Several containers, those that use most first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerStats {
    /// The containers.
    pub stats: Vec<ContainerStat>,
}

/// What a container uses. Nothing is known of one that has not measured yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerStat {
    /// The container's name.
    pub container_id: String,
    /// Of the host's cores.
    pub cpu: Option<CpuUsage>,
    /// Bytes.
    pub memory: Option<MemoryUsage>,
    /// As the agent reported it.
    pub network: Option<Value>,
}

/// What a container uses of its host's cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CpuUsage {
    /// Percent of one core.
    pub usage: Option<f64>,
    /// The engine's shares.
    pub limit: Option<Value>,
    /// Of those that it may use.
    pub num_cores: i64,
}

/// What a container uses of its host's memory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryUsage {
    /// Bytes.
    pub usage: Option<Value>,
    /// Bytes.
    pub limit: Option<Value>,
}

/// What nodes measured over a time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// From when on.
    pub from: String,
    /// Until when.
    pub to: String,
    /// One point for each minute that has data.
    pub stats: Vec<Point>,
}

/// What nodes measured in a minute.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// The minute.
    pub timestamp: String,
    /// Of all hosts.
    pub cpu: PointCpu,
    /// Bytes.
    pub memory: PointMemory,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filesystem: Option<PointFilesystem>,
    /// What went over the networks.
    pub network: PointNetwork,
}

/// The cores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointCpu {
    /// Percent of one core, to two digits.
    pub used: f64,
    /// How many there are.
    pub cores: i64,
}

/// The memory, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "as the kernel names them")]
pub struct PointMemory {
    pub used: i64,
    pub total: i64,
    pub free: i64,
    pub active: i64,
    pub inactive: i64,
    pub cached: i64,
    pub buffers: i64,
}

/// The file systems, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PointFilesystem {
    pub used: i64,
    pub total: i64,
}

/// The networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointNetwork {
    /// Within the grid.
    pub internal: PointLink,
    /// Beyond it.
    pub external: PointLink,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointLink {
    /// Of the hosts.
    pub interfaces: Vec<String>,
    /// Received.
    pub rx_bytes: f64,
    /// Received.
    pub rx_bytes_per_second: f64,
    /// Sent.
    pub tx_bytes: f64,
    /// Sent.
    pub tx_bytes_per_second: f64,
}
