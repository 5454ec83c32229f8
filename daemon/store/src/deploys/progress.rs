//! One batch of writes of a deploy: all of them take effect, under the own epoch, or none.

use kontena_core::deploy::{DeployState, Revision};
use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Map, Value};

use super::{Claim, DEPLOYS, Deploys, StepRow, step_document};
use crate::claims::CLAIMS;
use crate::command::Failure;
use crate::document::{fresh, object_from_json, oid, whole};
use crate::grid_services::SERVICES;
use crate::service_instances::INSTANCES;
use crate::transaction::{Outcome, Write};

/// The first batch.
#[derive(Clone, Debug)]
pub struct Begin {
    /// The service as it is now.
    pub frozen: Id,
    /// A node or a reason for each instance, by number.
    pub plan: Vec<(i64, Result<Id, String>)>,
    /// Why each node was chosen or refused.
    pub report: Map<String, Value>,
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
    /// Only the last has it.
    pub end: Option<Result<(), String>>,
}

impl Deploys {
    /// Writes a batch. False if the claim is another's by now, and then nothing is written.
    pub async fn commit(&self, claim: Claim, deploy: Id, progress: &Progress) -> Result<bool, Failure> {
        let Claim { service, epoch } = claim;
        let mut claimed = doc! { "$inc": { "n": 1 } };
        if progress.end.is_some() {
            claimed.insert("$set", doc! { "master": Bson::Null });
        }
        let mut writes = vec![
            Write::Change {
                collection: CLAIMS,
                filter: doc! { "_id": oid(service), "epoch": epoch },
                change: claimed,
            },
            Write::Change {
                collection: DEPLOYS,
                filter: doc! { "_id": oid(deploy), "finished_at": Bson::Null },
                change: deploy_change(progress),
            },
        ];
        if let Some(Begin { plan, .. }) = &progress.begin {
            writes.push(Write::Change {
                collection: SERVICES,
                filter: doc! { "_id": oid(service) },
                change: doc! { "$currentDate": { "deployed_at": true } },
            });
            let last = i64::try_from(plan.len()).unwrap_or(i64::MAX);
            writes.push(Write::RemoveAll {
                collection: INSTANCES,
                filter: doc! { "grid_service_id": oid(service), "instance_number": { "$gt": last } },
            });
        }
        if !progress.volumes.is_empty() {
            let statements = progress.volumes.iter().map(volume_statement).collect();
            writes.push(Write::Each { collection: "volume_instances", statements });
        }
        if !progress.instances.is_empty() {
            let statements =
                progress.instances.iter().map(|instance| instance_statement(claim, instance)).collect();
            writes.push(Write::Each { collection: INSTANCES, statements });
        }
        match self.store.transact(&writes).await {
            Ok(outcome) => Ok(outcome == Outcome::Done),
            // An instance of that number is there under another epoch.
            Err(Failure::Duplicate) => Ok(false),
            Err(failure) => Err(failure),
        }
    }
}

fn deploy_change(progress: &Progress) -> Document {
    let Progress { begin, steps, instances: _, volumes: _, end } = progress;
    let mut set =
        doc! { "grid_service_instance_deploys": steps.iter().map(step_document).collect::<Vec<Bson>>() };
    let mut dates = doc! { "updated_at": true };
    if let Some(Begin { frozen, plan, report }) = begin {
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
        "$setOnInsert": { "_id": fresh(), "volume_id": oid(*volume) },
        "$currentDate": { "updated_at": true },
    };
    doc! { "q": { "name": name, "host_node_id": oid(*node) }, "u": made, "upsert": true }
}
