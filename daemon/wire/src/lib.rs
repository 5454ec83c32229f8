//! What travels: the bodies of the HTTP interface, as types that both ends share.

pub mod api;
pub mod cluster;
