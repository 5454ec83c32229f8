//! Carries out the deploys and removals of stacks: those that were asked for here, and those of masters that are gone.
//!
//! Nothing of them lives here; see `kontena_core::stack` for what is decided, and `kontena_store::StackMove` for what
//! each move changes.

use std::collections::BTreeSet;
use std::time::Duration;

use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_core::stack::{
    DeployAct, DeployView, PATIENCE, RemovalAct, RemovalView, decide_deploy, decide_removal,
};
use kontena_store::{Failure, StackClaim, StackLook, StackMove, Store};
use kontena_wire::agent::outbound::{self, Outbound};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::agents::Agents;
use crate::deploys::ServiceDeploys;
use crate::desk::Errands;

/// Between two looks while a service is deployed: ends on other masters are not heard here.
const LOOK: Duration = Duration::from_millis(300);
/// Before the next look when a move was in vain.
const AGAIN: Duration = Duration::from_millis(50);

const ERROR: i32 = 3;

/// What stacks are carried out with.
#[derive(Clone)]
pub(crate) struct Hands {
    pub(crate) me: HolderId,
    pub(crate) store: Store,
    pub(crate) agents: Agents,
    pub(crate) services: ServiceDeploys,
    pub(crate) tasks: TaskTracker,
}

/// What follows from a look.
enum Next {
    Move(StackMove),
    /// Nothing yet, but soon.
    Wait,
    /// Nothing for long; the claim is given back meanwhile.
    Later,
}

/// How a claim ended.
#[derive(PartialEq, Eq)]
enum Ended {
    /// Something is done; there may be more.
    Done,
    /// There is nothing more to do for now, or it is another's.
    Rest,
}

impl Errands for Hands {
    fn me(&self) -> HolderId {
        self.me
    }

    fn agents(&self) -> &Agents {
        &self.agents
    }

    async fn open(&self) -> Result<Vec<(Id, Option<HolderId>)>, Failure> {
        let open = self.store.stacks().open().await?;
        Ok(open.into_iter().map(|stack| (stack.stack, stack.master)).collect())
    }

    /// Carries out what is asked for with a stack, one after the other, while that is this master's to carry out.
    async fn work(&self, stack: Id, told: &Notify) -> Result<(), Failure> {
        let stacks = self.store.stacks();
        while stacks.look(stack).await?.is_some() {
            let (master, seen) = stacks.claimed(stack).await?;
            if master.is_some_and(|master| master != self.me && self.agents.is_alive(master)) {
                return Ok(());
            }
            let Some(claim) = stacks.claim(stack, seen, self.me).await? else { return Ok(()) };
            if self.carry(claim, told).await? == Ended::Rest {
                return Ok(());
            }
        }
        Ok(())
    }
}

impl Hands {
    async fn carry(&self, claim: StackClaim, told: &Notify) -> Result<Ended, Failure> {
        let stacks = self.store.stacks();
        loop {
            let ended = self.services.ended();
            let Some(look) = stacks.look(claim.stack).await? else {
                stacks.release(claim).await?;
                return Ok(Ended::Done);
            };
            match next(&look) {
                Next::Move(step) => {
                    if self.make(claim, &look, &step).await? {
                        match step {
                            StackMove::End { .. } | StackMove::Finish => return Ok(Ended::Done),
                            StackMove::Blocked { .. } => return Ok(Ended::Rest),
                            _ => {}
                        }
                    } else {
                        let (_, epoch) = stacks.claimed(claim.stack).await?;
                        if epoch != claim.epoch {
                            tracing::info!(STACK = look.path, "another master goes on with the stack");
                            return Ok(Ended::Rest);
                        }
                        tokio::time::sleep(AGAIN).await;
                    }
                }
                Next::Wait => tokio::select! {
                    () = ended => {}
                    () = told.notified() => {}
                    () = tokio::time::sleep(LOOK) => {}
                },
                Next::Later => {
                    stacks.release(claim).await?;
                    return Ok(Ended::Rest);
                }
            }
        }
    }

    /// Makes a move and tells whom it concerns. False if it was in vain.
    async fn make(&self, claim: StackClaim, look: &StackLook, step: &StackMove) -> Result<bool, Failure> {
        let parting = match step {
            StackMove::Drop { service, .. } | StackMove::Remove { service } => {
                self.parting(look, &[*service]).await?
            }
            StackMove::Stop { services } => {
                Parting { nodes: self.nodes(services).await?, farewells: Vec::new() }
            }
            _ => Parting::default(),
        };
        let stacks = self.store.stacks();
        if !stacks.make(claim, look, step).await? {
            return Ok(false);
        }
        let path = &look.path;
        match step {
            StackMove::Deploy { service, .. } => self.services.wake(*service),
            StackMove::Stop { services } => services.iter().for_each(|service| self.services.wake(*service)),
            StackMove::End { outcome: Ok(()), .. } => tracing::info!(STACK = path, "a stack is deployed"),
            StackMove::End { outcome: Err(why), .. } => {
                self.tell(claim, look, "stack:deploy", &format!("deploy of stack {path} errored: {why}"))
                    .await;
            }
            StackMove::Blocked { why } => {
                self.tell(claim, look, "stack:remove", &format!("stack {path} is not removed: {why}")).await;
            }
            StackMove::Finish => tracing::info!(STACK = path, "a stack is removed"),
            StackMove::Begin { .. } | StackMove::Drop { .. } | StackMove::Remove { .. } => {}
        }
        self.send(parting);
        Ok(true)
    }

    async fn tell(&self, claim: StackClaim, look: &StackLook, kind: &str, message: &str) {
        tracing::warn!(STACK = look.path, message);
        let stack = (look.grid, claim.stack);
        if let Err(failure) = self.store.stacks().tell(stack, kind, ERROR, message).await {
            tracing::debug!(%failure, message, "not among the events");
        }
    }

    async fn nodes(&self, services: &[Id]) -> Result<Vec<Id>, Failure> {
        let instances = self.store.service_instances().of_services(services).await?;
        let nodes: BTreeSet<Id> = instances.iter().filter_map(|instance| instance.node).collect();
        Ok(nodes.into_iter().collect())
    }

    /// Whom to tell that services are gone. It is asked for while their instances are still known.
    async fn parting(&self, look: &StackLook, services: &[Id]) -> Result<Parting, Failure> {
        let nodes = self.nodes(services).await?;
        let mut farewells = Vec::new();
        for member in look.members.iter().filter(|member| services.contains(&member.id)) {
            if !member.links.is_empty() {
                farewells.extend(self.agents.pod_behind_balancer(member.id, &nodes).await);
            }
        }
        let farewells = farewells
            .into_iter()
            .map(|(node, pod)| (node, outbound::remove_from_load_balancer(pod)))
            .collect();
        Ok(Parting { nodes, farewells })
    }

    /// Nobody waits for it: agents that do not hear it learn it from their next list.
    fn send(&self, parting: Parting) {
        let Parting { nodes, farewells } = parting;
        if nodes.is_empty() && farewells.is_empty() {
            return;
        }
        let agents = self.agents.clone();
        self.tasks.spawn(async move {
            let changed = nodes.into_iter().map(|node| (node, outbound::pods_changed()));
            for (node, call) in changed.chain(farewells) {
                if let Err(error) = agents.notify(node, call).await {
                    tracing::debug!(%node, %error, "an agent was not told");
                }
            }
        });
    }
}

/// The nodes that lose instances, and what load balancers are told.
#[derive(Default)]
struct Parting {
    nodes: Vec<Id>,
    farewells: Vec<(Id, Outbound)>,
}

fn next(look: &StackLook) -> Next {
    let members = &look.members;
    if let Some(deploy) = &look.deploy {
        let (begun, removing) = (deploy.begun, look.removal.is_some());
        let id = deploy.id;
        let act = decide_deploy(&DeployView {
            path: &look.path,
            begun,
            removing,
            wanted: &deploy.wanted,
            latest: &deploy.latest,
            members,
            deploys: &deploy.deploys,
            patience: PATIENCE,
        });
        return match act {
            DeployAct::Begin => Next::Move(StackMove::Begin { deploy: id }),
            DeployAct::Remove(service) => Next::Move(StackMove::Drop { deploy: id, service }),
            DeployAct::Deploy(service) => Next::Move(StackMove::Deploy { deploy: id, service }),
            DeployAct::Wait => Next::Wait,
            DeployAct::End(outcome) => Next::Move(StackMove::End { deploy: id, outcome }),
        };
    }
    let Some(stopped) = look.removal else { return Next::Later };
    match decide_removal(&RemovalView { stopped, members }) {
        RemovalAct::Stop => {
            Next::Move(StackMove::Stop { services: members.iter().map(|member| member.id).collect() })
        }
        RemovalAct::Remove(service) => Next::Move(StackMove::Remove { service }),
        RemovalAct::Blocked(why) if look.blocked.as_ref() == Some(&why) => Next::Later,
        RemovalAct::Blocked(why) => Next::Move(StackMove::Blocked { why }),
        RemovalAct::Finish => Next::Move(StackMove::Finish),
    }
}
