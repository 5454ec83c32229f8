//! The network: where masters are, and the one connection to one of them. It speaks with the rest through
//! channels only.

mod backoff;
pub(crate) mod contexts;
mod follower;
mod http;
mod link;
mod sse;
pub(crate) mod target;
mod watcher;

pub(crate) use http::Master;
pub(crate) use link::{Handle, Order, start};
