//! What must hold whatever happens, one file for each.

mod bounded_calls;
mod driver_stays;
mod fence_before_acting;
mod fenced_effects;
mod final_release;
mod one_acting;
mod one_call_per_lane;
mod one_holder_per_term;
mod outage_keeps_term;
mod recovery;
mod rising_terms;

use std::fmt;
use std::time::Duration;

pub(crate) use bounded_calls::BoundedCalls;
pub(crate) use driver_stays::driver_stays;
pub(crate) use fence_before_acting::fence_before_acting;
pub(crate) use fenced_effects::FencedEffects;
pub(crate) use final_release::FinalRelease;
pub(crate) use one_acting::{ActingMaster, one_acting};
pub(crate) use one_call_per_lane::one_call_per_lane;
pub(crate) use one_holder_per_term::OneHolderPerTerm;
pub(crate) use outage_keeps_term::OutageKeepsTerm;
pub use recovery::RECOVERY_LIMIT;
pub(crate) use recovery::{Recovery, Verdict};
pub(crate) use rising_terms::RisingTerms;

/// An invariant. Each is checked by the function or the type of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Invariant {
    /// No two masters act at one moment of true time.
    OneActing,
    /// A term has one holder, in the database and among those who act.
    OneHolderPerTerm,
    /// The terms of the lease and of the fence never fall.
    RisingTerms,
    /// Nobody acts before the fence stands at the own term.
    FenceBeforeActing,
    /// No effect of a term is committed after the fence rose above it.
    FencedEffects,
    /// Nobody acts under a term that was given back.
    FinalRelease,
    /// An outage of the database alone costs the leader nothing but time: its term stays.
    OutageKeepsTerm,
    /// A driver has one call under way in each lane at most.
    OneCallPerLane,
    /// A driver makes a bounded number of calls and of rounds in a second.
    BoundedCalls,
    /// A driver ends only when it was asked to.
    DriverStays,
    /// After all faults have ended, one master acts within [`RECOVERY_LIMIT`], and goes on acting.
    Recovery,
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// An invariant did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// True time since the beginning.
    pub at: Duration,
    /// What did not hold.
    pub invariant: Invariant,
    /// What was seen instead.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, invariant, detail } = self;
        write!(f, "{:>13.6} s  {invariant}: {detail}", at.as_secs_f64())
    }
}
