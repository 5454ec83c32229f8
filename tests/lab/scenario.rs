//! The scenarios, one file each.

pub(crate) mod agents;
pub(crate) mod api;
pub(crate) mod balancers;
pub(crate) mod bus;
pub(crate) mod chaos;
pub(crate) mod cloud;
pub(crate) mod demo;
pub(crate) mod failover;
pub(crate) mod handover;
pub(crate) mod herd;
pub(crate) mod hosts;
pub(crate) mod idle;
pub(crate) mod misbehaviour;
pub(crate) mod mongo_failover;
pub(crate) mod schedule;
pub(crate) mod sim;
pub(crate) mod soak;
pub(crate) mod tui;
