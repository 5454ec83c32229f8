//! Each master tells the others every second that it is there, and reads what they tell.

use std::sync::Arc;
use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_core::election::{HolderId, Term};
use kontena_core::masters::{HEARTBEAT_EVERY, Roll, Slow, Slowness};
use kontena_store::{CommandCounter, Failure, MasterRow, Masters};
use kontena_wire::cluster::MasterState;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::agents::Agents;
use crate::clock::SystemClock;
use crate::election::{Leadership, Standing};
use crate::events;
use crate::fitness::Fitness;
use crate::settings::{Settings, Tunables};
use crate::trace::Trace;

/// What the last heartbeat showed.
#[derive(Clone, Debug)]
pub(crate) struct Picture {
    /// The rows of all masters.
    pub(crate) rows: Vec<MasterRow>,
    /// Who of them moves.
    pub(crate) roll: Roll,
    /// Monotonic time of the last heartbeat that was acknowledged and read back.
    pub(crate) refreshed_at: Option<Duration>,
    /// Why the last one failed, if it did.
    pub(crate) failure: Option<String>,
}

impl Picture {
    pub(crate) fn blank() -> Self {
        Self { rows: Vec::new(), roll: Roll::default(), refreshed_at: None, failure: None }
    }

    /// Whether the database answered lately enough to serve requests.
    pub(crate) fn is_fresh(&self, now: Duration) -> bool {
        self.refreshed_at.is_some_and(|at| now.saturating_sub(at) < HEARTBEAT_EVERY * 4)
    }

    /// What the master of a row is. What the asking master is itself comes from its own election, since its row is
    /// up to a heartbeat old.
    pub(crate) fn state(
        &self,
        now: Duration,
        row: &MasterRow,
        me: HolderId,
        leadership: &Leadership<SystemClock>,
    ) -> MasterState {
        let (elected, acting) = if row.id == me {
            let holds = matches!(leadership.view().standing, Standing::Elected(_) | Standing::Acting(_));
            (holds, leadership.acting().is_some())
        } else {
            (row.term.is_some(), row.acting)
        };
        if row.id != me && (row.lost || self.roll.is_lost(now, row.id)) {
            MasterState::Lost
        } else if row.draining {
            MasterState::Draining
        } else if acting {
            MasterState::Acting
        } else if elected {
            MasterState::Elected
        } else if row.unfit.is_some() {
            MasterState::Unfit
        } else if row.eligible {
            MasterState::Standby
        } else {
            MasterState::Ineligible
        }
    }

    /// Masters that an administrator should see: all but those that ended by themselves, and those that were lost and
    /// have been started again.
    pub(crate) fn shown(&self) -> impl Iterator<Item = &MasterRow> {
        self.rows.iter().filter(|row| !row.ended || row.is_missing(&self.rows))
    }

    /// Masters that would take over from `me`.
    pub(crate) fn successors(&self, now: Duration, me: HolderId) -> impl Iterator<Item = &MasterRow> {
        self.rows.iter().filter(move |row| {
            row.id != me
                && row.eligible
                && !row.ended
                && !row.draining
                && row.unfit.is_none()
                && !self.roll.is_lost(now, row.id)
        })
    }
}

/// What a heartbeat is made from.
pub(crate) struct Heartbeat {
    pub(crate) id: HolderId,
    pub(crate) url: String,
    pub(crate) settings: Arc<Settings>,
    pub(crate) tunables: watch::Receiver<Tunables>,
    pub(crate) masters: Masters,
    pub(crate) leadership: Leadership<SystemClock>,
    pub(crate) fitness: watch::Receiver<Fitness>,
    /// What an administrator should know of this master's host.
    pub(crate) short: watch::Receiver<Vec<String>>,
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) picture: watch::Sender<Picture>,
    pub(crate) trace: Trace,
    pub(crate) counter: CommandCounter,
    pub(crate) agents: Agents,
}

impl Heartbeat {
    /// Beats each second, and at once when something changes that others want to know. The last beat tells that
    /// this master has ended.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut views = self.leadership.watch();
        let mut draining = self.draining.subscribe();
        let (mut rtt, mut slowness) = (None, Slowness::default());
        let mut interval = tokio::time::interval(HEARTBEAT_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut told = self.row(None, false);
        let mut slow = None;
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                _ = interval.tick() => {}
                Ok(()) = views.changed() => {
                    let row = self.row(rtt, false);
                    if (row.term, row.acting) == (told.term, told.acting) {
                        continue;
                    }
                }
                Ok(()) = draining.changed() => {}
                Ok(()) = self.tunables.changed() => {}
                Ok(()) = self.fitness.changed() => {}
            }
            told = self.row(rtt, false);
            told.warnings.extend(slow.map(in_words));
            let sent_at = SystemClock.now().monotonic;
            let outcome = self.beat(&told).await;
            let now = SystemClock.now();
            if let Ok(after_write) = &outcome {
                rtt = Some(after_write.acknowledged_at.saturating_sub(sent_at));
            }
            slowness.look(rtt.filter(|_| outcome.is_ok()).unwrap_or_else(|| self.limit()));
            let now_slow = slowness.told(self.tunables.borrow().timing.slow());
            tell(slow, now_slow);
            slow = now_slow;
            self.publish(now.monotonic, outcome.map(|beat| beat.rows));
            self.trace.commands(self.counter.count(), now.boottime);
        }
        if let Err(failure) = self.masters.beat(&self.row(rtt, true), self.limit()).await {
            tracing::debug!(%failure, "the last heartbeat was not written");
        }
    }

    /// The longest wait for a heartbeat to be acknowledged and read back.
    fn limit(&self) -> Duration {
        self.tunables.borrow().timing.heartbeat_limit()
    }

    async fn beat(&self, row: &MasterRow) -> Result<Beat, Failure> {
        let limit = self.limit();
        let limited = async {
            self.masters.beat(row, limit).await?;
            let acknowledged_at = SystemClock.now().monotonic;
            Ok(Beat { acknowledged_at, rows: self.masters.all(limit).await? })
        };
        match tokio::time::timeout(limit, limited).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Failure::Unknown {
                message: format!("no answer from the database within {limit:?}"),
                transient: false,
                commit_unknown: false,
            }),
        }
    }

    /// An administrator may ask another master to drain this one, which leaves the wish in our row.
    fn heed(&self, rows: &[MasterRow]) {
        let Some(asked) = rows.iter().find(|row| row.id == self.id).map(|row| row.drain_asked) else {
            return;
        };
        self.draining.send_if_modified(|draining| {
            let changed = asked && !*draining;
            if changed {
                tracing::info!(MESSAGE_ID = events::DRAINED, "drained by request of an administrator");
            }
            *draining |= asked;
            changed
        });
    }

    fn publish(&self, now: Duration, outcome: Result<Vec<MasterRow>, Failure>) {
        self.picture.send_modify(|picture| match outcome {
            Ok(rows) => {
                self.heed(&rows);
                let seen = rows.iter().filter(|row| !row.ended || row.lost);
                picture.roll.read(now, seen.map(|row| (row.id, row.seq)));
                picture.rows = rows;
                picture.refreshed_at = Some(now);
                if let Some(failure) = picture.failure.take() {
                    tracing::info!(MESSAGE_ID = events::DATABASE_ANSWERS, failure, "the database answers again");
                }
            }
            Err(failure) => {
                picture.roll.failed();
                if picture.failure.is_none() {
                    tracing::warn!(MESSAGE_ID = events::DATABASE_SILENT, %failure, "the database does not answer");
                }
                picture.failure = Some(failure.to_string());
            }
        });
    }

    fn row(&self, mongo_rtt: Option<Duration>, ended: bool) -> MasterRow {
        let (term, acting): (Option<Term>, bool) = match self.leadership.view().standing {
            Standing::Acting(term) => (Some(term), true),
            Standing::Elected(term) => (Some(term), false),
            Standing::Following | Standing::Releasing(_) => (None, false),
        };
        let unfit = match &*self.fitness.borrow() {
            Fitness::Unfit(reason) | Fitness::Unknown(reason) => Some(reason.clone()),
            // Nobody gives way to who does not stand.
            Fitness::Fit => {
                self.leadership.view().sits_out.then(|| "it failed to lead, and sits out".to_owned())
            }
        };
        MasterRow {
            id: self.id,
            name: self.settings.name.clone(),
            url: self.url.clone(),
            version: self.settings.version.clone(),
            term,
            acting,
            agents: self.agents.connected(),
            mongo_rtt,
            fingerprint: self.settings.fingerprint.clone(),
            eligible: self.tunables.borrow().eligible,
            preferred: self.tunables.borrow().preferred,
            unfit,
            draining: *self.draining.borrow(),
            drain_asked: false,
            ended,
            lost: false,
            warnings: self.short.borrow().clone(),
            seq: 0,
            started_at: 0,
        }
    }
}

/// Says so in the log when the database begins to be slow, and when it is so no more.
fn tell(before: Option<Slow>, now: Option<Slow>) {
    match (before, now) {
        (None, Some(slow)) => tracing::warn!("{}", in_words(slow)),
        (Some(_), None) => tracing::info!("the database is not slow any more"),
        (None, None) | (Some(_), Some(_)) => {}
    }
}

fn in_words(slow: Slow) -> String {
    let Slow { slow, of, slowest } = slow;
    format!(
        "the database is slow for it ({slow} of {of} heartbeats, up to {} ms): see the network between its host and the \
         database (ping, ip -s link), or set election.lease_ttl to a longer time on all masters",
        slowest.as_millis()
    )
}

struct Beat {
    acknowledged_at: Duration,
    rows: Vec<MasterRow>,
}
