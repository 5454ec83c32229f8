//! What only the leader does. Each duty takes no input: it reads the world, decides, and writes through the
//! fenced writer, by a timer and when it is poked. One owner starts them when acting begins and ends them when
//! it ends.

mod acme;
mod certificates;
mod containers;
mod deploy_records;
mod ephemeral_nodes;
mod history;
mod leftovers;
mod masters;
mod original_lock;
mod owner;
mod probe;
mod rescheduling;
mod schedule;
mod seeding;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use kontena_core::election::Term;
use kontena_core::id::Id;
use kontena_store::{Batch, Effect, Failure, NewEvent, Store, WriteError, WriterHandle};
use thiserror::Error;
use tokio::sync::watch;

pub(crate) use owner::{DutyStatus, Owner, Statuses};

use crate::acme::Acme;
use crate::deploys::Deployer;
use crate::heartbeat::Picture;
use crate::metrics::SharedMetrics;
use crate::settings::Settings;

/// The limit of a duty's single read.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// What a duty works with.
#[derive(Clone)]
pub(crate) struct Leader {
    /// The term it acts under.
    pub(crate) term: Term,
    pub(crate) store: Store,
    /// For change streams.
    pub(crate) streams: Store,
    /// Carries out what duties ask to be deployed.
    pub(crate) deployer: Deployer,
    pub(crate) writer: WriterHandle,
    pub(crate) picture: watch::Receiver<Picture>,
    pub(crate) metrics: SharedMetrics,
}

impl Leader {
    /// Commits `effects` behind the fence, all or none.
    async fn commit(&self, duty: &'static str, effects: Vec<Effect>) -> Result<(), WriteError> {
        let count = effects.len();
        let outcome = self.writer.commit(Batch { duty, term: self.term, effects }).await;
        self.metrics.batch(duty, count, &outcome);
        outcome
    }

    /// Tells a grid something about itself.
    pub(crate) async fn tell_grid(&self, grid: Id, kind: &'static str, severity: i32, message: String) {
        self.tell(NewEvent { kind, severity, message, grid, service: None, term: self.term }).await;
    }

    /// Tells a grid what was done. It is done, whether it is told or not.
    async fn tell(&self, event: NewEvent) {
        let message = event.message.clone();
        if let Err(failure) = self.store.event_logs().add(event).await {
            tracing::debug!(%failure, message, "not among the events");
        }
    }
}

/// Why a run of a duty did not do its work. The next run tries again.
#[derive(Debug, Error)]
pub(crate) enum DutyError {
    #[error("cannot read: {0}")]
    Read(#[from] Failure),
    #[error("cannot write: {0}")]
    Write(#[from] WriteError),
    #[error("not done within {0:?}")]
    Late(Duration),
}

/// Before tidying begins. In its first moments a leader has more urgent things to do, and the database with it.
const TIDY_AFTER: Duration = Duration::from_millis(500);

/// One duty.
pub(crate) trait Duty: Send + Sync + 'static {
    /// Its name in the API and in the writer's batches.
    fn name(&self) -> &'static str;

    /// From the beginning of acting to the first run.
    fn after(&self) -> Duration {
        Duration::ZERO
    }

    /// From the end of one run to the start of the next, asked after each run.
    fn every(&self) -> Duration;

    /// Ends when the next run is wanted sooner. A wait for it may be given up.
    fn poked(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }

    /// How long a run may take.
    fn deadline(&self) -> Duration {
        Duration::from_secs(5)
    }

    /// Does what is to be done now, and says what that was.
    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>>;
}

/// All duties of a leader.
pub(crate) fn all(settings: &Settings, acme: &Arc<Acme>) -> Vec<Box<dyn Duty>> {
    let mut duties: Vec<Box<dyn Duty>> = vec![
        Box::new(seeding::Seeding::new(settings)),
        Box::new(history::History),
        Box::new(masters::EndedMasters),
        Box::new(original_lock::HoldOriginalLock::default()),
        Box::new(sessions::LostSessions::default()),
        Box::new(containers::DeletedContainers),
        Box::new(ephemeral_nodes::EphemeralNodes::default()),
        Box::new(rescheduling::Rescheduling::default()),
        Box::new(deploy_records::DeployRecords),
        Box::new(leftovers::Leftovers),
        Box::new(certificates::ExpiringCertificates::new(acme)),
        Box::new(acme::AcmeOrders::new(Arc::clone(acme))),
    ];
    if let Some(every) = settings.probe_every {
        duties.push(Box::new(probe::Probe::new(every)));
    }
    duties
}
