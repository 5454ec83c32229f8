//! Hands out what outlives a master: the deploys of services, and the deploys and removals of stacks. What was asked for
//! here is carried out here, and so is what masters that are gone left behind.
//!
//! Nothing of it lives here but that it is under way; each is claimed in the database, so that it does not matter who
//! wakes whom.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::Failure;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agents::Agents;
use crate::heartbeat::Picture;

/// How many wakes may wait; what does not fit is found by the next sweep.
const WAITING: usize = 8192;
/// How many one master carries out at once: with more each takes longer, and no more are done.
const TOGETHER: usize = 32;
/// How often all that is open is looked through, should a wake have been lost.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// After a failure of the database.
const RETRY: Duration = Duration::from_secs(1);
/// After so many failures in a row the next sweep decides.
const TRIES: u32 = 60;

/// What is handed out: each has an id, and at most one of an id is under way.
pub(crate) trait Errands: Clone + Send + Sync + 'static {
    /// Who claims them.
    fn me(&self) -> HolderId;

    /// Who knows which masters live.
    fn agents(&self) -> &Agents;

    /// All that are open, with the masters that have them in hand.
    fn open(&self) -> impl Future<Output = Result<Vec<(Id, Option<HolderId>)>, Failure>> + Send;

    /// Carries out what is open of this, if it is this master's to do. `told`: something of it has changed.
    fn work(&self, id: Id, told: &Notify) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// Whose turn comes, each once.
#[derive(Default)]
struct Waiting {
    order: VecDeque<Id>,
    known: HashSet<Id>,
}

impl Waiting {
    fn push(&mut self, id: Id) {
        if self.known.insert(id) {
            self.order.push_back(id);
        }
    }

    fn pop(&mut self) -> Option<Id> {
        let id = self.order.pop_front()?;
        self.known.remove(&id);
        Some(id)
    }
}

/// The one who hands them out.
pub(crate) struct Desk<E> {
    errands: E,
    inbox: mpsc::Receiver<Id>,
    picture: watch::Receiver<Picture>,
    running: HashMap<Id, Arc<Notify>>,
    waiting: Waiting,
    tasks: JoinSet<Id>,
}

impl<E: Errands> Desk<E> {
    /// Starts one, which ends with `cancel`. What is sent has changed in some way.
    pub(crate) fn open(
        errands: E,
        picture: &watch::Receiver<Picture>,
        (tasks, cancel): (&TaskTracker, &CancellationToken),
    ) -> mpsc::Sender<Id> {
        let (wakes, inbox) = mpsc::channel(WAITING);
        let desk = Self {
            errands,
            inbox,
            picture: picture.clone(),
            running: HashMap::new(),
            waiting: Waiting::default(),
            tasks: JoinSet::new(),
        };
        tasks.spawn(desk.run(cancel.clone()));
        wakes
    }

    /// Works until cancelled. Nothing outlives it here; another master goes on with it.
    async fn run(mut self, cancel: CancellationToken) {
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut gone = BTreeSet::new();
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(id) = self.inbox.recv() => self.wake(id),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Ok(id) = ended {
                        self.ended(id);
                    }
                    self.fill();
                }
                Ok(()) = self.picture.changed() => {
                    let now: BTreeSet<HolderId> = self.gone();
                    // Whoever is gone leaves something behind.
                    if !now.is_subset(&gone) {
                        sweep.reset_immediately();
                    }
                    gone = now;
                }
                _ = sweep.tick() => if let Err(failure) = self.sweep().await {
                    tracing::debug!(%failure, "what is open cannot be read");
                    sweep.reset_after(RETRY);
                },
            }
        }
        self.tasks.shutdown().await;
    }

    fn ended(&mut self, id: Id) {
        // Who woke it in its last moment was not heard.
        if let Some(told) = self.running.remove(&id)
            && told.notified().now_or_never().is_some()
        {
            self.waiting.push(id);
        }
    }

    fn gone(&mut self) -> BTreeSet<HolderId> {
        let known: Vec<HolderId> = self.picture.borrow_and_update().rows.iter().map(|row| row.id).collect();
        known.into_iter().filter(|master| !self.errands.agents().is_alive(*master)).collect()
    }

    fn wake(&mut self, id: Id) {
        if let Some(told) = self.running.get(&id) {
            told.notify_one();
        } else {
            self.waiting.push(id);
            self.fill();
        }
    }

    fn fill(&mut self) {
        while self.tasks.len() < TOGETHER
            && let Some(id) = self.waiting.pop()
        {
            let told = Arc::new(Notify::new());
            self.running.insert(id, Arc::clone(&told));
            let errands = self.errands.clone();
            self.tasks.spawn(async move {
                for _ in 0..TRIES {
                    match errands.work(id, &told).await {
                        Ok(()) => break,
                        Err(failure) => {
                            tracing::debug!(%id, %failure, "what is carried out waits");
                            tokio::time::sleep(RETRY).await;
                        }
                    }
                }
                id
            });
        }
    }

    /// Takes up what nobody alive has in hand.
    async fn sweep(&mut self) -> Result<(), Failure> {
        for (id, master) in self.errands.open().await? {
            let agents = self.errands.agents();
            let free = master.is_none_or(|master| master == self.errands.me() || !agents.is_alive(master));
            if free && !self.running.contains_key(&id) {
                self.wake(id);
            }
        }
        Ok(())
    }
}
