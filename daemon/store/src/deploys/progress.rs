//! One batch of writes of a deploy: all of them take effect, under the own epoch, or none.

use std::collections::BTreeSet;

use kontena_core::deploy::{DeployState, Revision};
use kontena_core::id::Id;
use mongodb::bson::{Bson, DateTime, Document, doc};
use serde_json::{Map, Value};

use super::{Claim, DEPLOYS, Deploys, StepRow, step_document};
use crate::claims::CLAIMS;
use crate::command::Failure;
use crate::document::{fresh, object_from_json, oid, oids, whole};
use crate::grid_services::SERVICES;
use crate::pod_sources::FROZEN;
use crate::service_instances::INSTANCES;
use crate::transaction::{Outcome, Write};

/// The first batch. Nothing is begun if the deploy is called off by now, or its service is stopped.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The service as it is now.
    pub frozen: Id,
    /// Which revision of it was read before that. If it is another by now, nothing is begun: what came in between would
    /// count as deployed.
    pub revision: i64,
    /// A node or a reason for each instance, by number.
    pub plan: Vec<(i64, Result<Id, String>)>,
    /// Why each node was chosen or refused.
    pub report: Map<String, Value>,
    /// Whether there are instances that the plan has no number for.
    pub surplus: bool,
}

/// What an instance is told.
#[derive(Clone, Debug)]
pub struct InstanceWrite {
    /// Its document, if it has one.
    pub id: Option<Id>,
    /// Counts from 1.
    pub number: i64,
    /// Its place.
    pub node: Id,
    /// `running` or `stopped`.
    pub desired_state: &'static str,
    /// What its agent shall report.
    pub rev: Revision,
    /// What it is made of; `None` leaves that as it is.
    pub frozen: Option<Id>,
}

/// A place for a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumePlace {
    /// Which volume.
    pub volume: Id,
    /// Its name in the engine.
    pub name: String,
    /// Where.
    pub node: Id,
}

/// One batch.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Only the first has it.
    pub begin: Option<Begin>,
    /// All steps as they are then.
    pub steps: Vec<StepRow>,
    /// The instances that are told something.
    pub instances: Vec<InstanceWrite>,
    /// The volumes that get a place.
    pub volumes: Vec<VolumePlace>,
    /// It cannot be begun with this revision of its service, which counts as deployed all the same: nobody asks for it
    /// again before it is another.
    pub given_up: Option<i64>,
    /// Only the last has it.
    pub end: Option<Result<(), String>>,
    /// What instances are made of when one ends that was begun. Nothing else that was frozen is needed any more, whoever
    /// froze it: only who holds the claim freezes.
    pub keep: Option<BTreeSet<Id>>,
}

/// A batch, whose it is, and under which claim.
#[derive(Clone, Debug)]
pub struct DeployBatch {
    /// The claim.
    pub claim: Claim,
    /// The deploy.
    pub deploy: Id,
    /// What is written.
    pub progress: Progress,
}

impl Deploys {
    /// Writes batches of several deploys, in one transaction where none keeps the others from it. For each: false if
    /// the claim is another's by now, the deploy is over or gone, or its service changed before it was begun, and then
    /// nothing of it is written.
    pub async fn commit(&self, batches: &[DeployBatch]) -> Vec<Result<bool, Failure>> {
        if batches.len() > 1 {
            match self.store.attempt_once(&writes(batches)).await {
                Ok(Outcome::Done) => return batches.iter().map(|_| Ok(true)).collect(),
                // Whatever was written may have been answered since: it must not be written again.
                Err(failure) if failure.commit_unknown() => {
                    return batches.iter().map(|_| Err(failure.clone())).collect();
                }
                Ok(Outcome::Unmatched) | Err(_) => {}
            }
        }
        // Somebody is in the way of one of them at least.
        let alone = batches.iter().map(|batch| self.commit_one(std::slice::from_ref(batch)));
        futures_util::future::join_all(alone).await
    }

    async fn commit_one(&self, batch: &[DeployBatch]) -> Result<bool, Failure> {
        match self.store.transact(&writes(batch)).await {
            Ok(outcome) => Ok(outcome == Outcome::Done),
            // An instance of that number is there under another epoch.
            Err(Failure::Duplicate) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

fn writes(batches: &[DeployBatch]) -> Vec<Write> {
    let begun: Vec<(Claim, &Begin)> =
        batches.iter().filter_map(|batch| Some((batch.claim, batch.progress.begin.as_ref()?))).collect();
    let started = |batch: &DeployBatch| {
        let Progress { begin, given_up, .. } = &batch.progress;
        // One that has none is taken for the first.
        let revision = match begin.as_ref().map(|begin| begin.revision).or(*given_up)? {
            1 => doc! { "$in": [1, Bson::Null] },
            other => doc! { "$eq": whole(other) },
        };
        let as_read = doc! { "_id": oid(batch.claim.service), "revision": revision, "state": "running" };
        Some(doc! { "q": as_read, "u": { "$currentDate": { "deployed_at": true } } })
    };
    let surplus = |(claim, begin): &(Claim, &Begin)| {
        let last = i64::try_from(begin.plan.len()).unwrap_or(i64::MAX);
        doc! { "grid_service_id": oid(claim.service), "instance_number": { "$gt": last } }
    };
    let surplus: Vec<Document> = begun.iter().filter(|(_, begin)| begin.surplus).map(surplus).collect();
    let instances = |batch: &DeployBatch| {
        let claim = batch.claim;
        let statement = move |instance| instance_statement(claim, instance);
        batch.progress.instances.iter().map(statement).collect::<Vec<_>>()
    };
    let volumes = batches.iter().flat_map(|batch| &batch.progress.volumes);
    let each = |collection, statements: Vec<Document>| {
        (!statements.is_empty()).then_some(Write::Each { collection, statements })
    };
    // The claims come first: whoever has lost one changes nothing else.
    let mut writes = Vec::new();
    writes.extend(each(CLAIMS, batches.iter().map(claim_statement).collect()));
    writes.extend(each(DEPLOYS, batches.iter().map(deploy_statement).collect()));
    writes.extend(each(SERVICES, batches.iter().filter_map(started).collect()));
    if !surplus.is_empty() {
        writes.push(Write::RemoveAll { collection: INSTANCES, filter: doc! { "$or": surplus } });
    }
    let outdated = |batch: &DeployBatch| {
        let kept = oids(batch.progress.keep.as_ref()?.iter().copied());
        Some(doc! { "grid_service_id": oid(batch.claim.service), "_id": { "$nin": kept } })
    };
    let outdated: Vec<Document> = batches.iter().filter_map(outdated).collect();
    if !outdated.is_empty() {
        writes.push(Write::RemoveAll { collection: FROZEN, filter: doc! { "$or": outdated } });
    }
    writes.extend(each("volume_instances", volumes.map(volume_statement).collect()));
    writes.extend(each(INSTANCES, batches.iter().flat_map(instances).collect()));
    writes
}

fn claim_statement(batch: &DeployBatch) -> Document {
    let Claim { service, epoch } = batch.claim;
    let mut change = doc! { "$inc": { "n": 1 } };
    if batch.progress.end.is_some() {
        change.insert("$set", doc! { "master": Bson::Null });
    }
    doc! { "q": { "_id": oid(service), "epoch": epoch }, "u": change }
}

fn deploy_statement(batch: &DeployBatch) -> Document {
    let mut open = doc! { "_id": oid(batch.deploy), "finished_at": Bson::Null };
    if batch.progress.begin.is_some() {
        open.insert("cancel_reason", Bson::Null);
    }
    doc! { "q": open, "u": deploy_change(&batch.progress) }
}

fn deploy_change(progress: &Progress) -> Document {
    let Progress { begin, steps, instances: _, volumes: _, given_up: _, end, keep: _ } = progress;
    let mut set =
        doc! { "grid_service_instance_deploys": steps.iter().map(step_document).collect::<Vec<Bson>>() };
    let mut dates = doc! { "updated_at": true };
    if let Some(Begin { frozen, revision: _, plan, report, surplus: _ }) = begin {
        let planned = |(number, node): &(i64, Result<Id, String>)| {
            let mut row = doc! { "instance_number": whole(*number) };
            match node {
                Ok(node) => row.insert("host_node_id", oid(*node)),
                Err(error) => row.insert("error", error),
            };
            Bson::from(row)
        };
        set.insert("plan", plan.iter().map(planned).collect::<Vec<Bson>>());
        set.insert("report", object_from_json(report));
        set.insert("frozen_id", oid(*frozen));
        set.insert("_deploy_state", DeployState::Ongoing.name());
        dates.extend(doc! { "queued_at": true, "started_at": true });
    }
    if let Some(outcome) = end {
        let state = if outcome.is_ok() { DeployState::Success } else { DeployState::Error };
        set.insert("_deploy_state", state.name());
        if let Err(reason) = outcome {
            set.insert("reason", reason);
        }
        dates.insert("finished_at", true);
    }
    doc! { "$set": set, "$currentDate": dates }
}

fn instance_statement(claim: Claim, instance: &InstanceWrite) -> Document {
    let Claim { service, epoch } = claim;
    let InstanceWrite { id, number, node, desired_state, rev, frozen } = instance;
    let mut set = doc! {
        "host_node_id": oid(*node), "deploy_rev": rev.as_str(), "desired_state": *desired_state, "rev": Bson::Null,
        "error": Bson::Null, "claim_epoch": epoch,
    };
    if let Some(frozen) = frozen {
        set.insert("frozen_id", oid(*frozen));
    }
    if let Some(id) = id {
        return doc! { "q": { "_id": oid(*id), "claim_epoch": epoch }, "u": { "$set": set } };
    }
    let key = doc! {
        "grid_service_id": oid(service), "instance_number": whole(*number), "claim_epoch": epoch,
    };
    let made = doc! {
        "$set": set, "$setOnInsert": { "state": "initialized" },
        "$currentDate": { "created_at": true, "updated_at": true },
    };
    doc! { "q": key, "u": made, "upsert": true }
}

/// The id of a place is kept: the agent removes a volume whose place has another.
fn volume_statement(place: &VolumePlace) -> Document {
    let VolumePlace { volume, name, node } = place;
    let made = doc! {
        "$setOnInsert": { "_id": fresh(), "volume_id": oid(*volume), "created_at": DateTime::now() },
        "$currentDate": { "updated_at": true },
    };
    doc! { "q": { "name": name, "host_node_id": oid(*node) }, "u": made, "upsert": true }
}
