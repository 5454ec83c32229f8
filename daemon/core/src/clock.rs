//! The two clocks of a host that decisions may be based on, and the seam through which they come in.
//!
//! The wall clock is missing on purpose: it jumps, and no decision compares clocks of two machines.

use std::future::Future;
use std::time::Duration;

/// What the two clocks of this host say at one moment, each counted from its own, meaningless zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reading {
    /// `CLOCK_MONOTONIC`: stands still while the host is suspended. Whoever waits for somebody else's time to
    /// run out counts with it, since it never counts too much.
    pub monotonic: Duration,
    /// `CLOCK_BOOTTIME`: goes on while the host is suspended. Whoever holds something that runs out counts
    /// with it, since it never counts too little.
    pub boottime: Duration,
}

/// The clocks of a host, and waiting by them. One of the three seams that the simulator replaces.
pub trait Clock: Clone + Send + Sync + 'static {
    /// Reads both clocks.
    fn now(&self) -> Reading;

    /// Ends after `duration` by `CLOCK_MONOTONIC`, never before.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}
