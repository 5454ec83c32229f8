//! Who sees everything, by the true time, and holds it against the invariants.

use std::time::Duration;

use kontena_core::election::{HolderId, Lane, Term};

use crate::database::{Documents, Entry};
use crate::invariants::{
    ActingMaster, BoundedCalls, FencedEffects, FinalRelease, Invariant, OneHolderPerTerm, OutageKeepsTerm,
    Recovery, RisingTerms, Verdict, Violation, driver_stays, fence_before_acting, one_acting,
    one_call_per_lane,
};
use crate::time::Time;

pub(crate) struct Oracle {
    violations: Vec<Violation>,
    one_holder: OneHolderPerTerm,
    rising: RisingTerms,
    effects: FencedEffects,
    release: FinalRelease,
    outage: OutageKeepsTerm,
    calls: Vec<BoundedCalls>,
    recovery: Option<Recovery>,
    /// What a majority of the database has.
    committed: Documents,
    /// How many effects were committed.
    pub(crate) effects_committed: u64,
    /// The term of the latest one.
    pub(crate) latest_effect: Option<Term>,
}

impl Oracle {
    pub(crate) fn new(masters: usize, documents: Documents) -> Self {
        let mut oracle = Self {
            violations: Vec::new(),
            one_holder: OneHolderPerTerm::default(),
            rising: RisingTerms::default(),
            effects: FencedEffects::default(),
            release: FinalRelease::default(),
            outage: OutageKeepsTerm::default(),
            calls: (0..masters).map(|_| BoundedCalls::default()).collect(),
            recovery: None,
            committed: documents,
            effects_committed: 0,
            latest_effect: None,
        };
        oracle.stands(Time::default(), documents, None);
        oracle
    }

    pub(crate) fn violated(&self) -> bool {
        !self.violations.is_empty()
    }

    pub(crate) fn take_violations(&mut self) -> Vec<Violation> {
        std::mem::take(&mut self.violations)
    }

    pub(crate) fn terms(&self) -> usize {
        self.one_holder.terms()
    }

    /// A majority of the database has one write more.
    pub(crate) fn committed(&mut self, now: Time, entry: Entry) {
        if entry.effect.is_some() {
            self.effects_committed += 1;
            self.latest_effect = entry.effect;
        }
        self.stands(now, entry.documents, entry.effect);
    }

    /// This is what a majority of the database has.
    pub(crate) fn stands(&mut self, now: Time, documents: Documents, effect: Option<Term>) {
        self.committed = documents;
        let rising = self.rising.committed(documents);
        self.hold(now, Invariant::RisingTerms, rising);
        let effects = self.effects.committed(now, documents.fence, effect);
        self.hold(now, Invariant::FencedEffects, effects);
        if let Some(lease) = documents.lease {
            let one_holder = self.one_holder.committed(&lease);
            self.hold(now, Invariant::OneHolderPerTerm, one_holder);
            self.release.committed(&lease);
            let outage = self.outage.committed(lease.version.term);
            self.hold(now, Invariant::OutageKeepsTerm, outage);
        }
    }

    /// These masters may act now.
    pub(crate) fn acting(&mut self, now: Time, acting: &[ActingMaster], holders: &[HolderId]) {
        self.hold(now, Invariant::OneActing, one_acting(acting));
        for (ActingMaster { term, .. }, holder) in acting.iter().zip(holders) {
            let one_holder = self.one_holder.acts(*term, *holder);
            self.hold(now, Invariant::OneHolderPerTerm, one_holder);
            let fence = fence_before_acting(*term, self.committed.fence);
            self.hold(now, Invariant::FenceBeforeActing, fence);
            let release = self.release.acts(*term);
            self.hold(now, Invariant::FinalRelease, release);
        }
    }

    /// A driver went on once.
    pub(crate) fn round(
        &mut self,
        now: Time,
        master: usize,
        reads: u64,
        before: Option<Term>,
        after: Option<Term>,
    ) {
        let calls = self.calls[master].round(now, reads);
        self.hold(now, Invariant::BoundedCalls, calls);
        if let Some(recovery) = &mut self.recovery {
            recovery.round(now, master, before, after);
        }
    }

    /// A call is made. Returns whether that is one too many, and should not be followed any further.
    pub(crate) fn called(&mut self, now: Time, master: usize) -> bool {
        let calls = self.calls[master].called(now);
        let refused = calls.is_err();
        self.hold(now, Invariant::BoundedCalls, calls);
        refused
    }

    pub(crate) fn hinted(&mut self, now: Time, master: usize) {
        self.calls[master].hinted(now);
    }

    pub(crate) fn lane_entered(&mut self, now: Time, master: usize, lane: Lane, under_way: u32) {
        self.hold(now, Invariant::OneCallPerLane, one_call_per_lane(master, lane, under_way));
    }

    pub(crate) fn driver_ended(&mut self, now: Time, master: usize, asked: bool) {
        self.hold(now, Invariant::DriverStays, driver_stays(master, asked));
    }

    /// An outage begins in a run in which nothing else strikes, while this term's leader acts.
    pub(crate) fn outage(&mut self, term: Term) {
        self.outage.outage(term);
    }

    /// All faults have ended.
    pub(crate) fn calm(&mut self, now: Time) {
        self.recovery = Some(Recovery::new(now));
    }

    pub(crate) fn recovery(&mut self) -> Option<&mut Recovery> {
        self.recovery.as_mut()
    }

    /// Whether the masters have recovered.
    pub(crate) fn recovered(&mut self, now: Time, ttl: Duration) -> bool {
        match self.recovery.as_ref().map(|recovery| recovery.verdict(now, ttl)) {
            Some(Verdict::Recovered) => true,
            Some(Verdict::Violated(detail)) => {
                self.hold(now, Invariant::Recovery, Err(detail));
                false
            }
            Some(Verdict::Open) | None => false,
        }
    }

    fn hold(&mut self, now: Time, invariant: Invariant, held: Result<(), String>) {
        if let Err(detail) = held {
            self.violations.push(Violation { at: now.elapsed(), invariant, detail });
        }
    }
}
