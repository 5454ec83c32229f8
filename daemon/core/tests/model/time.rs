//! Time in the model: whole ticks of true time, counted by clocks that are exact, 5 % slow or 5 % fast.
//!
//! A clock counts 19, 20 or 21 units in it, so that no rounding is needed. How many ticks the ttl has differs
//! from set to set. Every state is told relative to each master's own now, which is therefore always [`NOW`]:
//! two states that differ by when they happen only are one.

use std::time::Duration;

use kontena_core::clock::Reading;
use kontena_core::election::Timing;

/// Both clocks of every master, always.
pub(crate) const NOW: Reading =
    Reading { monotonic: Duration::from_nanos(123_456), boottime: Duration::from_nanos(123_456) };

/// What an exact clock counts in a tick.
pub(crate) const TICK: Duration = Duration::from_nanos(20);

/// The times of the election, for a ttl of so many ticks, in units of the masters' clocks. They have the
/// proportions of production, rounded so that each clock takes the same number of ticks where it matters:
/// in coarse grains, a look that comes a tick late would be behind the greatest gap for ever.
pub(crate) fn timing(ticks: u32) -> Timing {
    let ttl = TICK * ticks;
    Timing {
        ttl,
        every: ttl / 4 * 19 / 20,
        call_limit: ttl / 5,
        acquire_limit: ttl / 2,
        // The next tick, by every clock.
        retry: Duration::from_nanos(1),
        raise_call_limit: ttl / 5,
        raise_step_limit: ttl / 5,
        raise_limit: ttl,
        // Both the same, so that the number of failures before does not tell states apart.
        back_off: ttl / 2,
        back_off_max: ttl / 2,
        yield_for: TICK,
    }
}

/// How many units a clock counts in a tick of true time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Rate {
    /// 0.95 of true time.
    Slow,
    /// True time.
    Exact,
    /// 1.05 of true time.
    Fast,
}

impl Rate {
    /// What the clock counts in one tick.
    pub(crate) const fn tick(self) -> Duration {
        Duration::from_nanos(match self {
            Self::Slow => 19,
            Self::Exact => 20,
            Self::Fast => 21,
        })
    }

    /// The clocks of three masters, every way that differs by more than the order.
    pub(crate) fn all_of_three() -> Vec<[Self; 3]> {
        let all = [Self::Slow, Self::Exact, Self::Fast];
        let mut sets = Vec::new();
        for a in all {
            for b in all {
                for c in all {
                    if a <= b && b <= c {
                        sets.push([a, b, c]);
                    }
                }
            }
        }
        sets
    }
}
