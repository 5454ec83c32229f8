//! The election of a leader through a lease in the database: a state machine without clocks or IO of its own.
//!
//! * [`Election::step`] takes the time and one [`Input`] and returns the [`Command`]s to carry out. It runs
//!   unchanged in the daemon, in the simulator and under the model checker.
//! * [`Election::next_wake`] says when it wants to be asked again.
//! * [`Election::acting`] is the one answer to "may this master act as the leader, and until when".
//!
//! Invariants, each proven by the model check in `tests/`:
//!
//! * No two masters act at the same time, as long as their clocks' rates differ by at most 5 % from true time.
//! * A term has one holder, and terms never fall.
//! * Nobody acts before the fence stands at the own term.
//! * An answer that did not come proves nothing, neither that a write was made nor that it was not.

mod commands;
mod identity;
mod lease;
mod port;
mod state;
mod step;
mod timing;

pub use commands::{Answer, Command, EndReason, Input, Lane, RaiseAnswer, SitOut};
pub use identity::{HolderId, InvalidHolderId};
pub use lease::{Lease, Term, Version};
pub use port::{Bus, LeaseStore};
pub use state::{Acting, Bar, Call, Fence, Holding, Next, Releasing, Role, Sight, State};
pub use step::{Candidate, Election};
pub use timing::{InvalidTtl, RAISE_STEPS, TTL_DEFAULT, TTL_MAX, TTL_MIN, Timing};

/// The version of the rules in this module. A master that finds a higher one in the lease does not stand.
pub const PROTOCOL: u32 = 1;
