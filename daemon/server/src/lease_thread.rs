//! The thread that holds the lease: with its own runtime and client, so that nothing else in the process can delay
//! a renewal.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_core::election::{Candidate, Election, Timing};
use kontena_store::{CommandCounter, LeaseParty, LeaseWatch, MongoLease, Purpose, Store};
use tokio::sync::oneshot;

use crate::clock::SystemClock;
use crate::election::{Driver, Leadership, Publisher, Requests};
use crate::metrics::{Measured, SharedMetrics};
use crate::oversight::Overseer;
use crate::settings::Settings;
use crate::trace::Trace;

/// The name of the thread, as the kernel shows it.
const NAME: &str = "lease";
/// How long the last connections of its database client may take to close.
const CLOSE_LIMIT: Duration = Duration::from_millis(500);

/// What the thread is made from.
pub(crate) struct LeaseThread {
    pub(crate) settings: Arc<Settings>,
    pub(crate) party: LeaseParty,
    pub(crate) timing: Timing,
    pub(crate) counter: CommandCounter,
    pub(crate) watch: LeaseWatch,
    pub(crate) trace: Trace,
    pub(crate) metrics: SharedMetrics,
    pub(crate) overseer: Overseer,
}

/// Ends when the thread has.
pub(crate) type Ended = oneshot::Receiver<()>;

impl LeaseThread {
    /// Starts it. Until it is told that it may stand, it only watches.
    pub(crate) fn start(self) -> std::io::Result<(Leadership<SystemClock>, Requests, Ended)> {
        let Self { settings, party, timing, counter, watch, trace, metrics, overseer } = self;
        let (publisher, leadership) = Publisher::new(SystemClock);
        let (requests, requests_receiver) = Requests::channel();
        let (ended_sender, ended) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let body = move || {
            runtime.block_on(async move {
                let purpose = Purpose::Lease { patience: timing.connect_limit() };
                let store = match Store::open(&settings.database, purpose, &counter).await {
                    Ok(store) => store,
                    Err(error) => return tracing::error!(%error, "the lease cannot be reached"),
                };
                let candidate = Candidate { id: party.holder, timing };
                let lease = Measured { lease: MongoLease::new(&store, party), metrics };
                let mut election = Election::new(candidate, SystemClock.now());
                election.state.eligible = false;
                let driver =
                    Driver::new(election, lease, watch, SystemClock, publisher, requests_receiver, trace);
                driver.with(overseer).run().await;
                store.close(CLOSE_LIMIT).await;
            });
            // Whoever listens may have ended first.
            let _heard = ended_sender.send(());
        };
        thread::Builder::new().name(NAME.to_owned()).spawn(body)?;
        Ok((leadership, requests, ended))
    }
}
