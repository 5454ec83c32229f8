//! What a master remembers of the election: plain data, so that a test can look at every part of it.

use std::time::Duration;

use super::{Command, EndReason, Lease, Term, Version};
use crate::clock::Reading;

/// Everything that [`Election::step`](super::Election::step) may base a decision on, besides its parameters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Follower, holder, or on the way from the one to the other.
    pub role: Role,
    /// The call under way in the lease lane.
    pub call: Option<Call>,
    /// The term of the raise under way in the fence lane.
    pub raising: Option<Term>,
    /// The next call on the lease is due at this monotonic time.
    pub next_call_at: Duration,
    /// A hint came while a look was under way, which may have read what stood there before.
    pub look_again: bool,
    /// The greatest term ever seen, in the lease or in the fence.
    pub highest: Term,
    /// Why this master does not stand for now.
    pub bar: Option<Bar>,
    /// The greatest term that this master gave up, with the reason of the last one. Whatever the database says
    /// later, no term up to it is acted under again.
    pub renounced: Option<(Term, EndReason)>,
    /// Whether this master may stand at all.
    pub eligible: bool,
    /// Whether a master is there that is preferred to this one: a lease that was given back is left to it for a
    /// while.
    pub yields: bool,
    /// How often in a row the fence could not be raised in time.
    pub raise_failures: u32,
    /// The lease as it was seen last, for people.
    pub last_seen: Option<Lease>,
}

/// A call that was not answered yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Call {
    /// What was asked for.
    pub command: Command,
    /// Taken before the request left.
    pub sent_at: Reading,
}

/// What this master is, by its own knowledge.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Somebody else may hold the lease.
    Following {
        /// What silence is counted from. None after anything that makes the count worthless.
        sight: Option<Sight>,
        /// What the next call is for.
        next: Next,
    },
    /// This master took the lease, and nobody told it that it was taken away.
    Holding(Holding),
    /// This master gives the lease back and does not know yet that it arrived.
    Releasing(Releasing),
}

/// What a follower calls the database for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Next {
    /// To see the lease.
    Look,
    /// To insert the lease that was not there.
    Create,
    /// To take the lease that was just seen to be free.
    Acquire(Version),
}

/// Since when the same version of the lease has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sight {
    /// What was seen.
    pub version: Version,
    /// Monotonic time of the first answer that showed it.
    pub since: Duration,
    /// Monotonic time of the last answer that showed it.
    pub last: Duration,
}

/// What a holder counts with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holding {
    /// The term that is held.
    pub term: Term,
    /// Boot time at which the last acknowledged acquire or renewal was sent. None until one was.
    pub confirmed_at: Option<Duration>,
    /// The time to count with: the smallest that followers may go by.
    pub counted_ttl: Duration,
    /// How far the fence is.
    pub fence: Fence,
    /// Monotonic time since which the fence should be raised.
    pub since: Duration,
}

impl Holding {
    /// Boot time from which on this master must not act, if a call was ever acknowledged.
    #[must_use]
    pub fn deadline(&self) -> Option<Duration> {
        Some(self.confirmed_at? + super::Timing::hold(self.counted_ttl))
    }
}

/// How far the raising of the fence is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fence {
    /// To be raised, not before this monotonic time.
    Due(Duration),
    /// It stands at the own term.
    Raised,
}

/// A lease on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Releasing {
    /// The term that is given back.
    pub term: Term,
    /// Why, for people.
    pub reason: EndReason,
}

/// Until when a master does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bar {
    /// Why it was put up.
    pub reason: EndReason,
    /// A term above this one, held by another, lifts the bar at once.
    pub lifted_above: Option<Term>,
    /// Monotonic time at which it ends in any case. None: never.
    pub until: Option<Duration>,
}

impl Bar {
    /// Whether this bar certainly ends later than `other`.
    pub(super) fn outlasts(self, other: Self) -> bool {
        match (self.until, other.until) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(own), Some(other)) => own >= other,
        }
    }
}

/// The permission to act as the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Acting {
    /// The term to act under.
    pub term: Term,
    /// Boot time from which on the permission is void.
    pub until: Duration,
}
