//! The lease as the masters see it in the database.

use std::fmt;
use std::time::Duration;

use super::HolderId;

/// Counts the reigns. A new holder always means a higher term, so that whatever a leader writes can be told
/// from what an earlier one writes late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term(pub u64);

impl Term {
    /// The term after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What changes with every write to the lease. Who sees the same version twice knows that nobody renewed in
/// between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The term of the current or the last holder.
    pub term: Term,
    /// Moves with every write, releases included.
    pub seq: u64,
}

/// The lease, without what is in the document for people only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The rules by which the holder plays.
    pub protocol: u32,
    /// Term and sequence number.
    pub version: Version,
    /// Nobody holds a released lease.
    pub holder: Option<HolderId>,
    /// How long its silence must last before somebody else may take it.
    pub ttl: Duration,
}
