//! One deploy, from its plan to its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_core::deploy::{
    Act, DeployState, Patience, Place, Planned, Revision, Row, Step, StepState, View, decide, parallelism,
};
use kontena_core::id::Id;
use kontena_core::scheduler::{NamedVolume, Placement, plan};
use kontena_store::{
    Begin, Claim, DeployBatch, DeployEvent, DeployRow, Failure, InstanceWrite, Packet, Progress, Scene, Seen,
    ServiceRow, Sight, StepRow, VolumePlace,
};
use tokio::sync::Notify;
use tokio::task::block_in_place;

use super::notify::Notifier;
use super::report::report;
use super::{Hands, LIMIT};
use crate::clock::{SystemClock, wall_ms};

/// After a report others often follow at once: they are taken together.
const TOGETHER: Duration = Duration::from_millis(50);
/// The same on a database that is slow, since so many ask it: the more come, the more go together.
const TOGETHER_MAX: Duration = Duration::from_millis(1500);

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
    /// Why it is called off. That, and that the service is stopped, costs the claim: who claims it next sees it.
    cancelled: Option<String>,
    /// Where instances are that were not begun, as far as was seen.
    left: BTreeSet<Id>,
    node_names: HashMap<Id, String>,
    /// What is to be noted once the next batch is written.
    events: Vec<DeployEvent>,
    /// How long the last batch of writes took.
    took: Duration,
}

impl Hands {
    /// Carries a deploy out, or on. False if it is another's by now.
    pub(super) async fn carry_out(
        &self,
        claim: Claim,
        row: DeployRow,
        told: &Notify,
    ) -> Result<bool, Failure> {
        let Some(surroundings) = self.ledger.surroundings(claim.service).await? else {
            return self.end(claim, row.id, None, "service is gone").await;
        };
        let (service, scene) = match surroundings {
            Ok(surroundings) => surroundings,
            Err(failure) => return self.end(claim, row.id, None, &aborted(&failure)).await,
        };
        let Scene { grid, service: asked, volumes, grid_name, node_names } = scene;
        let path = format!("{grid_name}/{}/{}", asked.stack, asked.name);
        let mut begin = None;
        let (frozen, planned) = match row.frozen {
            Some(frozen) => (frozen, row.plan),
            None if service.state != "running" => {
                return self.end(claim, row.id, None, "service is not running").await;
            }
            None => {
                // Called off before its turn: it has no effect at all.
                if let Some(why) = &row.cancelled {
                    return self.end(claim, row.id, None, why).await;
                }
                // A large one takes a while, in which this thread's other work goes on elsewhere.
                let (plan, report) = block_in_place(|| {
                    let plan = plan(&grid, &asked, None);
                    let report = report(&grid, &node_names, &plan);
                    (plan, report)
                });
                let node = |placement: &Placement| {
                    let outcome = placement.outcome.as_ref();
                    (
                        placement.number,
                        outcome.map(|choice| choice.node).map_err(|unplaced| unplaced.0.clone()),
                    )
                };
                let planned: Vec<(i64, Result<Id, String>)> = plan.placements.iter().map(node).collect();
                let frozen = match self.ledger.freeze(service.definition.grid, claim.service).await? {
                    Ok(frozen) => frozen,
                    Err(failure) => {
                        tracing::warn!(SERVICE = path, %failure, "a service cannot be deployed as it is");
                        let why = aborted(&failure);
                        let revision = service.definition.revision;
                        let ended = self.end(claim, row.id, Some(revision), &why).await?;
                        let message = format!("deploy of {path} errored: {why}");
                        let (grid, service) = (service.definition.grid, claim.service);
                        if ended {
                            self.ledger.note(DeployEvent::new(grid, service, ERROR, message)).await;
                        }
                        return Ok(ended);
                    }
                };
                let revision = service.definition.revision;
                begin = Some(Begin { frozen, revision, plan: planned.clone(), report, surplus: false });
                (frozen, planned)
            }
        };
        // Nobody else moves them while the claim holds.
        let left = grid.nodes_of(claim.service).collect();
        drop(grid);
        let mut work = Work {
            hands: self,
            claim,
            deploy: row.id,
            path,
            frozen,
            volumes,
            plan: planned.into_iter().map(|(number, node)| Planned { number, node }).collect(),
            steps: row.steps,
            since: HashMap::new(),
            notifier: Notifier::new(self.agents.clone()),
            cancelled: row.cancelled,
            left,
            node_names,
            events: Vec::new(),
            took: Duration::ZERO,
            service,
        };
        if begin.is_none() {
            // Whoever was told by a master that is gone may not have heard it.
            return work.run(None, told).await;
        }
        let started = work.event(INFO, format!("service {} deploy started", work.path));
        let (outcome, ()) = tokio::join!(work.run(begin, told), self.ledger.note(started));
        outcome
    }

    /// Ends a deploy without its steps. `given_up` is the revision of its service that cannot be deployed as it is.
    async fn end(&self, claim: Claim, deploy: Id, given_up: Option<i64>, why: &str) -> Result<bool, Failure> {
        let progress = Progress { given_up, end: Some(Err(why.to_owned())), ..Progress::default() };
        self.ledger.commit(DeployBatch { claim, deploy, progress }).await
    }
}

impl Work<'_> {
    async fn run(&mut self, mut begin: Option<Begin>, told: &Notify) -> Result<bool, Failure> {
        let mut watch = self.hands.agents.watch(self.claim.service);
        let mut repeat = begin.is_none();
        loop {
            watch.look();
            let look = self.look().await?;
            if std::mem::take(&mut repeat) {
                let under_way = self.under_way();
                self.notifier.tell(&under_way, &look.owners, false);
            }
            let fresh = begin.as_ref().map(|begin| begin.frozen);
            let surplus = if fresh.is_some() { self.surplus(&look) } else { BTreeSet::new() };
            if let Some(begin) = &mut begin {
                begin.surplus = look.instances.keys().any(|number| self.is_surplus(*number));
            }
            if let Some(progress) = self.next(&look, begin.take()) {
                let at = SystemClock.now().monotonic;
                let told = |write: &InstanceWrite| (write.number, write.node);
                let instances: BTreeMap<i64, Id> = progress.instances.iter().map(told).collect();
                let (ended, volumes) = (progress.end.clone(), !progress.volumes.is_empty());
                let batch = DeployBatch { claim: self.claim, deploy: self.deploy, progress };
                match self.hands.ledger.commit(batch).await {
                    Ok(true) => {}
                    Ok(false) => {
                        self.discard(fresh).await;
                        return Ok(false);
                    }
                    // It would not fit at the next try either. There may be no room for its steps.
                    Err(failure @ Failure::TooLarge) => {
                        self.discard(fresh).await;
                        let why = aborted(&failure);
                        let given_up = fresh.map(|_| self.service.definition.revision);
                        let ended = self.hands.end(self.claim, self.deploy, given_up, &why).await?;
                        if ended {
                            self.finish(Err(why)).await;
                        }
                        return Ok(ended);
                    }
                    Err(failure) => return Err(failure),
                }
                self.took = SystemClock.now().monotonic.saturating_sub(at);
                self.hands.agents.tell_soon(surplus);
                if let Some(outcome) = ended {
                    self.finish(outcome).await;
                    return Ok(true);
                }
                self.notifier.tell(&instances, &look.owners, volumes);
            }
            let events = self.hands.ledger.note_all(std::mem::take(&mut self.events));
            self.note_places(&look);
            let (together, waits_for) =
                ((self.took * 4).clamp(TOGETHER, TOGETHER_MAX), self.under_way().len());
            let reports = async {
                watch.reported(1).await;
                // When all have reported there is nothing more to wait for.
                tokio::time::timeout(together, watch.reported(waits_for)).await
            };
            let woken = async {
                tokio::select! {
                    _ = reports => {}
                    () = told.notified() => {}
                    () = self.notifier.unreached() => {}
                    // What other masters tell may be lost.
                    () = tokio::time::sleep(Patience::default().look) => {}
                }
            };
            tokio::join!(events, woken);
        }
    }

    fn is_surplus(&self, number: i64) -> bool {
        i64::try_from(self.plan.len()).is_ok_and(|last| number > last)
    }

    /// Where instances are that the plan has no number for.
    fn surplus(&self, look: &Seen) -> BTreeSet<Id> {
        let surplus = look.instances.iter().filter(|(number, _)| self.is_surplus(**number));
        surplus.filter_map(|(_, (_, row))| row.node).collect()
    }

    /// What was frozen for a deploy that was not begun is of no use.
    async fn discard(&self, frozen: Option<Id>) {
        let Some(frozen) = frozen else { return };
        if let Err(failure) = self.hands.store.pods().discard(frozen, LIMIT).await {
            tracing::debug!(%failure, "what was frozen for nothing stays");
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

    async fn look(&self) -> Result<Seen, Failure> {
        let mut nodes: BTreeSet<Id> = self.under_way().into_values().collect();
        let begun: BTreeSet<i64> = self.steps.iter().map(|step| step.number).collect();
        let next = self.plan.iter().filter(|planned| !begun.contains(&planned.number));
        nodes.extend(next.filter_map(|planned| planned.node.as_ref().ok().copied()));
        nodes.extend(&self.left);
        let sight = Sight { service: self.claim.service, nodes: nodes.into_iter().collect() };
        self.hands.ledger.look(sight).await
    }

    /// Where instances are that were not begun: who goes elsewhere is stopped there first.
    fn note_places(&mut self, look: &Seen) {
        let begun: BTreeSet<i64> = self.steps.iter().map(|step| step.number).collect();
        let waiting = look.instances.iter().filter(|(number, _)| !begun.contains(number));
        self.left = waiting.filter_map(|(_, (_, row))| row.node).collect();
    }

    /// The next batch, if there is anything to be written.
    fn next(&mut self, look: &Seen, begin: Option<Begin>) -> Option<Progress> {
        let now = SystemClock.now().monotonic;
        let under_way = self.under_way();
        self.since.retain(|number, _| under_way.contains_key(number));
        let mut unreached = self.notifier.take_unreached();
        let places: BTreeMap<i64, Place> = under_way
            .keys()
            .map(|number| {
                let since = now.saturating_sub(*self.since.entry(*number).or_insert(now));
                (*number, Place { since, unreached: unreached.remove(number).unwrap_or_default() })
            })
            .collect();
        let rows: BTreeMap<i64, Row> =
            look.instances.iter().map(|(number, (_, row))| (*number, row.clone())).collect();
        let steps: Vec<Step> = self.steps.iter().map(step).collect();
        let decision = decide(&View {
            path: &self.path,
            wanted: self.service.state == "running",
            cancelled: self.cancelled.as_deref(),
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

    fn apply(&mut self, act: Act, look: &Seen, rev: &Revision, progress: &mut Progress) {
        let write = |number: i64, node: Id, desired_state: &'static str, frozen: Option<Id>| InstanceWrite {
            id: look.instances.get(&number).map(|(id, _)| *id),
            number,
            node,
            desired_state,
            rev: rev.clone(),
            frozen,
        };
        match act {
            Act::Stop { number, on, to } => {
                let (path, previous) = (&self.path, self.previous(Some(on)));
                self.events.push(self.event(INFO, format!("stopping service {path}-{number} on {previous}")));
                progress.instances.push(write(number, on, "stopped", None));
                self.step(number, to, StepState::Stopping { on }, look);
            }
            Act::Apply { number, node, warning } => {
                self.events.extend(self.left_behind(number, look, warning));
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
            Act::Repeat { number, node, running } => {
                let wanted = if running { "running" } else { "stopped" };
                progress.instances.push(write(number, node, wanted, None));
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
            Act::End(outcome) => {
                // Who failed may have left instances of earlier ones.
                progress.keep = Some(look.frozen.clone());
                progress.end = Some(outcome);
            }
        }
    }

    fn step(&mut self, number: i64, node: Id, state: StepState, look: &Seen) {
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

    async fn finish(&self, outcome: Result<(), String>) {
        let path = &self.path;
        let mut events = Vec::new();
        match outcome {
            Ok(()) => events.push(self.event(INFO, format!("service {path} deployed"))),
            Err(reason) => {
                for step in &self.steps {
                    if let Some(error) = &step.error {
                        let message = format!("service {path}-{} deploy failed: {error}", step.number);
                        events.push(self.event(ERROR, message));
                    }
                }
                events.push(self.event(ERROR, format!("deploy of {path} errored: {reason}")));
            }
        }
        self.hands.ledger.note_all(events).await;
    }

    /// What is told of the place that an instance had, when it gets another.
    fn left_behind(&self, number: i64, look: &Seen, warning: Option<String>) -> Option<DeployEvent> {
        let path = &self.path;
        let (_, before) = look.instances.get(&number)?;
        if let Some(warning) = warning {
            tracing::warn!(SERVICE = path, number, warning, "an instance was not stopped where it was");
            let previous = self.previous(before.node);
            let message = format!("stopping service {path}-{number} on {previous} failed: {warning}");
            return Some(self.event(WARN, message));
        }
        // The original's words.
        let message = format!("Replacing orphaned service {path}-{number} on destroyed node");
        before.node.is_none().then(|| self.event(WARN, message))
    }

    fn previous(&self, node: Option<Id>) -> String {
        let name = node.and_then(|node| self.node_names.get(&node));
        name.map_or_else(|| "a previous node that is gone".to_owned(), |name| format!("previous node {name}"))
    }

    fn event(&self, severity: i32, message: String) -> DeployEvent {
        DeployEvent::new(self.service.definition.grid, self.claim.service, severity, message)
    }
}

/// A service that refers to what is not there does not become deployable by trying again.
fn aborted(failure: &Failure) -> String {
    format!("service deploy aborted: {failure}")
}

fn step(row: &StepRow) -> Step {
    let StepRow { id: _, number, node, state, epoch, error: _ } = row;
    Step { number: *number, node: *node, state: *state, epoch: *epoch }
}
