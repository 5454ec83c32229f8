//! True time: what no master can read, and the oracle judges by.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Nanoseconds since the simulation began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Time(pub(crate) u64);

impl Time {
    pub(crate) fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(nanos(wait)))
    }

    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(self.0)
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elapsed = self.elapsed();
        write!(f, "{}.{:09}", elapsed.as_secs(), elapsed.subsec_nanos())
    }
}

/// The nanoseconds of a duration that the simulation can reach.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The present, as the event loop sets it and everything else reads it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Present(Arc<AtomicU64>);

impl Present {
    pub(crate) fn get(&self) -> Time {
        Time(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn set(&self, time: Time) {
        self.0.store(time.0, Ordering::Relaxed);
    }
}
