//! What deploys ask of the database and write to it: those of many deploys go together, so that a hundred services
//! cost little more than one.

use std::collections::HashMap;

use futures_util::future::{BoxFuture, join_all};
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::{
    Claim, DeployBatch, DeployEvent, DeployRow, Failure, Scene, Seen, ServiceRow, Sight, Store,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::LIMIT;
use crate::agents::Agents;
use crate::agents::gather::{Gather, gather, gather_with_rest};

/// How many deploys go together at most. A batch of writes is one transaction, which must not become large.
const TOGETHER: usize = 64;
/// How many events.
const EVENTS: usize = 500;
/// The scheduler looks at all nodes of a grid, for one service as for many.
const SCENES_REST: u32 = 4;

/// A service, and what the scheduler looks at for it; or why it cannot be deployed as it is.
pub(super) type Surroundings = Result<(ServiceRow, Scene), Failure>;

/// Where deploys hand in what they want of the database.
pub(super) struct Ledger {
    turns: Gather<Id, Option<(Claim, DeployRow)>>,
    surroundings: Gather<Id, Option<Surroundings>>,
    frozen: Gather<(Id, Id), Result<Id, Failure>>,
    looks: Gather<Sight, Seen>,
    batches: Gather<DeployBatch, Result<bool, Failure>>,
    events: Gather<DeployEvent, ()>,
}

impl Ledger {
    /// Starts what works for it; that ends with `cancel`.
    pub(super) fn start(
        me: HolderId,
        store: &Store,
        agents: &Agents,
        (tracker, cancel): (&TaskTracker, &CancellationToken),
    ) -> Self {
        let mut tasks = Vec::new();
        let ledger = Self {
            turns: turns(&mut tasks, me, store, agents),
            surroundings: surroundings(&mut tasks, store),
            frozen: {
                let pods = store.pods();
                gather(&mut tasks, TOGETHER, move |services: Vec<(Id, Id)>| {
                    let pods = pods.clone();
                    async move { pods.freeze(&services, LIMIT).await }
                })
            },
            looks: {
                let deploys = store.deploys();
                gather(&mut tasks, TOGETHER, move |sights: Vec<Sight>| {
                    let deploys = deploys.clone();
                    async move { deploys.look(&sights).await }
                })
            },
            batches: {
                let deploys = store.deploys();
                gather(&mut tasks, TOGETHER, move |batches: Vec<DeployBatch>| {
                    let deploys = deploys.clone();
                    async move { Ok(deploys.commit(&batches).await) }
                })
            },
            events: {
                let deploys = store.deploys();
                gather(&mut tasks, EVENTS, move |events: Vec<DeployEvent>| {
                    let deploys = deploys.clone();
                    async move {
                        deploys.note(&events).await?;
                        Ok(vec![(); events.len()])
                    }
                })
            },
        };
        for task in tasks {
            let cancel = cancel.clone();
            tracker.spawn(async move {
                tokio::select! {
                    () = cancel.cancelled() => {}
                    () = task => {}
                }
            });
        }
        ledger
    }

    /// Takes up the next deploy of a service, if there is one and no other master has it in hand.
    pub(super) async fn take_up(&self, service: Id) -> Result<Option<(Claim, DeployRow)>, Failure> {
        self.turns.ask(service).await
    }

    /// A service with its surroundings; `None` if it is gone.
    pub(super) async fn surroundings(&self, service: Id) -> Result<Option<Surroundings>, Failure> {
        self.surroundings.ask(service).await
    }

    /// Freezes a service of a grid as it is now; or says why it cannot be deployed as it is.
    pub(super) async fn freeze(&self, grid: Id, service: Id) -> Result<Result<Id, Failure>, Failure> {
        self.frozen.ask((grid, service)).await
    }

    /// Looks at a deploy.
    pub(super) async fn look(&self, sight: Sight) -> Result<Seen, Failure> {
        self.looks.ask(sight).await
    }

    /// Writes a batch. False if the claim is another's by now, or the deploy is over or gone.
    pub(super) async fn commit(&self, batch: DeployBatch) -> Result<bool, Failure> {
        self.batches.ask(batch).await?
    }

    /// Notes what happened, in this order.
    pub(super) async fn note_all(&self, events: Vec<DeployEvent>) {
        join_all(events.into_iter().map(|event| self.note(event))).await;
    }

    /// Notes what happened; whether that was possible matters to nobody.
    pub(super) async fn note(&self, event: DeployEvent) {
        let message = event.message.clone();
        if let Err(failure) = self.events.ask(event).await {
            tracing::debug!(%failure, message, "not among the events");
        }
    }
}

type Tasks = Vec<BoxFuture<'static, ()>>;

fn turns(
    tasks: &mut Tasks,
    me: HolderId,
    store: &Store,
    agents: &Agents,
) -> Gather<Id, Option<(Claim, DeployRow)>> {
    let (deploys, agents) = (store.deploys(), agents.clone());
    gather(tasks, TOGETHER, move |services: Vec<Id>| {
        let (deploys, agents) = (deploys.clone(), agents.clone());
        async move { deploys.take_up(&services, me, |master| agents.is_alive(master)).await }
    })
}

fn surroundings(tasks: &mut Tasks, store: &Store) -> Gather<Id, Option<Surroundings>> {
    let (services, scenes) = (store.services(), store.scenes());
    gather_with_rest(tasks, TOGETHER, SCENES_REST, move |wanted: Vec<Id>| {
        let (services, scenes) = (services.clone(), scenes.clone());
        async move {
            let (mut rows, mut found) = (Vec::new(), HashMap::new());
            for (id, row) in services.by_ids(&wanted).await? {
                match row {
                    Ok(row) => rows.push(row),
                    Err(failure) => drop(found.insert(id, Err(failure))),
                }
            }
            let scenes = scenes.of(&rows).await?;
            for (row, scene) in rows.into_iter().zip(scenes) {
                found.insert(row.definition.id, scene.map(|scene| (row, scene)));
            }
            Ok(wanted.iter().map(|service| found.remove(service)).collect())
        }
    })
}
