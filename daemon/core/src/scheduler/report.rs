//! Why a node was refused.

use std::fmt;

/// The filter that refused a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Its agent is not there.
    Offline,
    /// It is drained.
    Availability,
    /// It may go at any time, with the data.
    Ephemeral,
    /// Its engine lacks a volume driver.
    VolumePlugin,
    /// The volume of the instance is on another node.
    VolumeInstance,
    /// A condition of the service.
    Affinity,
    /// A port is taken.
    Port,
    /// Too few cores.
    Cpu,
    /// Too little memory.
    Memory,
    /// What the instance shares is on another node.
    Dependency,
    /// The instance's data is on another node.
    Stateful,
}

impl Reason {
    /// One word, for programs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Availability => "availability",
            Self::Ephemeral => "ephemeral",
            Self::VolumePlugin => "volume_plugin",
            Self::VolumeInstance => "volume_instance",
            Self::Affinity => "affinity",
            Self::Port => "port",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Dependency => "dependency",
            Self::Stateful => "stateful",
        }
    }

    /// The original's name of the filter, which its messages carry.
    pub(super) fn filter(self) -> &'static str {
        match self {
            Self::Offline | Self::Availability => "Availability",
            Self::Ephemeral => "Ephemeral",
            Self::VolumePlugin => "VolumePlugin",
            Self::VolumeInstance => "VolumeInstance",
            Self::Affinity => "Affinity",
            Self::Port => "Port",
            Self::Cpu => "Cpu",
            Self::Memory => "Memory",
            Self::Dependency => "Dependency",
            Self::Stateful => "Stateful",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offline => "its agent is not connected",
            Self::Availability => "it is drained",
            Self::Ephemeral => "it is ephemeral, and the service keeps data",
            Self::VolumePlugin => "its engine lacks a volume driver",
            Self::VolumeInstance => "the volume of the instance is elsewhere",
            Self::Affinity => "it does not meet an affinity of the service",
            Self::Port => "a port of the service is taken there",
            Self::Cpu => "it has too few cores",
            Self::Memory => "it has too little memory",
            Self::Dependency => "what the instance shares with others is elsewhere",
            Self::Stateful => "the data of the instance is elsewhere",
        })
    }
}

/// A node that was refused: its position among the grid's nodes, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Of [`super::Grid::nodes`].
    pub node: usize,
    /// Which filter.
    pub reason: Reason,
}
