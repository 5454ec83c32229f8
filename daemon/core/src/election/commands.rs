//! What goes into the election and what comes out of it.

use std::fmt;
use std::time::Duration;

use super::{Lease, Term, Version};

/// One write to or look at the lease or the fence. Each is answered exactly once, with `Unknown` if its
/// [`Timing`](super::Timing) limit passed; at most one is under way per [`Lane`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Command {
    /// Read the lease as a majority has it. What is read may be older than what stands there; but the first look
    /// at another primary than that of the last look is `Unknown`.
    Look,
    /// Insert a lease that nobody holds, with the term of the fence, unless there is one.
    Create,
    /// Take the lease if it is exactly the `observed` version.
    Acquire {
        /// The version that was seen released or silent.
        observed: Version,
        /// The term to take it for.
        term: Term,
        /// The time to write into it.
        ttl: Duration,
    },
    /// Move the sequence number if this master still holds this term.
    Renew {
        /// The term that is held.
        term: Term,
        /// The time to write into it.
        ttl: Duration,
    },
    /// Give the lease back if this master still holds this term.
    Release {
        /// The term that is given back.
        term: Term,
        /// Why, for people.
        reason: EndReason,
    },
    /// Free whatever a dead predecessor's transaction blocks, then raise the fence to this term.
    Raise {
        /// The term that is held.
        term: Term,
    },
}

/// Calls on the lease and calls on the fence do not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Everything but [`Command::Raise`].
    Lease,
    /// [`Command::Raise`].
    Fence,
}

impl Command {
    /// Which lane the command occupies until it is answered.
    #[must_use]
    pub fn lane(&self) -> Lane {
        match self {
            Self::Raise { .. } => Lane::Fence,
            Self::Look | Self::Create | Self::Acquire { .. } | Self::Renew { .. } | Self::Release { .. } => {
                Lane::Lease
            }
        }
    }
}

/// The answer to a command on the lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To a look: what stands in the database, or that there is no lease at all.
    Seen(Option<Lease>),
    /// The write was made, and a majority of the database's members has it.
    Applied,
    /// The write matched nothing.
    Refused,
    /// A time-out, a lost connection, a write-concern error: the write may have been made, may yet be made, or
    /// may never be.
    Unknown,
}

/// The answer to [`Command::Raise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RaiseAnswer {
    /// The fence stands at the term.
    Raised,
    /// The fence stands at a higher term.
    Higher(Term),
    /// It may stand or not.
    Unknown,
}

/// Why a term ended, as it is told to people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndReason {
    /// The leader was stopped as planned.
    Released,
    /// The leader's process died, and was released by whoever buried it.
    Crashed,
    /// The leader fell silent for the whole ttl.
    Expired,
    /// An administrator asked for another leader.
    SteppedDown,
    /// The leader found itself unable to lead.
    Resigned,
}

impl EndReason {
    /// The name in the database and in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Crashed => "crashed",
            Self::Expired => "expired",
            Self::SteppedDown => "stepped_down",
            Self::Resigned => "resigned",
        }
    }

    /// The reason with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Released, Self::Crashed, Self::Expired, Self::SteppedDown, Self::Resigned]
            .into_iter()
            .find(|reason| reason.name() == name)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How long a master that gave up the lease does not stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SitOut {
    /// Until somebody else holds a term, five ttl at most.
    UntilOtherTerm,
    /// For so long, whoever leads meanwhile.
    For(Duration),
    /// Until the process ends.
    Forever,
}

/// What can happen to the election.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Nothing but the passing of time.
    Tick,
    /// The lease may have changed: look sooner. A hint that is lost costs time only.
    Hint,
    /// The answer to the command in the lease lane.
    Answered(Answer),
    /// The answer to the command in the fence lane.
    RaiseAnswered(RaiseAnswer),
    /// A fenced write found the fence at another term, or gone.
    Superseded {
        /// The term under which the write was tried.
        term: Term,
    },
    /// Give up the lease if it is held, and do not stand for some time.
    Renounce {
        /// Why, for people.
        reason: EndReason,
        /// How long not to stand.
        sit_out: SitOut,
    },
    /// Whether this master may stand at all, by its configuration and its state of health.
    Eligible(bool),
    /// Whether a master is there that is preferred to this one.
    Yield(bool),
    /// The configured time was changed.
    Retime(super::Timing),
}
