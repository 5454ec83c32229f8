//! After all faults have ended, one master acts within a bounded time, and goes on acting in the same term for
//! ten ttl.

use std::time::Duration;

use kontena_core::election::Term;

use crate::time::Time;

/// From the end of the last fault until one master acts for good, in true time. It covers the longest back-off
/// after failed raises (30 s), the longest time to sit out (five ttl of 5 s), requests that were sent before and
/// take effect late (8 s), and two elections after that, by clocks that go 5 % too slow.
pub const RECOVERY_LIMIT: Duration = Duration::from_secs(60);

/// How many ttl it must last.
const LASTING: u32 = 10;

/// How far the masters are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Not yet.
    Open,
    Recovered,
    /// Never, or not in time.
    Violated(String),
}

/// Watches from the end of the last fault on.
#[derive(Debug)]
pub(crate) struct Recovery {
    calm_since: Time,
    /// The master that acts, its term, and since when it has been so without a gap.
    acting: Option<(usize, Term, Time)>,
}

impl Recovery {
    pub(crate) fn new(now: Time) -> Self {
        Self { calm_since: now, acting: None }
    }

    /// A driver went on: what its master might do before, and what it may do now. Only this opens a permission,
    /// so a gap is seen here at the latest.
    pub(crate) fn round(&mut self, now: Time, master: usize, before: Option<Term>, after: Option<Term>) {
        if let Some((acting, term, _)) = self.acting
            && acting == master
            && (before != Some(term) || after != Some(term))
        {
            self.acting = None;
        }
        if let (None, Some(term)) = (self.acting, after) {
            self.acting = Some((master, term, now));
        }
    }

    /// The master that should be acting now.
    pub(crate) fn acting(&self) -> Option<(usize, Term)> {
        self.acting.map(|(master, term, _)| (master, term))
    }

    /// The master that should be acting is not.
    pub(crate) fn lapsed(&mut self) {
        self.acting = None;
    }

    pub(crate) fn verdict(&self, now: Time, ttl: Duration) -> Verdict {
        let latest = self.calm_since.after(RECOVERY_LIMIT);
        match self.acting {
            Some((_, _, since)) if since <= latest => {
                if now.since(since) >= ttl * LASTING {
                    Verdict::Recovered
                } else {
                    Verdict::Open
                }
            }
            _ if now <= latest => Verdict::Open,
            Some((master, term, since)) => Verdict::Violated(format!(
                "all faults ended at {}, and master {master} acts without a gap only since {since} (term {term})",
                self.calm_since,
            )),
            None => Verdict::Violated(format!("all faults ended at {}, and nobody acts", self.calm_since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(2);

    fn second(n: u64) -> Time {
        Time(n * 1_000_000_000)
    }

    #[test]
    fn ten_ttl_without_a_gap_are_a_recovery() {
        let mut recovery = Recovery::new(second(10));
        recovery.round(second(12), 1, None, Some(Term(3)));
        assert_eq!(recovery.verdict(second(31), TTL), Verdict::Open);
        assert_eq!(recovery.verdict(second(32), TTL), Verdict::Recovered);
    }

    #[test]
    fn a_gap_begins_the_count_again() {
        let mut recovery = Recovery::new(second(10));
        recovery.round(second(12), 1, None, Some(Term(3)));
        recovery.round(second(31), 1, None, Some(Term(3)));
        assert_eq!(recovery.verdict(second(32), TTL), Verdict::Open);
        assert_eq!(recovery.verdict(second(51), TTL), Verdict::Recovered);
    }

    #[test]
    fn nobody_in_time_and_somebody_too_late_are_seen() {
        let mut recovery = Recovery::new(second(10));
        assert_eq!(recovery.verdict(second(70), TTL), Verdict::Open);
        assert!(matches!(recovery.verdict(second(71), TTL), Verdict::Violated(_)));
        recovery.round(second(71), 1, None, Some(Term(3)));
        assert!(matches!(recovery.verdict(second(71), TTL), Verdict::Violated(_)));
    }
}
