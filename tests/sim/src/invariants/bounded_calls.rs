//! A driver makes a bounded number of calls and of rounds in a second of true time: it never spins.

use std::time::Duration;

use crate::time::Time;

/// Two lanes of calls that fail at once, tried again after 20 ms each, by a clock that goes 5 % too fast; and some
/// for the changes that others make.
const CALLS: u64 = 150;
/// How many looks a hint may cause.
const CALLS_FOR_A_HINT: u64 = 2;
/// How often a driver may read its clocks: a few times in a round, and a few rounds for each call.
const READS: u64 = 4_000;
/// How often it may be asked to go on.
const ROUNDS: u64 = 4_000;

const SECOND: Duration = Duration::from_secs(1);

/// What one master's driver did in the present second.
#[derive(Debug, Default)]
pub(crate) struct BoundedCalls {
    since: Time,
    calls: u64,
    hints: u64,
    rounds: u64,
    reads: u64,
}

impl BoundedCalls {
    pub(crate) fn called(&mut self, now: Time) -> Result<(), String> {
        self.begin(now);
        self.calls += 1;
        let limit = CALLS + CALLS_FOR_A_HINT * self.hints;
        within("calls", self.calls, limit)
    }

    pub(crate) fn hinted(&mut self, now: Time) {
        self.begin(now);
        self.hints += 1;
    }

    /// The driver went on once, and read its clocks so often.
    pub(crate) fn round(&mut self, now: Time, reads: u64) -> Result<(), String> {
        self.begin(now);
        self.rounds += 1;
        self.reads += reads;
        within("rounds", self.rounds, ROUNDS)?;
        within("readings of the clock", self.reads, READS)
    }

    fn begin(&mut self, now: Time) {
        if now.since(self.since) >= SECOND {
            *self = Self { since: now, ..Self::default() };
        }
    }
}

fn within(what: &str, count: u64, limit: u64) -> Result<(), String> {
    if count <= limit { Ok(()) } else { Err(format!("{count} {what} in a second, and {limit} are enough")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_calls_in_a_second_are_seen_and_many_seconds_are_not() {
        let mut invariant = BoundedCalls::default();
        for at in 0..1000 {
            assert_eq!(invariant.called(Time(at * 10_000_000)), Ok(()));
        }
        let now = Time(20_000_000_000);
        let calls: Vec<_> = (0..=CALLS).map(|_| invariant.called(now)).collect();
        assert_eq!(calls.iter().filter(|call| call.is_err()).count(), 1);
    }

    #[test]
    fn spinning_without_a_call_is_seen() {
        let mut invariant = BoundedCalls::default();
        assert_eq!(invariant.round(Time(0), READS), Ok(()));
        assert!(invariant.round(Time(0), 1).is_err());
    }
}
