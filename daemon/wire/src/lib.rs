//! What travels: the bodies of the HTTP interface, as types that both ends share.

pub mod agents;
pub mod cluster;
pub mod events;
