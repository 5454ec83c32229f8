//! Which node each instance of a service runs on: a pure function from what is known of a grid to a plan, with a
//! report of why each node was chosen or refused.
//!
//! Filters and ranking are the original's, so that what it placed stays where it is. Where the original drew lots
//! among equals, a hash of service, instance and node decides: the same grid gives the same plan, and a node that
//! comes or goes moves only what it must.

mod affinity;
mod filter;
mod grid;
mod plan;
mod report;
mod service;
mod strategy;

pub use affinity::{Affinity, AffinityFault};
pub use grid::{Container, Grid, Instance, Memory, Neighbour, Node};
pub use plan::{Choice, Placement, Plan, Unplaced, plan};
pub use report::{Reason, Refusal};
pub(crate) use service::INSTANCES_MAX;
pub use service::{NamedVolume, Service, Strategy};
