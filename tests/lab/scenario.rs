//! The scenarios, one file each.

pub(crate) mod api;
pub(crate) mod demo;
pub(crate) mod failover;
pub(crate) mod handover;
pub(crate) mod idle;
pub(crate) mod mongo_failover;
pub(crate) mod sim;
