//! One deploy, from its plan to its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_core::deploy::{
    Act, DeployState, Host, Patience, Place, Planned, Revision, Row, Step, StepState, View, decide,
    parallelism,
};
use kontena_core::id::Id;
use kontena_core::scheduler::{NamedVolume, plan};
use kontena_store::{
    Begin, Claim, DeployRow, Failure, InstanceWrite, Packet, Progress, ServiceRow, StepRow, VolumePlace,
};
use tokio::sync::Notify;

use super::Hands;
use super::notify::Notifier;
use super::report::report;
use crate::clock::{SystemClock, wall_ms};

/// After a report others often follow at once: they are taken together.
const TOGETHER: Duration = Duration::from_millis(50);
/// Between two looks while something is waited for: reports to other masters are not heard here.
const LOOK: Duration = Duration::from_millis(500);
/// For a call that freezes or thaws.
const LIMIT: Duration = Duration::from_secs(5);

const INFO: i32 = 1;
const WARN: i32 = 2;
const ERROR: i32 = 3;

/// A deploy under way.
struct Work<'a> {
    hands: &'a Hands,
    claim: Claim,
    deploy: Id,
    service: ServiceRow,
    path: String,
    frozen: Id,
    volumes: Vec<(Id, NamedVolume)>,
    plan: Vec<Planned>,
    steps: Vec<StepRow>,
    /// Since when each instance is where it is, as far as this master saw.
    since: HashMap<i64, Duration>,
    notifier: Notifier,
}

/// What a look at the database showed.
struct Look {
    rows: BTreeMap<i64, (Id, Row)>,
    hosts: BTreeMap<Id, Host>,
    wanted: bool,
    cancelled: Option<String>,
}

impl Hands {
    /// Carries a deploy out, or on. False if it is another's by now.
    pub(super) async fn carry_out(
        &self,
        claim: Claim,
        row: DeployRow,
        told: &Notify,
    ) -> Result<bool, Failure> {
        let deploys = self.store.deploys();
        let Some(service) = self.store.services().by_id(claim.service).await? else { return Ok(false) };
        let scene = self.store.scenes().of(&service).await?;
        let path = format!("{}/{}/{}", scene.grid_name, scene.service.stack, scene.service.name);
        let mut begin = None;
        let (frozen, planned) = match row.frozen {
            Some(frozen) => (frozen, row.plan),
            None if service.state != "running" => {
                let end = Some(Err("service is not running".to_owned()));
                return deploys.commit(claim, row.id, &Progress { end, ..Progress::default() }).await;
            }
            None => {
                let plan = plan(&scene.grid, &scene.service, None);
                let report = report(&scene, &plan);
                let node = |placement: &kontena_core::scheduler::Placement| {
                    let outcome = placement.outcome.as_ref();
                    (
                        placement.number,
                        outcome.map(|choice| choice.node).map_err(|unplaced| unplaced.0.clone()),
                    )
                };
                let planned: Vec<(i64, Result<Id, String>)> = plan.placements.iter().map(node).collect();
                let grid = service.definition.grid;
                let frozen = match self.store.pods().freeze(grid, claim.service, LIMIT).await {
                    Ok(frozen) => frozen,
                    Err(failure) => {
                        tracing::warn!(SERVICE = path, %failure, "a service cannot be deployed as it is");
                        return Err(failure);
                    }
                };
                begin = Some(Begin { frozen, plan: planned.clone(), report });
                (frozen, planned)
            }
        };
        let mut work = Work {
            hands: self,
            claim,
            deploy: row.id,
            path,
            frozen,
            volumes: scene.volumes,
            plan: planned.into_iter().map(|(number, node)| Planned { number, node }).collect(),
            steps: row.steps,
            since: HashMap::new(),
            notifier: Notifier::new(self.agents.clone()),
            service,
        };
        work.tell(INFO, begin.is_some().then(|| format!("service {} deploy started", work.path))).await;
        // Whoever was told by a master that is gone may not have heard it.
        if begin.is_none() {
            let under_way = work.under_way();
            work.notifier.tell(&under_way, false);
        }
        work.run(begin, told).await
    }
}

impl Work<'_> {
    async fn run(&mut self, mut begin: Option<Begin>, told: &Notify) -> Result<bool, Failure> {
        let watch = self.hands.agents.watch(self.claim.service);
        loop {
            let look = self.look().await?;
            let progress = self.next(&look, begin.take());
            if let Some(progress) = progress {
                let deploys = self.hands.store.deploys();
                if !deploys.commit(self.claim, self.deploy, &progress).await? {
                    return Ok(false);
                }
                if let Some(outcome) = progress.end {
                    self.finish(outcome).await;
                    return Ok(true);
                }
                let nodes: BTreeMap<i64, Id> =
                    progress.instances.iter().map(|instance| (instance.number, instance.node)).collect();
                self.notifier.tell(&nodes, !progress.volumes.is_empty());
            }
            tokio::select! {
                () = watch.reported() => tokio::time::sleep(TOGETHER).await,
                () = told.notified() => {}
                () = self.notifier.unreached() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    fn under_way(&self) -> BTreeMap<i64, Id> {
        let waits_for = |step: &StepRow| match step.state {
            StepState::Stopping { on } => Some((step.number, on)),
            StepState::Applying => Some((step.number, step.node)),
            StepState::Settled(_) => None,
        };
        self.steps.iter().filter_map(waits_for).collect()
    }

    async fn look(&mut self) -> Result<Look, Failure> {
        let deploys = self.hands.store.deploys();
        let rows = deploys.instances(self.claim.service).await?;
        let mut nodes: BTreeSet<Id> = self.under_way().into_values().collect();
        let begun = |number: i64| self.steps.iter().any(|step| step.number == number);
        let next = self.plan.iter().filter(|planned| !begun(planned.number));
        nodes.extend(next.clone().filter_map(|planned| planned.node.as_ref().ok().copied()));
        nodes.extend(next.filter_map(|planned| rows.get(&planned.number)?.1.node));
        let nodes: Vec<Id> = nodes.into_iter().collect();
        let (hosts, stand) = futures_util::try_join!(deploys.hosts(&nodes), deploys.stand(self.deploy))?;
        Ok(Look { rows, hosts, wanted: stand.wanted, cancelled: stand.cancelled })
    }

    /// The next batch, if there is anything to be written.
    fn next(&mut self, look: &Look, begin: Option<Begin>) -> Option<Progress> {
        let now = SystemClock.now().monotonic;
        let under_way = self.under_way();
        self.since.retain(|number, _| under_way.contains_key(number));
        let unreached = self.notifier.take_unreached();
        let places: BTreeMap<i64, Place> = under_way
            .keys()
            .map(|number| {
                let since = now.saturating_sub(*self.since.entry(*number).or_insert(now));
                (*number, Place { since, unreached: unreached.get(number).cloned() })
            })
            .collect();
        let rows: BTreeMap<i64, Row> =
            look.rows.iter().map(|(number, (_, row))| (*number, row.clone())).collect();
        let steps: Vec<Step> = self.steps.iter().map(step).collect();
        let decision = decide(&View {
            path: &self.path,
            wanted: look.wanted,
            cancelled: look.cancelled.as_deref(),
            parallelism: parallelism(self.plan.len(), self.service.min_health.unwrap_or(0.8)),
            plan: &self.plan,
            steps: &steps,
            rows: &rows,
            hosts: &look.hosts,
            places: &places,
            patience: Patience::default(),
        });
        if decision.acts.is_empty() && begin.is_none() {
            return None;
        }
        let revs = rows.values().flat_map(|row| [row.deploy_rev.as_deref(), row.rev.as_deref()]).flatten();
        let rev = Revision::after(wall_ms(), revs);
        let mut progress = Progress { begin, ..Progress::default() };
        for act in decision.acts {
            self.apply(act, look, &rev, &mut progress);
        }
        progress.steps.clone_from(&self.steps);
        Some(progress)
    }

    fn apply(&mut self, act: Act, look: &Look, rev: &Revision, progress: &mut Progress) {
        let write = |number: i64, node: Id, desired_state: &'static str, frozen: Option<Id>| InstanceWrite {
            id: look.rows.get(&number).map(|(id, _)| *id),
            number,
            node,
            desired_state,
            rev: rev.clone(),
            frozen,
        };
        match act {
            Act::Stop { number, on, to } => {
                progress.instances.push(write(number, on, "stopped", None));
                self.step(number, to, StepState::Stopping { on }, look);
            }
            Act::Apply { number, node, warning } => {
                if let Some(warning) = warning {
                    tracing::warn!(
                        SERVICE = self.path,
                        number,
                        warning,
                        "an instance was not stopped where it was"
                    );
                }
                for (volume, named) in &self.volumes {
                    progress.volumes.push(VolumePlace {
                        volume: *volume,
                        name: named.name_for(number),
                        node,
                    });
                }
                progress.instances.push(write(number, node, "running", Some(self.frozen)));
                self.step(number, node, StepState::Applying, look);
            }
            Act::Repeat { number, node } => {
                let stopping = self
                    .steps
                    .iter()
                    .any(|step| step.number == number && matches!(step.state, StepState::Stopping { .. }));
                progress.instances.push(write(
                    number,
                    node,
                    if stopping { "stopped" } else { "running" },
                    None,
                ));
                let epoch = look.hosts.get(&node).and_then(|host| host.epoch);
                self.steps
                    .iter_mut()
                    .filter(|step| step.number == number)
                    .for_each(|step| step.epoch = epoch);
            }
            Act::Settle { number, outcome } => {
                for step in self.steps.iter_mut().filter(|step| step.number == number) {
                    let state = if outcome.is_ok() { DeployState::Success } else { DeployState::Error };
                    step.state = StepState::Settled(state);
                    step.error = outcome.as_ref().err().cloned();
                }
            }
            Act::End(outcome) => progress.end = Some(outcome),
        }
    }

    fn step(&mut self, number: i64, node: Id, state: StepState, look: &Look) {
        let waits_for = if let StepState::Stopping { on } = state { on } else { node };
        let epoch = look.hosts.get(&waits_for).and_then(|host| host.epoch);
        self.since.remove(&number);
        if let Some(step) = self.steps.iter_mut().find(|step| step.number == number) {
            (step.node, step.state, step.epoch) = (node, state, epoch);
        } else {
            let id = Id::from_bytes(Packet::fresh_id());
            self.steps.push(StepRow { id, number, node, state, epoch, error: None });
        }
    }

    async fn finish(&mut self, outcome: Result<(), String>) {
        let path = &self.path;
        match &outcome {
            Ok(()) => {
                if let Err(failure) =
                    self.hands.store.pods().thaw(self.claim.service, self.frozen, LIMIT).await
                {
                    tracing::debug!(%failure, "what was frozen before stays a while");
                }
                self.tell(INFO, Some(format!("service {path} deployed"))).await;
            }
            Err(reason) => {
                for step in &self.steps {
                    if let Some(error) = &step.error {
                        let message = format!("service {path}-{} deploy failed: {error}", step.number);
                        self.tell(WARN, Some(message)).await;
                    }
                }
                self.tell(ERROR, Some(format!("deploy of {path} errored: {reason}"))).await;
            }
        }
    }

    async fn tell(&self, severity: i32, message: Option<String>) {
        let Some(message) = message else { return };
        let (grid, service) = (self.service.definition.grid, self.claim.service);
        if let Err(failure) = self.hands.store.deploys().tell(grid, service, severity, &message).await {
            tracing::debug!(%failure, message, "not among the events");
        }
    }
}

fn step(row: &StepRow) -> Step {
    let StepRow { id: _, number, node, state, epoch, error: _ } = row;
    Step { number: *number, node: *node, state: *state, epoch: *epoch }
}
