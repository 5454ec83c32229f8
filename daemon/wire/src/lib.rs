//! What travels: the bodies of the HTTP interface, and the messages between masters and agents, as types that
//! both ends share.

pub mod agent;
pub mod agents;
pub mod api;
pub mod cloud;
pub mod cluster;
pub mod events;
pub mod grid_events;
pub mod rpc;
pub mod services;
pub mod stacks;
