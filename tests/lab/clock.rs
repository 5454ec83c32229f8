//! The clock that all processes of one machine share.

use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_server::clock::SystemClock;

/// Boot time: what the masters' traces count in.
pub(crate) fn now() -> Duration {
    SystemClock.now().boottime
}

/// A time in milliseconds, as it is reported.
pub(crate) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}
