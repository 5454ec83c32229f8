//! A service as the scheduler sees it.

use std::time::Duration;

use crate::agents::pod::Scope;
use crate::id::Id;

/// How the instances of a service are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Evenly over zones and nodes.
    HighAvailability,
    /// So many on every node.
    Daemon,
    /// Anywhere.
    Random,
}

/// More instances of one service than this the numbers of the nodes, of the host names and the record of a deploy do not
/// bear.
pub(crate) const INSTANCES_MAX: u16 = 10_000;

impl Strategy {
    /// By the name that services have it under; a name that is not known spreads evenly.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "daemon" => Self::Daemon,
            "random" => Self::Random,
            _ => Self::HighAvailability,
        }
    }

    /// How long a node that hosts an instance may be away before the instance is placed elsewhere.
    #[must_use]
    pub fn grace(self) -> Duration {
        Duration::from_secs(match self {
            Self::HighAvailability => 120,
            Self::Daemon => 600,
            Self::Random => 30,
        })
    }

    /// How many instances there are when `nodes` nodes take them; there is an end to how many are wanted on each.
    pub(super) fn count(self, nodes: usize, wanted: usize) -> usize {
        match self {
            Self::Daemon => nodes.saturating_mul(wanted).min(usize::from(INSTANCES_MAX)),
            Self::HighAvailability | Self::Random => wanted,
        }
    }
}

/// A named volume that a service mounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedVolume {
    /// Of the engine, without a version.
    pub driver: String,
    /// Who shares it.
    pub scope: Scope,
    /// What it is called in the engine, without the instance's number.
    pub engine_name: String,
}

impl NamedVolume {
    /// What an instance's volume is called in the engine.
    #[must_use]
    pub fn name_for(&self, number: i64) -> String {
        match self.scope {
            Scope::Instance => format!("{}-{number}", self.engine_name),
            Scope::Stack | Scope::Grid => self.engine_name.clone(),
        }
    }
}

/// What decides where the instances of a service go.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// Its id.
    pub id: Id,
    /// The name of its stack; `null` for none.
    pub stack: String,
    /// Its name.
    pub name: String,
    /// Whether its instances stay where their data is.
    pub stateful: bool,
    /// How its instances are spread.
    pub strategy: Strategy,
    /// How many are wanted; on each node, if the strategy is that of daemons.
    pub instances: usize,
    /// Its own conditions, or those of the grid if it has none.
    pub affinity: Vec<String>,
    /// The named volumes that it mounts.
    pub volumes: Vec<NamedVolume>,
    /// The ports that it takes on its nodes.
    pub node_ports: Vec<i64>,
    /// Cores.
    pub cpus: Option<f64>,
    /// Bytes, as limited.
    pub memory: Option<i64>,
    /// Bytes, as limited.
    pub memory_swap: Option<i64>,
    /// Bytes: the most that an instance was seen to use lately.
    pub memory_seen: Option<i64>,
    /// Whose volumes it mounts; `%s` stands for the number of the instance.
    pub volumes_from: Vec<String>,
    /// `bridge`, `host`, or `container:` and a name.
    pub net: String,
}

impl Service {
    /// Bytes that a node must have for an instance. 0: nothing is known.
    pub(super) fn memory_needed(&self) -> i64 {
        let limited = self.memory.or(self.memory_swap);
        // A quarter more than what was seen.
        limited.or_else(|| self.memory_seen.map(|seen| seen.saturating_add(seen / 4))).unwrap_or(0)
    }
}
