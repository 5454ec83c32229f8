//! The database: one lease, one fence, and the rules of the real store's writes.
//!
//! The primary applies a write at once, and it is acknowledged when a majority of the members has it. A new
//! primary may lack what no majority had. Reads of the lease show what a majority has, also on a primary that has
//! lost its own without noticing.

use std::collections::VecDeque;
use std::time::Duration;

use kontena_core::election::{Answer, Command, HolderId, Lease, PROTOCOL, RaiseAnswer, Term, Version};

use crate::sabotage::Sabotage;

/// What is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Documents {
    pub(crate) lease: Option<Lease>,
    pub(crate) fence: Option<Term>,
}

/// A write that no majority has yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) position: u64,
    pub(crate) documents: Documents,
    /// The term whose effect this write is, if it is one.
    pub(crate) effect: Option<Term>,
}

pub(crate) struct Database {
    /// What a majority has.
    pub(crate) committed: Documents,
    pub(crate) committed_position: u64,
    /// As things were before the last change of the lease's term, for a database that forgets.
    former: Documents,
    log: VecDeque<Entry>,
    /// Whether there is a primary.
    pub(crate) primary: bool,
    /// Counts the primaries.
    pub(crate) reign: u64,
    /// Whether the primary has lost its majority without noticing.
    pub(crate) stalled: bool,
    pub(crate) stalls: u64,
    sabotage: Sabotage,
}

impl Database {
    pub(crate) fn new(documents: Documents, sabotage: Sabotage) -> Self {
        Self {
            committed: documents,
            committed_position: 0,
            former: documents,
            log: VecDeque::new(),
            primary: true,
            reign: 0,
            stalled: false,
            stalls: 0,
            sabotage,
        }
    }

    /// What the primary has.
    pub(crate) fn head(&self) -> Documents {
        self.log.back().map_or(self.committed, |entry| entry.documents)
    }

    pub(crate) fn head_position(&self) -> u64 {
        self.log.back().map_or(self.committed_position, |entry| entry.position)
    }

    /// Carries out a command of the lease lane for `holder`. The answer counts when a majority has everything up
    /// to the present head.
    pub(crate) fn execute(&mut self, command: &Command, holder: HolderId, own_ttl: Duration) -> Answer {
        let before = self.head();
        let Some(lease) = before.lease else {
            return match command {
                Command::Look => Answer::Seen(self.committed.lease),
                Command::Create => {
                    let term = self.committed.fence.unwrap_or_default();
                    let version = Version { term, seq: 0 };
                    self.write_lease(Lease { protocol: PROTOCOL, version, holder: None, ttl: own_ttl });
                    Answer::Applied
                }
                _ => Answer::Refused,
            };
        };
        let own = |term: Term| lease.version.term == term && lease.holder == Some(holder);
        let moved = |lease: Lease| Lease {
            version: Version { seq: lease.version.seq + 1, ..lease.version },
            ..lease
        };
        let after = match *command {
            Command::Look => return Answer::Seen(self.committed.lease),
            Command::Acquire { observed, term, ttl } => {
                let by_term_alone = self.sabotage == Sabotage::AcquireByTermAlone;
                let matches =
                    lease.version == observed || by_term_alone && lease.version.term == observed.term;
                let term =
                    if self.sabotage == Sabotage::AcquireWithoutNewTerm { observed.term } else { term };
                let version = Version { term, seq: lease.version.seq + 1 };
                matches.then_some(Lease { protocol: PROTOCOL, version, holder: Some(holder), ttl })
            }
            Command::Renew { term, ttl } => own(term).then(|| moved(Lease { ttl, ..lease })),
            Command::Release { term, .. } => own(term).then(|| moved(Lease { holder: None, ..lease })),
            Command::Create | Command::Raise { .. } => None,
        };
        match after {
            Some(after) => {
                self.write_lease(after);
                Answer::Applied
            }
            None => Answer::Refused,
        }
    }

    /// Gives the lease back on behalf of a process that is dead, whatever term it held.
    pub(crate) fn bury(&mut self, holder: HolderId) {
        if let Some(lease) = self.head().lease
            && lease.holder == Some(holder)
        {
            let version = Version { seq: lease.version.seq + 1, ..lease.version };
            self.write_lease(Lease { version, holder: None, ..lease });
        }
    }

    /// The first half of a raise: reads the fence as the primary has it, majority or not.
    pub(crate) fn fence_above(&self, term: Term) -> Option<Term> {
        self.head().fence.filter(|standing| *standing > term)
    }

    /// The second half of a raise, which found what the first half did not see if it matches nothing.
    pub(crate) fn raise(&mut self, term: Term, expected: bool) -> RaiseAnswer {
        if self.sabotage == Sabotage::RaiseOnlyPretended {
            return RaiseAnswer::Raised;
        }
        let head = self.head();
        if head.fence.is_some() != expected || head.fence.is_some_and(|standing| standing > term) {
            return RaiseAnswer::Unknown;
        }
        self.append(Documents { fence: Some(term), ..head }, None);
        RaiseAnswer::Raised
    }

    /// Commits an effect of `term`, unless the fence stands elsewhere.
    pub(crate) fn effect(&mut self, term: Term) -> bool {
        let head = self.head();
        let matches = head.fence == Some(term) || self.sabotage == Sabotage::FenceUnchecked;
        if matches {
            self.append(head, Some(term));
        }
        matches
    }

    /// A majority has everything up to `position`. Returns what that adds.
    pub(crate) fn replicated(&mut self, position: u64) -> Option<Entry> {
        let next = self.log.front()?;
        if next.position > position {
            return None;
        }
        let entry = self.log.pop_front()?;
        let term = |documents: Documents| documents.lease.map(|lease| lease.version.term);
        if term(entry.documents) != term(self.committed) {
            self.former = self.committed;
        }
        self.committed = entry.documents;
        self.committed_position = entry.position;
        Some(entry)
    }

    /// How many writes no majority has.
    pub(crate) fn at_risk(&self) -> usize {
        self.log.len()
    }

    /// The primary is gone. Its successor will have `kept` of the writes that no majority has.
    pub(crate) fn lose_primary(&mut self, kept: usize) {
        self.primary = false;
        self.reign += 1;
        self.log.truncate(kept);
        if self.sabotage == Sabotage::AcknowledgedWritesLost {
            self.log.clear();
            self.committed = self.former;
        }
    }

    fn write_lease(&mut self, lease: Lease) {
        self.append(Documents { lease: Some(lease), ..self.head() }, None);
    }

    fn append(&mut self, documents: Documents, effect: Option<Term>) {
        let position = self.head_position() + 1;
        self.log.push_back(Entry { position, documents, effect });
    }
}
