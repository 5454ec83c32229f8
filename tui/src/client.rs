//! The network: where masters are, and the one connection to one of them. It speaks with the rest through
//! channels only.

mod backoff;
pub(crate) mod contexts;
mod http;
mod link;
mod sse;
pub(crate) mod target;

pub(crate) use http::Master;
pub(crate) use link::{Handle, Order, start};
