//! The seams to the database, as the simulator and the real store both fill them.

use std::future::Future;
use std::time::Duration;

use super::{Answer, Command, RaiseAnswer, Term};

/// The lease and the fence in the database. An implementation acts for one holder, whose id it knows.
pub trait LeaseStore: Send + Sync + 'static {
    /// Carries out a command of the lease lane. Nobody waits for the answer longer than `limit`. May be dropped
    /// at any moment, and the write may be made all the same; every failure is [`Answer::Unknown`].
    fn execute(&self, command: Command, limit: Duration) -> impl Future<Output = Answer> + Send;

    /// Ends the sessions of earlier leaders and raises the fence. The same rules hold.
    fn raise(&self, term: Term, limit: Duration) -> impl Future<Output = RaiseAnswer> + Send;
}

/// What masters tell each other through the database. It only makes things sooner: nothing may depend on a
/// message having arrived.
pub trait Bus: Send + Sync + 'static {
    /// Ends when the lease may have changed since the last call, or never.
    fn lease_changed(&self) -> impl Future<Output = ()> + Send;
}
