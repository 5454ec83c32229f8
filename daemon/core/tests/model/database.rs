//! The two documents in the database, with the conditions of the real commands and transactions that see a
//! snapshot.

use std::time::Duration;

use kontena_core::election::{Answer, Command, HolderId, Lease, PROTOCOL, RaiseAnswer, Term, Version};

use crate::rules::Rules;
use crate::setting::Setting;

/// What a majority of the database's members has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Database {
    /// The lease, once somebody inserted it.
    pub(crate) lease: Option<Lease>,
    /// What stood there before the last change, as long as a look may still show it.
    pub(crate) former: Option<Lease>,
    /// The holder's wall clock at the last renewal, in ticks from the true time of now. Only the rules that
    /// trust it keep it, so that it does not tell states apart otherwise.
    pub(crate) renewed_at: i32,
    /// The term of the fence.
    pub(crate) fence: Term,
    /// The open transactions of the leaders of the terms 1 and 2. No term of the model is above 3, so that
    /// those of term 3 cannot come too late.
    pub(crate) transactions: [Option<Transaction>; 2],
    /// Whether a leader of the terms 1 and 2 ever acted, and so may have begun a transaction.
    pub(crate) acted: [bool; 2],
    /// What must never happen, if it did.
    pub(crate) breach: Option<Breach>,
}

/// Something that happened once and must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Breach {
    /// A term was taken twice.
    TermTakenTwice,
    /// The term of the lease or of the fence went back.
    TermFell,
    /// An effect of a term was committed after the fence stood at a higher one.
    LateEffect,
    /// A master sent a second call in a lane where one was under way.
    LaneOccupied,
}

/// A transaction of a leader, as far as the fence is concerned. Its term is its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transaction {
    /// The fence stood at the own term in the snapshot.
    own_term: bool,
    /// The fence was written to since the snapshot was taken.
    stale: bool,
    /// The fence was written to in the transaction: nobody else can until it ends.
    touched: bool,
}

impl Database {
    /// A database in which no master ever was.
    pub(crate) fn empty() -> Self {
        Self {
            lease: None,
            former: None,
            renewed_at: 0,
            fence: Term(0),
            transactions: [None; 2],
            acted: [false; 2],
            breach: None,
        }
    }

    /// The term of the lease.
    pub(crate) fn term(&self) -> Term {
        self.lease.map_or(Term(0), |lease| lease.version.term)
    }

    /// Makes a command of the lease lane and answers it.
    pub(crate) fn execute(&mut self, setting: Setting, holder: HolderId, command: &Command) -> Answer {
        let before = self.lease;
        let made = match *command {
            Command::Look => return Answer::Seen(self.lease),
            Command::Create => self.create(setting.timing().ttl),
            Command::Acquire { observed, term, ttl } => {
                self.acquire(setting.rules, holder, observed, term, ttl)
            }
            Command::Renew { term, ttl } => self.replace(holder, term, |lease| Lease { ttl, ..lease }),
            Command::Release { term, .. } => {
                self.replace(holder, term, |lease| Lease { holder: None, ..lease })
            }
            Command::Raise { .. } => false,
        };
        if made {
            self.former = before;
        }
        if made { Answer::Applied } else { Answer::Refused }
    }

    fn create(&mut self, ttl: Duration) -> bool {
        if self.lease.is_some() {
            return false;
        }
        self.lease = Some(Lease {
            protocol: PROTOCOL,
            version: Version { term: self.fence, seq: 1 },
            holder: None,
            ttl,
        });
        true
    }

    fn acquire(
        &mut self,
        rules: Rules,
        holder: HolderId,
        observed: Version,
        term: Term,
        ttl: Duration,
    ) -> bool {
        let Some(lease) = self.lease else {
            return false;
        };
        let matches = if rules == Rules::AcquireByTermAlone {
            lease.version.term == observed.term
        } else {
            lease.version == observed
        };
        if !matches {
            return false;
        }
        match term.cmp(&lease.version.term) {
            std::cmp::Ordering::Less => self.breach = Some(Breach::TermFell),
            std::cmp::Ordering::Equal => self.breach = Some(Breach::TermTakenTwice),
            std::cmp::Ordering::Greater => {}
        }
        self.lease = Some(Lease {
            protocol: PROTOCOL,
            version: Version { term, seq: lease.version.seq + 1 },
            holder: Some(holder),
            ttl,
        });
        true
    }

    fn replace(&mut self, holder: HolderId, term: Term, change: impl Fn(Lease) -> Lease) -> bool {
        let Some(lease) = &mut self.lease else {
            return false;
        };
        if (lease.holder, lease.version.term) != (Some(holder), term) {
            return false;
        }
        *lease = change(*lease);
        lease.version.seq += 1;
        true
    }

    /// Releases by holder id alone and ends the holder's session, as whoever buries a dead process does.
    pub(crate) fn bury(&mut self, holder: HolderId) {
        let (term, before) = (self.term(), self.lease);
        if self.replace(holder, term, |lease| Lease { holder: None, ..lease }) {
            self.former = before;
            if let Some(place) = place(term) {
                self.transactions[place] = None;
            }
        }
    }

    /// Ends the sessions of the leaders before `term`.
    pub(crate) fn free(&mut self, term: Term) {
        for (place, transaction) in self.transactions.iter_mut().enumerate() {
            if term_at(place) < term {
                *transaction = None;
            }
        }
    }

    /// Raises the fence. None if an open transaction is in the way.
    pub(crate) fn raise(&mut self, rules: Rules, term: Term) -> Option<RaiseAnswer> {
        if self.fence > term {
            return Some(RaiseAnswer::Higher(self.fence));
        }
        if self.fence < term {
            let only_reads = rules == Rules::FenceOnlyRead;
            if !only_reads && self.transactions.iter().flatten().any(|open| open.touched) {
                return None;
            }
            self.fence = term;
            self.write_to_fence();
        }
        Some(RaiseAnswer::Raised)
    }

    fn write_to_fence(&mut self) {
        for transaction in self.transactions.iter_mut().flatten() {
            transaction.stale = true;
        }
    }

    /// Whether the leader of the term at `place` may begin a transaction.
    pub(crate) fn may_begin(&self, place: usize) -> bool {
        self.acted[place] && self.transactions[place].is_none()
    }

    /// Takes the snapshot of a transaction.
    pub(crate) fn begin(&mut self, place: usize) {
        self.transactions[place] =
            Some(Transaction { own_term: self.fence == term_at(place), stale: false, touched: false });
    }

    /// `updateOne({term: mine}, {$inc: {n: 1}})` on the fence: false if the snapshot shows another term. A
    /// transaction that cannot go on is aborted.
    pub(crate) fn touch(&mut self, rules: Rules, place: usize) -> bool {
        let Some(transaction) = self.transactions[place] else {
            return true;
        };
        let only_reads = rules == Rules::FenceOnlyRead;
        let conflict =
            !only_reads && (transaction.stale || self.transactions.iter().flatten().any(|open| open.touched));
        if conflict || !transaction.own_term {
            self.transactions[place] = None;
        } else if let Some(transaction) = &mut self.transactions[place] {
            // What was only read is in nobody's way; the commit below is possible all the same.
            transaction.touched = true;
        }
        transaction.own_term
    }

    /// Whether the transaction at `place` got as far as its commit.
    pub(crate) fn may_commit(&self, rules: Rules, place: usize) -> bool {
        self.transactions[place].is_some_and(|open| open.touched || rules == Rules::NoFence)
    }

    /// Commits, effects included.
    pub(crate) fn commit(&mut self, place: usize) {
        self.transactions[place] = None;
        if self.fence > term_at(place) {
            self.breach = Some(Breach::LateEffect);
        }
        self.write_to_fence();
    }

    /// The transaction at `place`.
    pub(crate) fn transaction(&self, place: usize) -> Option<Transaction> {
        self.transactions[place]
    }
}

impl Transaction {
    /// Whether the fence is still to be written to.
    pub(crate) fn untouched(self) -> bool {
        !self.touched
    }
}

/// Where the transaction of a term is kept.
pub(crate) fn place(term: Term) -> Option<usize> {
    match term {
        Term(1) => Some(0),
        Term(2) => Some(1),
        _ => None,
    }
}

/// The term whose transaction is kept there.
pub(crate) fn term_at(place: usize) -> Term {
    if place == 0 { Term(1) } else { Term(2) }
}
