//! Carries out deploys: those that were asked for here, and those of masters that are gone.
//!
//! Nothing of a deploy lives here but the time that it has waited; see `kontena_core::deploy` for what is decided,
//! and `kontena_store::Deploys` for what keeps an earlier claimer's writes from taking effect.

mod carry;
mod ledger;
mod notify;
mod report;

use std::sync::Arc;
use std::time::Duration;

use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::{Failure, Store};
use tokio::sync::futures::Notified;
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agents::Agents;
use crate::desk::{Desk, Errands};
use crate::heartbeat::Picture;
use crate::stacks;
use ledger::Ledger;

/// How often the claim of a service may be lost before the next sweep decides.
const LOST_MAX: u32 = 16;
/// The limit of each call on the database.
const LIMIT: Duration = Duration::from_secs(5);

/// Where deploys are asked for.
#[derive(Clone)]
pub(crate) struct Deployer {
    services: ServiceDeploys,
    stacks: mpsc::Sender<Id>,
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
        let ended = Arc::new(Notify::new());
        let ledger = Arc::new(Ledger::start(me, store, agents, (tasks, cancel)));
        let hands =
            Hands { me, store: store.clone(), agents: agents.clone(), ledger, ended: Arc::clone(&ended) };
        let services = ServiceDeploys { wakes: Desk::open(hands, picture, (tasks, cancel)), ended };
        let hands = stacks::Hands {
            me,
            store: store.clone(),
            agents: agents.clone(),
            services: services.clone(),
            tasks: tasks.clone(),
        };
        Self { services, stacks: Desk::open(hands, picture, (tasks, cancel)) }
    }

    /// Something about the deploys of a service has changed.
    pub(crate) fn wake(&self, service: Id) {
        self.services.wake(service);
    }

    /// Something is to be carried out with a stack.
    pub(crate) fn wake_stack(&self, stack: Id) {
        if self.stacks.try_send(stack).is_err() {
            tracing::debug!(%stack, "a stack waits for the next sweep");
        }
    }
}

/// Where deploys of services are asked for, and heard of.
#[derive(Clone)]
pub(crate) struct ServiceDeploys {
    wakes: mpsc::Sender<Id>,
    ended: Arc<Notify>,
}

impl ServiceDeploys {
    /// Something about the deploys of a service has changed.
    pub(crate) fn wake(&self, service: Id) {
        if self.wakes.try_send(service).is_err() {
            tracing::debug!(%service, "a deploy waits for the next sweep");
        }
    }

    /// Until a deploy ends that this master carries out; counts from now.
    pub(crate) fn ended(&self) -> Notified<'_> {
        self.ended.notified()
    }
}

/// What a deploy is carried out with.
#[derive(Clone)]
struct Hands {
    me: HolderId,
    store: Store,
    agents: Agents,
    ledger: Arc<Ledger>,
    ended: Arc<Notify>,
}

impl Errands for Hands {
    fn me(&self) -> HolderId {
        self.me
    }

    fn agents(&self) -> &Agents {
        &self.agents
    }

    async fn open(&self) -> Result<Vec<(Id, Option<HolderId>)>, Failure> {
        let open = self.store.deploys().open().await?;
        Ok(open.into_iter().map(|deploy| (deploy.service, deploy.master)).collect())
    }

    /// Carries out the deploys of a service, one after the other, while they are this master's to carry out.
    async fn work(&self, service: Id, told: &Notify) -> Result<(), Failure> {
        let mut lost = 0..LOST_MAX;
        while let Some((claim, deploy)) = self.ledger.take_up(service).await? {
            let carried_out = self.carry_out(claim, deploy, told).await?;
            self.ended.notify_waiters();
            // A claim is lost to another master, or to a user who stops the service, calls the deploy off, or changes the
            // service before it is begun.
            if !carried_out && lost.next().is_none() {
                tracing::warn!(%service, "the claim of a service is lost again and again");
                break;
            }
        }
        Ok(())
    }
}
