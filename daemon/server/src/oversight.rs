//! What the lease thread looks after besides the lease: it tells the service manager that it lives, and makes a
//! master resign whose duties or whose runtime stand still while the lease thread itself runs on.
//!
//! Nothing here trusts one look: the whole process may have been paused, and then everything in it looks old. So
//! stillness counts between looks that follow each other closely only.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kontena_core::election::{EndReason, SitOut};
use tokio_util::sync::CancellationToken;

use crate::duties::Statuses;
use crate::election::{Oversight, Request};
use crate::events;

/// Between two looks, unless the service manager wants to hear from us more often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Between two ticks of the runtime.
const TICK_EVERY: Duration = Duration::from_millis(250);
/// Two looks that are further apart prove nothing of what lies between them.
const GAP_LIMIT: Duration = Duration::from_millis(1500);
/// A duty may take so many times its deadline, which the runtime should have ended long before.
const DEADLINES: u32 = 3;
/// How long who resigned does not stand.
const SIT_OUT: Duration = Duration::from_secs(60);

/// How the service manager is told that the lease thread lives.
pub struct Watchdog {
    /// At least so often.
    pub every: Duration,
    /// Tells it. Must not block.
    pub feed: Box<dyn Fn() + Send>,
}

/// What moves as long as the runtime does.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuntimeTicks(Arc<AtomicU64>);

impl RuntimeTicks {
    /// Ticks until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let mut interval = tokio::time::interval(TICK_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                _ = interval.tick() => self.0.fetch_add(1, Ordering::Relaxed),
            };
        }
    }
}

/// The lease thread's view of the rest of the process.
pub(crate) struct Overseer {
    watchdog: Option<Watchdog>,
    ticks: RuntimeTicks,
    statuses: Statuses,
    stillness: Stillness,
}

impl Overseer {
    pub(crate) fn new(watchdog: Option<Watchdog>, ticks: RuntimeTicks, statuses: Statuses) -> Self {
        Self { watchdog, ticks, statuses, stillness: Stillness::default() }
    }
}

impl Oversight for Overseer {
    fn every(&self) -> Duration {
        self.watchdog.as_ref().map_or(LOOK_EVERY, |watchdog| watchdog.every.min(LOOK_EVERY))
    }

    fn look(&mut self, now: Duration, ttl: Duration) -> Option<Request> {
        if let Some(watchdog) = &self.watchdog {
            (watchdog.feed)();
        }
        self.stillness.look(now);
        let mut hung = None;
        if self.stillness.of("", self.ticks.0.load(Ordering::Relaxed)) > ttl {
            hung = Some("its runtime does not run".to_owned());
        }
        for (name, run, deadline) in self.statuses.running() {
            if self.stillness.of(name, run) > deadline * DEADLINES {
                hung = Some(format!("its duty {name} has not ended in {DEADLINES} times its deadline"));
            }
        }
        let hung = hung?;
        // Not again at the next look: what is hung is given as much time once more.
        self.stillness.forget();
        tracing::error!(
            MESSAGE_ID = events::RESIGNED,
            "this master does not lead, and does not stand for {SIT_OUT:?}, since {hung}"
        );
        Some(Request::Renounce { reason: EndReason::Resigned, sit_out: SitOut::For(SIT_OUT) })
    }
}

/// For how long counters have not moved, as seen by somebody who may have stood still as well.
#[derive(Debug, Default)]
struct Stillness {
    now: Duration,
    seen: HashMap<&'static str, Seen>,
}

/// A counter, as the last look found it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    value: u64,
    since: Duration,
    looked: Duration,
}

impl Stillness {
    /// Begins a look at monotonic time `now`. What the look before did not find is not the same when it is found
    /// again: a duty that was ended with its term is not the one of the next term.
    fn look(&mut self, now: Duration) {
        let before = self.now;
        let proves = now.saturating_sub(before) <= GAP_LIMIT;
        self.seen.retain(|_, seen| proves && seen.looked == before);
        self.now = now;
    }

    /// For how long the counter of this name has had this value.
    fn of(&mut self, name: &'static str, value: u64) -> Duration {
        let now = self.now;
        let seen = self.seen.entry(name).or_insert(Seen { value, since: now, looked: now });
        if seen.value != value {
            (seen.value, seen.since) = (value, now);
        }
        seen.looked = now;
        now.saturating_sub(seen.since)
    }

    fn forget(&mut self) {
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_counter_that_moves_is_never_still() {
        let mut stillness = Stillness::default();
        for look in 1..20 {
            stillness.look(at(500 * look));
            assert_eq!(stillness.of("a", look), Duration::ZERO);
        }
    }

    #[test]
    fn stillness_counts_from_the_first_sight() {
        let mut stillness = Stillness::default();
        for (look, still) in [(100, 0), (1100, 1000), (2100, 2000)] {
            stillness.look(at(look));
            assert_eq!(stillness.of("a", 7), at(still));
        }
    }

    #[test]
    fn a_pause_of_the_whole_process_is_nobodys_stillness() {
        let mut stillness = Stillness::default();
        stillness.look(at(100));
        stillness.of("a", 7);
        stillness.look(at(60_000));
        assert_eq!(stillness.of("a", 7), Duration::ZERO);
    }

    #[test]
    fn what_was_gone_in_between_begins_anew() {
        let mut stillness = Stillness::default();
        for ms in [500, 1000] {
            stillness.look(at(ms));
            stillness.of("a", 7);
        }
        stillness.look(at(1500));
        stillness.look(at(2000));
        assert_eq!(stillness.of("a", 7), Duration::ZERO);
    }

    #[test]
    fn a_hung_runtime_resigns_once_per_ttl() {
        let ticks = RuntimeTicks::default();
        let mut overseer = Overseer::new(None, ticks.clone(), Statuses::default());
        let resigned = |overseer: &mut Overseer, ms| overseer.look(at(ms), at(2000)).is_some();
        for ms in (500..=2500).step_by(500) {
            assert!(!resigned(&mut overseer, ms), "{ms}");
        }
        assert!(resigned(&mut overseer, 3000));
        assert!(!resigned(&mut overseer, 3500));
        ticks.0.fetch_add(1, Ordering::Relaxed);
        for ms in (4000..=5500).step_by(500) {
            assert!(!resigned(&mut overseer, ms), "{ms}");
        }
    }
}
