//! A host: what of a master survives the end of its process.

use std::time::Duration;

use kontena_core::clock::Reading;

use crate::shared::Shared;
use crate::time::{Time, nanos};
use crate::weather::Weather;

/// Parts of a clock's rate. True time passes at a million parts.
const MILLION: u64 = 1_000_000;

/// The clocks of one host: they start anywhere, go too fast or too slow, and one of them stands while the host is
/// suspended.
#[derive(Clone, Debug)]
pub(crate) struct HostClock {
    /// When the values below were right.
    since: Time,
    at: Reading,
    /// Local nanoseconds in a million true ones.
    rate: u64,
    suspended: bool,
}

impl HostClock {
    pub(crate) fn new(start: Reading, rate: u64) -> Self {
        Self { since: Time::default(), at: start, rate, suspended: false }
    }

    pub(crate) fn read(&self, now: Time) -> Reading {
        let passed = self.local(now.since(self.since));
        Reading {
            monotonic: self.at.monotonic + if self.suspended { Duration::ZERO } else { passed },
            boottime: self.at.boottime + passed,
        }
    }

    /// The first moment at which the monotonic clock has reached `monotonic`, if it goes at all.
    pub(crate) fn when(&self, monotonic: Duration) -> Option<Time> {
        let missing = u128::from(nanos(monotonic.saturating_sub(self.at.monotonic)));
        let wait = (missing * u128::from(MILLION)).div_ceil(u128::from(self.rate));
        let wait = u64::try_from(wait).unwrap_or(u64::MAX);
        (!self.suspended).then(|| self.since.after(Duration::from_nanos(wait)))
    }

    /// The true time at which boot time reaches `boottime`, as long as the rate stays.
    pub(crate) fn when_booted(&self, boottime: Duration) -> Time {
        let missing = u128::from(nanos(boottime.saturating_sub(self.at.boottime)));
        let wait = (missing * u128::from(MILLION)).div_ceil(u128::from(self.rate));
        self.since.after(Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    pub(crate) fn set_rate(&mut self, now: Time, rate: u64) {
        self.settle(now);
        self.rate = rate;
    }

    pub(crate) fn set_suspended(&mut self, now: Time, suspended: bool) {
        self.settle(now);
        self.suspended = suspended;
    }

    pub(crate) fn suspended(&self) -> bool {
        self.suspended
    }

    fn settle(&mut self, now: Time) {
        self.at = self.read(now);
        self.since = now;
    }

    fn local(&self, passed: Duration) -> Duration {
        let local = u128::from(nanos(passed)) * u128::from(self.rate) / u128::from(MILLION);
        Duration::from_nanos(u64::try_from(local).unwrap_or(u64::MAX))
    }
}

/// One host with its master.
pub(crate) struct Host {
    pub(crate) clock: Shared<HostClock>,
    /// The configured time of the lease.
    pub(crate) ttl: Duration,
    /// The process that runs, or is being stopped.
    pub(crate) process: Option<usize>,
    /// The database cannot be reached from here.
    pub(crate) partitioned: bool,
    /// No hint arrives here.
    pub(crate) hints_lost: bool,
    pub(crate) weather: Weather,
    /// How often it was suspended; a later suspension makes the end of an earlier one void.
    pub(crate) suspensions: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock(rate: u64) -> HostClock {
        let start = Reading { monotonic: Duration::from_secs(7), boottime: Duration::from_secs(9) };
        HostClock::new(start, rate)
    }

    #[test]
    fn a_moment_is_the_first_at_which_the_clock_shows_it() {
        for rate in [950_000, 999_999, 1_000_000, 1_050_000] {
            let clock = clock(rate);
            for wait in [1, 2, 3, 999, 1_000_000_007] {
                let aim = Duration::from_secs(7) + Duration::from_nanos(wait);
                let when = clock.when(aim).unwrap();
                assert!(clock.read(when).monotonic >= aim, "{rate} {wait}");
                assert!(clock.read(Time(when.0 - 1)).monotonic < aim, "{rate} {wait}");
            }
        }
    }

    #[test]
    fn only_boot_time_goes_on_while_suspended() {
        let mut clock = clock(1_000_000);
        let second = |n: u64| Time(n * 1_000_000_000);
        clock.set_suspended(second(1), true);
        assert_eq!(clock.when(Duration::from_secs(9)), None);
        clock.set_suspended(second(4), false);
        let reading = clock.read(second(5));
        assert_eq!(reading.monotonic, Duration::from_secs(9));
        assert_eq!(reading.boottime, Duration::from_secs(14));
    }
}
