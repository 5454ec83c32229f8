//! The methods that masters and agents call on each other.

pub mod container;
mod inbound;
pub mod outbound;
mod reports;

pub use container::Container;
pub use inbound::{Call, Mistake};
pub use reports::{
    ContainerHealth, Driver, HookMark, LogLine, NodeReport, PodEvent, PodState, Stream, VolumeState,
};
