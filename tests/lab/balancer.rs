//! A real load balancer before the masters, and those who call through it.

mod calls;
mod proxy;

pub(crate) use calls::{Callers, Calls, Failure};
pub(crate) use proxy::{Kind, Proxy};
