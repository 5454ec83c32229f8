//! Carries out deploys: those that were asked for here, and those of masters that are gone.
//!
//! Nothing of a deploy lives here but the time that it has waited; see `kontena_core::deploy` for what is decided,
//! and `kontena_store::Deploys` for what keeps an earlier claimer's writes from taking effect.

mod carry;
mod ledger;
mod notify;
mod report;

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::{Failure, Store};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agents::Agents;
use crate::heartbeat::Picture;
use ledger::Ledger;

/// How many wakes may wait; what does not fit is found by the next sweep.
const WAITING: usize = 8192;
/// How many services one master deploys at once.
const TOGETHER: usize = 48;
/// How often all open deploys are looked through, should a wake have been lost.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// After a failure of the database.
const RETRY: Duration = Duration::from_secs(1);
/// The limit of each call on the database.
const LIMIT: Duration = Duration::from_secs(5);
/// After so many failures in a row the next sweep decides.
const TRIES: u32 = 60;

/// Where deploys are asked for.
#[derive(Clone)]
pub(crate) struct Deployer {
    wakes: mpsc::Sender<Id>,
}

impl Deployer {
    /// Starts what works for it; that ends with `cancel`.
    pub(crate) fn start(
        me: HolderId,
        store: &Store,
        agents: &Agents,
        picture: &watch::Receiver<Picture>,
        (tasks, cancel): (&TaskTracker, &CancellationToken),
    ) -> Self {
        let (wakes, inbox) = mpsc::channel(WAITING);
        let ledger = Arc::new(Ledger::start(me, store, agents, (tasks, cancel)));
        let desk = Desk {
            hands: Hands { me, store: store.clone(), agents: agents.clone(), ledger },
            inbox,
            picture: picture.clone(),
            running: HashMap::new(),
            waiting: Waiting::default(),
            tasks: JoinSet::new(),
        };
        tasks.spawn(desk.run(cancel.clone()));
        Self { wakes }
    }

    /// Something about the deploys of a service has changed.
    pub(crate) fn wake(&self, service: Id) {
        if self.wakes.try_send(service).is_err() {
            tracing::debug!(%service, "a deploy waits for the next sweep");
        }
    }
}

/// What a deploy is carried out with.
#[derive(Clone)]
struct Hands {
    me: HolderId,
    store: Store,
    agents: Agents,
    ledger: Arc<Ledger>,
}

/// Services whose turn comes, each once.
#[derive(Default)]
struct Waiting {
    order: VecDeque<Id>,
    known: HashSet<Id>,
}

impl Waiting {
    fn push(&mut self, service: Id) {
        if self.known.insert(service) {
            self.order.push_back(service);
        }
    }

    fn pop(&mut self) -> Option<Id> {
        let service = self.order.pop_front()?;
        self.known.remove(&service);
        Some(service)
    }
}

/// The one who hands out deploys.
struct Desk {
    hands: Hands,
    inbox: mpsc::Receiver<Id>,
    picture: watch::Receiver<Picture>,
    running: HashMap<Id, Arc<Notify>>,
    waiting: Waiting,
    tasks: JoinSet<Id>,
}

impl Desk {
    /// Works until cancelled. No deploy outlives it here; another master goes on with it.
    async fn run(mut self, cancel: CancellationToken) {
        let mut sweep = tokio::time::interval(SWEEP_EVERY);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut gone = BTreeSet::new();
        loop {
            tokio::select! {
                () = cancel.cancelled() => break,
                Some(service) = self.inbox.recv() => self.wake(service),
                Some(ended) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    if let Ok(service) = ended {
                        self.ended(service);
                    }
                    self.fill();
                }
                Ok(()) = self.picture.changed() => {
                    let now: BTreeSet<HolderId> = self.gone();
                    // Whoever is gone leaves deploys behind.
                    if !now.is_subset(&gone) {
                        sweep.reset_immediately();
                    }
                    gone = now;
                }
                _ = sweep.tick() => if let Err(failure) = self.sweep().await {
                    tracing::debug!(%failure, "open deploys cannot be read");
                    sweep.reset_after(RETRY);
                },
            }
        }
        self.tasks.shutdown().await;
    }

    fn ended(&mut self, service: Id) {
        // Who woke it in its last moment was not heard.
        if let Some(told) = self.running.remove(&service)
            && told.notified().now_or_never().is_some()
        {
            self.waiting.push(service);
        }
    }

    fn gone(&mut self) -> BTreeSet<HolderId> {
        let known: Vec<HolderId> = self.picture.borrow_and_update().rows.iter().map(|row| row.id).collect();
        known.into_iter().filter(|master| !self.hands.agents.is_alive(*master)).collect()
    }

    fn wake(&mut self, service: Id) {
        if let Some(told) = self.running.get(&service) {
            told.notify_one();
        } else {
            self.waiting.push(service);
            self.fill();
        }
    }

    fn fill(&mut self) {
        while self.tasks.len() < TOGETHER
            && let Some(service) = self.waiting.pop()
        {
            let told = Arc::new(Notify::new());
            self.running.insert(service, Arc::clone(&told));
            let hands = self.hands.clone();
            self.tasks.spawn(async move {
                for _ in 0..TRIES {
                    match hands.work(service, &told).await {
                        Ok(()) => break,
                        Err(failure) => {
                            tracing::debug!(%service, %failure, "the deploys of a service wait");
                            tokio::time::sleep(RETRY).await;
                        }
                    }
                }
                service
            });
        }
    }

    /// Takes up what nobody alive has in hand.
    async fn sweep(&mut self) -> Result<(), Failure> {
        for deploy in self.hands.store.deploys().open().await? {
            let free = deploy
                .master
                .is_none_or(|master| master == self.hands.me || !self.hands.agents.is_alive(master));
            if free && !self.running.contains_key(&deploy.service) {
                self.wake(deploy.service);
            }
        }
        Ok(())
    }
}

impl Hands {
    /// Carries out the deploys of a service, one after the other, while they are this master's to carry out.
    async fn work(&self, service: Id, told: &Notify) -> Result<(), Failure> {
        while let Some((claim, deploy)) = self.ledger.take_up(service).await? {
            if !self.carry_out(claim, deploy, told).await? {
                tracing::debug!(%service, "the deploy is another's to go on with, or is over");
            }
        }
        Ok(())
    }
}
