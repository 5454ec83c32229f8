//! The clocks, read at the edge only: everything inside takes moments as values.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// One reading of both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Moment {
    /// Milliseconds since 1970, for people.
    pub(crate) wall_ms: i64,
    /// Milliseconds of the monotonic clock, for everything that is counted.
    pub(crate) mono_ms: u64,
}

impl Moment {
    /// Reads both clocks.
    pub(crate) fn now() -> Self {
        let wall = read(ClockId::Realtime).as_millis();
        let mono = read(ClockId::Monotonic).as_millis();
        Self {
            wall_ms: i64::try_from(wall).unwrap_or(i64::MAX),
            mono_ms: u64::try_from(mono).unwrap_or(u64::MAX),
        }
    }

    /// Milliseconds from `earlier` to this moment, by the monotonic clock.
    pub(crate) fn since(self, earlier: Self) -> u64 {
        self.mono_ms.saturating_sub(earlier.mono_ms)
    }
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // The kernel's clocks are not negative.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
