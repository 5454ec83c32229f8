//! What came of a run.

use std::fmt;
use std::time::Duration;

use crate::fault::Injected;
use crate::invariants::Violation;

/// What came of a run. Printed, it explains a failure, and says how to see it again.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What decided everything.
    pub seed: u64,
    /// How the run was set up.
    pub scenario: String,
    /// Invariants that did not hold. The run ends with the first moment at which one does not.
    pub violations: Vec<Violation>,
    /// The faults that struck, in order.
    pub faults: Vec<Injected>,
    /// Numbers.
    pub stats: Stats,
    /// Made of everything that happened: two runs that differ in anything differ in it.
    pub hash: u64,
    /// Everything that happened, if that was asked for.
    pub history: Vec<String>,
}

/// Numbers of one run, or the sums of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Terms that were held.
    pub terms: u64,
    /// Calls on the database.
    pub calls: u64,
    /// Effects that leaders committed.
    pub effects: u64,
    /// Faults that struck.
    pub faults: u64,
    /// How long it would have taken.
    pub simulated: Duration,
}

impl Stats {
    /// Adds the numbers of another run.
    pub fn add(&mut self, other: Self) {
        let Self { terms, calls, effects, faults, simulated } = other;
        self.terms += terms;
        self.calls += calls;
        self.effects += effects;
        self.faults += faults;
        self.simulated += simulated;
    }
}

impl Outcome {
    /// Whether everything held.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }

    /// The command that runs this again.
    #[must_use]
    pub fn command(&self) -> String {
        format!("cargo lab sim --seed {}", self.seed)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, scenario, violations, faults, stats, hash, history } = self;
        writeln!(f, "seed {seed}: {scenario}")?;
        for line in history {
            writeln!(f, "{line}")?;
        }
        for fault in faults {
            writeln!(f, "{fault}")?;
        }
        let Stats { terms, calls, effects, faults, simulated } = stats;
        writeln!(
            f,
            "{simulated:?} of true time: {terms} terms, {calls} calls, {effects} effects, {faults} faults; \
             history {hash:016x}",
        )?;
        if violations.is_empty() {
            return write!(f, "every invariant held");
        }
        for violation in violations {
            writeln!(f, "VIOLATED {violation}")?;
        }
        write!(f, "replay with: {}", self.command())
    }
}
