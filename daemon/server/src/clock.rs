//! The real clocks.

use std::time::Duration;

use kontena_core::clock::{Clock, Reading};
use rustix::time::{ClockId, clock_gettime};

/// The clocks of this host.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Reading {
        Reading { monotonic: read(ClockId::Monotonic), boottime: read(ClockId::Boottime) }
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Milliseconds since 1970 by the wall clock: for people only.
#[must_use]
pub fn wall_ms() -> i64 {
    i64::try_from(read(ClockId::Realtime).as_millis()).unwrap_or(i64::MAX)
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    // The kernel's clocks are not negative.
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}
