//! Starts the duties when this master begins to act, ends them when it ceases to.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kontena_core::election::Term;
use kontena_store::{Store, WriterHandle};
use kontena_wire::cluster::DutyState;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Duty, DutyError, Leader};
use crate::clock::{SystemClock, wall_ms};
use crate::deploys::Deployer;
use crate::election::{Leadership, Standing};
use crate::heartbeat::Picture;
use crate::metrics::SharedMetrics;

/// A failed duty is tried again after this time, if it is shorter than its own pace.
const RETRY: Duration = Duration::from_secs(1);

/// What is known of one duty.
#[derive(Clone, Debug)]
pub(crate) struct DutyStatus {
    pub(crate) state: DutyState,
    /// Milliseconds since 1970.
    pub(crate) last_run_at: Option<i64>,
    pub(crate) last_result: Option<String>,
    /// Milliseconds since 1970.
    pub(crate) next_run_at: Option<i64>,
    pub(crate) runs: u64,
    pub(crate) failures: u64,
    /// How long the last run took.
    pub(crate) took: Option<Duration>,
    /// How long a run may take.
    pub(crate) deadline: Duration,
}

/// What is known of all duties, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statuses(Arc<Mutex<BTreeMap<&'static str, DutyStatus>>>);

impl Statuses {
    pub(crate) fn all(&self) -> BTreeMap<&'static str, DutyStatus> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The duties at work: name, number of the run, and how long it may take.
    pub(crate) fn running(&self) -> Vec<(&'static str, u64, Duration)> {
        let statuses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let running = statuses.iter().filter(|(_, status)| status.state == DutyState::Running);
        running.map(|(name, status)| (*name, status.runs, status.deadline)).collect()
    }

    fn change(&self, name: &'static str, change: impl FnOnce(&mut DutyStatus)) {
        let mut statuses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(statuses.entry(name).or_insert_with(|| DutyStatus {
            state: DutyState::Off,
            last_run_at: None,
            last_result: None,
            next_run_at: None,
            runs: 0,
            failures: 0,
            took: None,
            deadline: Duration::ZERO,
        }));
    }
}

/// The one who starts and ends the duties.
pub(crate) struct Owner {
    pub(crate) duties: Arc<[Box<dyn Duty>]>,
    pub(crate) leadership: Leadership<SystemClock>,
    pub(crate) store: Store,
    pub(crate) streams: Store,
    pub(crate) deployer: Deployer,
    pub(crate) writer: WriterHandle,
    pub(crate) picture: watch::Receiver<Picture>,
    pub(crate) statuses: Statuses,
    pub(crate) metrics: SharedMetrics,
}

impl Owner {
    /// Follows the election until cancelled. No duty outlives it.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        for duty in self.duties.iter() {
            self.statuses.change(duty.name(), |_| {});
        }
        let mut views = self.leadership.watch();
        loop {
            let standing = views.borrow_and_update().standing;
            let mut at_work = match standing {
                Standing::Acting(term) => self.start(term),
                Standing::Following | Standing::Elected(_) | Standing::Releasing(_) => JoinSet::new(),
            };
            loop {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    changed = views.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        if views.borrow_and_update().standing != standing {
                            break;
                        }
                    }
                }
            }
            at_work.shutdown().await;
            for duty in self.duties.iter() {
                self.statuses.change(duty.name(), |status| {
                    (status.state, status.next_run_at) = (DutyState::Off, None);
                });
            }
        }
    }

    fn start(&self, term: Term) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        for index in 0..self.duties.len() {
            let leader = Leader {
                term,
                store: self.store.clone(),
                streams: self.streams.clone(),
                deployer: self.deployer.clone(),
                writer: self.writer.clone(),
                picture: self.picture.clone(),
                metrics: SharedMetrics::clone(&self.metrics),
            };
            let (duties, statuses) = (Arc::clone(&self.duties), self.statuses.clone());
            tasks.spawn(async move {
                if let Some(duty) = duties.get(index) {
                    repeat(duty.as_ref(), leader, statuses).await;
                }
            });
        }
        tasks
    }
}

/// Runs one duty again and again, until the task is ended.
async fn repeat(duty: &dyn Duty, leader: Leader, statuses: Statuses) {
    tokio::time::sleep(duty.after()).await;
    loop {
        let deadline = duty.deadline();
        statuses.change(duty.name(), |status| {
            (status.state, status.next_run_at) = (DutyState::Running, None);
            status.deadline = deadline;
        });
        let began = tokio::time::Instant::now();
        let outcome = match tokio::time::timeout(deadline, duty.run(&leader)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(DutyError::Late(deadline)),
        };
        if let Err(error) = &outcome {
            tracing::debug!(duty = duty.name(), %error, "failed");
        }
        let took = began.elapsed();
        let pause = if outcome.is_ok() { duty.every() } else { duty.every().min(RETRY) };
        statuses.change(duty.name(), |status| {
            let now = wall_ms();
            status.state = DutyState::Waiting;
            status.last_run_at = Some(now);
            status.next_run_at = Some(now.saturating_add(millis(pause)));
            status.runs += 1;
            status.failures += u64::from(outcome.is_err());
            status.took = Some(took);
            status.last_result = Some(outcome.unwrap_or_else(|error| format!("failed: {error}")));
        });
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = duty.poked() => {}
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
