//! The times of the election, all of them shares of one setting.

use std::time::Duration;

use thiserror::Error;

/// How long a lease lasts without renewal, if nothing else is configured.
pub const TTL_DEFAULT: Duration = Duration::from_secs(2);
/// The shortest time that may be configured.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// The longest time that may be configured.
pub const TTL_MAX: Duration = Duration::from_secs(60);

/// Raising the fence takes so many calls at most.
pub const RAISE_STEPS: u32 = 4;

/// The configured time is outside of [`TTL_MIN`] to [`TTL_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a lease lasts from {} s to {} s", TTL_MIN.as_secs(), TTL_MAX.as_secs())]
pub struct InvalidTtl;

/// When to renew, to look, to give up. The fields are open so that the model can use coarser grains; the
/// daemon gets them from [`Timing::new`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// How long the lease lasts from the last sight of a renewal.
    pub ttl: Duration,
    /// Between two renewals of the holder, and between two looks of a follower.
    pub every: Duration,
    /// The longest wait for the answer to one call on the lease.
    pub call_limit: Duration,
    /// The same for the call that takes the lease: a look was just answered, so that the way is free, and a majority
    /// may be slow. Whoever gives up too soon has to find out whether it took it.
    pub acquire_limit: Duration,
    /// From a failed call to the next one.
    pub retry: Duration,
    /// The longest wait for the answer to one raise of the fence: [`RAISE_STEPS`] calls, one after the other.
    pub raise_call_limit: Duration,
    /// The longest wait for each of these.
    pub raise_step_limit: Duration,
    /// A holder that could not raise the fence for so long gives the lease back.
    pub raise_limit: Duration,
    /// The first wait of who could not raise the fence; doubles up to [`Timing::back_off_max`].
    pub back_off: Duration,
    /// The longest such wait.
    pub back_off_max: Duration,
    /// For so long a free lease is left to a master that is preferred.
    pub yield_for: Duration,
}

impl Timing {
    /// The daemon's times for a lease of `ttl`.
    pub fn new(ttl: Duration) -> Result<Self, InvalidTtl> {
        if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
            return Err(InvalidTtl);
        }
        let raise_step_limit = (ttl / 8).max(Duration::from_millis(250));
        Ok(Self {
            ttl,
            every: ttl / 4,
            call_limit: ttl / 5,
            acquire_limit: ttl / 2,
            retry: Duration::from_millis(20),
            raise_call_limit: raise_step_limit * RAISE_STEPS,
            raise_step_limit,
            raise_limit: ttl,
            back_off: Duration::from_secs(1),
            back_off_max: Duration::from_secs(30),
            yield_for: Duration::from_millis(100),
        })
    }

    /// How long a holder may act after it *sent* a renewal that was acknowledged. The missing tenth covers two
    /// clocks whose rates are off by 5 % each, in opposite directions: 0.9 / 0.95 < 1 / 1.05.
    #[must_use]
    pub fn hold(ttl: Duration) -> Duration {
        ttl * 9 / 10
    }

    /// The longest time between two successful looks over which silence may be counted on, for a lease of `ttl`: as
    /// long as it takes if the next look begins in its time and has its answer within its limit. One that is slow
    /// once must not cost another ttl.
    #[must_use]
    pub fn gap_limit(ttl: Duration) -> Duration {
        ttl * 9 / 20
    }

    /// How long who stepped down sits out, unless another term is seen first.
    #[must_use]
    pub fn sit_out(&self) -> Duration {
        self.ttl * 5
    }

    /// The longest time for one batch of the leader's effects: several calls one after the other, the last of which waits
    /// for a majority.
    #[must_use]
    pub fn batch_limit(&self) -> Duration {
        (self.ttl / 2).max(Duration::from_secs(1))
    }

    /// The longest wait for a new connection, on which calls on the lease are to be made.
    #[must_use]
    pub fn connect_limit(&self) -> Duration {
        self.ttl / 4
    }

    /// The longest wait for the heartbeat that masters write for each other.
    #[must_use]
    pub fn heartbeat_limit(&self) -> Duration {
        (self.ttl * 9 / 20).max(Duration::from_millis(900))
    }

    /// A heartbeat that took so long is slow, for a lease of this time.
    #[must_use]
    pub fn slow(&self) -> Duration {
        self.ttl * 3 / 40
    }

    /// The wait after the `failures`-th raise in a row that did not succeed in time.
    #[must_use]
    pub fn back_off_after(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(1).min(16);
        self.back_off.saturating_mul(1 << doublings).min(self.back_off_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_always_stops_before_a_follower_may_take_over() {
        // Rates in thousandths of true time; all pairs of a slow holder and a fast follower within 5 %.
        for holder in 950..=1050_u32 {
            for follower in 950..=1050_u32 {
                let holder_stops = Timing::hold(TTL_DEFAULT) * 1000 / holder;
                let follower_takes = TTL_DEFAULT * 1000 / follower;
                assert!(holder_stops < follower_takes, "{holder} {follower}");
            }
        }
    }

    #[test]
    fn a_look_that_takes_its_whole_time_does_not_break_the_silence() {
        for ttl in [TTL_MIN, TTL_DEFAULT, TTL_MAX] {
            let Ok(timing) = Timing::new(ttl) else { panic!("it is valid") };
            assert_eq!(Timing::gap_limit(ttl), timing.every + timing.call_limit);
        }
    }

    #[test]
    fn a_lease_that_is_too_short_or_too_long_is_refused() {
        assert!(Timing::new(Duration::from_millis(999)).is_err());
        assert!(Timing::new(Duration::from_secs(61)).is_err());
        assert!(Timing::new(TTL_DEFAULT).is_ok());
    }

    #[test]
    fn who_has_more_time_for_the_lease_has_more_for_all_that_goes_with_it() {
        let of = |seconds| {
            let Ok(timing) = Timing::new(Duration::from_secs(seconds)) else { panic!("it is valid") };
            let times = [
                timing.call_limit,
                timing.raise_step_limit,
                timing.raise_call_limit,
                timing.batch_limit(),
                timing.connect_limit(),
                timing.heartbeat_limit(),
                timing.slow(),
            ];
            times.map(|time| time.as_millis())
        };
        assert_eq!(of(2), [400, 250, 1000, 1000, 500, 900, 150]);
        assert_eq!(of(10), [2000, 1250, 5000, 5000, 2500, 4500, 750]);
    }

    #[test]
    fn the_wait_after_failed_raises_doubles_and_ends() {
        let Ok(timing) = Timing::new(TTL_DEFAULT) else { panic!("the default is valid") };
        let waits: Vec<u64> = (1..=7).map(|failures| timing.back_off_after(failures).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
        assert_eq!(timing.back_off_after(u32::MAX), timing.back_off_max);
    }
}
