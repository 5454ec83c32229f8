//! The only crate that sees MongoDB.
//!
//! Documents are private to it: what goes in and comes out are the types of `kontena-core` where something is
//! decided with them, and plain rows where nothing is. One file per collection.

mod client;
mod command;
mod diagnosis;
mod effect;
mod fence;
mod indexes;
mod leader_history;
mod lease;
mod lease_watch;
mod masters;
mod original_lock;
mod probe;
mod requirements;
mod sentinel;
mod session;
mod writer;

pub use client::{CommandCounter, ConnectionError, DatabaseUri, Purpose, Store};
pub use command::Failure;
pub use diagnosis::{Duplicates, Known, MemberFacts, SetFacts};
pub use effect::Effect;
pub use indexes::IndexFailure;
pub use leader_history::{HISTORY_MAX, HistoryRow, LeaderHistory, Person, Reign};
pub use lease::{LeaseParty, MongoLease, release_by_holder};
pub use lease_watch::LeaseWatch;
pub use masters::{MasterRow, Masters};
pub use original_lock::OriginalLock;
pub use probe::ProbeRow;
pub use requirements::{Facts, OLDEST_SERVER, Unfit};
pub use sentinel::Sentinel;
pub use session::{InvalidSessionId, SessionId};
pub use writer::{Authority, Batch, Limits, WriteError, Writer, WriterHandle, WriterSession};
