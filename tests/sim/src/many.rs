//! Many seeds at once.

use std::ops::Range;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::invariants::Violation;
use crate::outcome::Stats;
use crate::simulation::run;

/// After how many seeds a thread tells how far it is.
const REPORT_EVERY: u64 = 256;
/// How many failures are kept.
const FAILURES_MAX: usize = 100;

/// How far many runs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Seeds that were run.
    pub done: u64,
    /// Of so many.
    pub of: u64,
    /// Seeds that violated an invariant.
    pub failed: u64,
}

/// A seed that violated an invariant. Run it alone to see its faults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// What did not hold.
    pub violations: Vec<Violation>,
}

/// What came of many runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Seeds that were run.
    pub seeds: u64,
    /// Seeds that violated an invariant.
    pub failed: u64,
    /// The first of them, in the order of the seeds.
    pub failures: Vec<Failure>,
    /// The sums of all runs.
    pub stats: Stats,
}

impl Summary {
    fn join(&mut self, other: Self) {
        let Self { seeds, failed, failures, stats } = other;
        self.seeds += seeds;
        self.failed += failed;
        self.failures.extend(failures);
        self.failures.sort_by_key(|failure| failure.seed);
        self.failures.truncate(FAILURES_MAX);
        self.stats.add(stats);
    }
}

/// Runs all `seeds` on so many threads, and tells `progress` now and then how far it is. `progress` returns
/// whether to go on.
pub fn run_many(seeds: Range<u64>, threads: usize, progress: impl Fn(Progress) -> bool + Sync) -> Summary {
    let of = seeds.end.saturating_sub(seeds.start);
    let next = AtomicU64::new(seeds.start);
    let (done, failed, ended) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let total = Mutex::new(Summary::default());
    let work = || {
        let mut summary = Summary::default();
        while !ended.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let outcome = run(seed);
            let passed = outcome.passed();
            summary.join(Summary {
                seeds: 1,
                failed: u64::from(!passed),
                failures: if passed {
                    Vec::new()
                } else {
                    vec![Failure { seed, violations: outcome.violations }]
                },
                stats: outcome.stats,
            });
            failed.fetch_add(u64::from(!passed), Ordering::Relaxed);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            let told = Progress { done, of, failed: failed.load(Ordering::Relaxed) };
            if (done.is_multiple_of(REPORT_EVERY) || done == of) && !progress(told) {
                ended.store(true, Ordering::Relaxed);
            }
        }
        total.lock().unwrap_or_else(PoisonError::into_inner).join(summary);
    };
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    total.into_inner().unwrap_or_else(PoisonError::into_inner)
}
