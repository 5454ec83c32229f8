//! The instances of services, as far as agents read and report them: `grid_service_instances`, and the hooks in
//! `grid_services`.

mod details;

use std::collections::HashSet;
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::id::Id;
use kontena_wire::agent::{HookMark, PodState};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::ReadConcern;

use crate::command::{Failure, find_first, integer, write, write_each};
use crate::document::{Read, oid, oids};
use crate::host_nodes::Session;

pub use details::InstanceDetails;

pub(crate) const INSTANCES: &str = "grid_service_instances";
const SERVICES: &str = "grid_services";
const MIGRATIONS: &str = "schema_migrations";

/// Before this migration of the original there were no instances.
const INSTANCES_SINCE: i64 = 20;

/// An instance as its node must have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceRow {
    /// Its document.
    pub id: Id,
    /// The node that has it.
    pub node: Id,
    /// Its service.
    pub service: Id,
    /// Counts from 1.
    pub number: i64,
    /// running or stopped.
    pub desired_state: String,
    /// Of the deploy that is to be in force.
    pub deploy_rev: Option<String>,
    /// What it is made of; none for those that an original master deployed.
    pub frozen: Option<Id>,
}

/// Something that an agent named is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// The node has no such instance.
    Instance,
    /// The service has no such hook.
    Hook,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct ServiceInstances {
    database: Database,
}

impl ServiceInstances {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Whether the database is old enough an original's that it has no instances.
    pub async fn are_migrated(&self, limit: Duration) -> Result<bool, Failure> {
        let collection = self.database.collection::<Document>(MIGRATIONS);
        let newest = collection.find_one(doc! {}).sort(doc! { "version": -1 }).max_time(limit).await?;
        Ok(newest.is_none_or(|row| integer(&row, "version").unwrap_or(0) >= INSTANCES_SINCE))
    }

    /// All instances of these nodes, from a primary that made sure of being one: what is missing in the answer
    /// will be destroyed.
    pub async fn of_nodes(&self, nodes: &[Id], limit: Duration) -> Result<Vec<InstanceRow>, Failure> {
        let filter = doc! { "host_node_id": { "$in": oids(nodes.iter().copied()) } };
        let rows = certain(&self.database, INSTANCES, filter, limit).await?;
        // A row that is not understood must not look like one that is not there.
        let understood: Option<Vec<InstanceRow>> = rows.iter().map(parse).collect();
        understood.ok_or_else(|| Failure::unknown("an instance in the database is not understood"))
    }

    /// Takes in what became of instances, each as told in a session. An older deploy's state changes nothing, nor does
    /// one that was told in an older session of the node and comes late; a state without a deploy, as agents report
    /// after their restart, leaves the deploy's alone.
    pub async fn set_states(
        &self,
        told: &[(Session, PodState)],
        limit: Duration,
    ) -> Result<Vec<Result<(), NotFound>>, Failure> {
        let updates: Vec<Document> = told.iter().filter_map(state_statement).collect();
        if updates.is_empty() {
            return Ok(vec![Err(NotFound::Instance); told.len()]);
        }
        let every = updates.len() == told.len();
        let expected = i64::try_from(updates.len()).unwrap_or(i64::MAX);
        let update = doc! { "update": INSTANCES, "updates": updates };
        let (matched, faults) = write_each(&self.database, update, limit).await?;
        if let Some((_, _, fault)) = faults.into_iter().next() {
            return Err(Failure::unknown(fault));
        }
        if every && matched == expected {
            return Ok(vec![Ok(()); told.len()]);
        }
        let meant: Vec<Document> = told.iter().filter_map(meant).collect();
        let fields = doc! { "host_node_id": 1, "grid_service_id": 1, "instance_number": 1 };
        let collection = self.database.collection::<Document>(INSTANCES);
        let rows = collection.find(doc! { "$or": meant }).projection(fields).max_time(limit).await?;
        let rows: Vec<Document> = rows.try_collect().await?;
        let there = |row: &Document| {
            Some((row.id("host_node_id")?, row.id("grid_service_id")?, integer(row, "instance_number")?))
        };
        let there: HashSet<(Id, Id, i64)> = rows.iter().filter_map(there).collect();
        let found = |(session, state): &(Session, PodState)| {
            let key = (session.node, state.service_id.parse().ok()?, state.instance_number);
            there.contains(&key).then_some(())
        };
        Ok(told.iter().map(|told| found(told).ok_or(NotFound::Instance)).collect())
    }

    /// Notes that a hook that runs once has run for an instance.
    pub async fn mark_hook(
        &self,
        node: Id,
        mark: &HookMark,
        limit: Duration,
    ) -> Result<Result<(), NotFound>, Failure> {
        let HookMark { service_id, instance_number, hook_id } = mark;
        let Ok(service) = service_id.parse::<Id>() else { return Ok(Err(NotFound::Instance)) };
        if !self.exists(filter(node, service, *instance_number), limit).await? {
            return Ok(Err(NotFound::Instance));
        }
        let Ok(hook) = hook_id.parse::<Id>() else { return Ok(Err(NotFound::Hook)) };
        let update = doc! {
            "q": { "_id": oid(service), "hooks._id": oid(hook) },
            "u": { "$addToSet": { "hooks.$.done": instance_number.to_string() } },
        };
        let matched = write(&self.database, doc! { "update": SERVICES, "updates": [update] }, limit).await?;
        Ok(if matched > 0 { Ok(()) } else { Err(NotFound::Hook) })
    }

    async fn exists(&self, filter: Document, limit: Duration) -> Result<bool, Failure> {
        Ok(find_first(&self.database, INSTANCES, filter, "local", limit).await?.is_some())
    }
}

/// Reads what a filter finds with linearizable concern.
pub(crate) async fn certain(
    database: &Database,
    collection: &str,
    filter: Document,
    limit: Duration,
) -> Result<Vec<Document>, Failure> {
    let collection = database.collection::<Document>(collection);
    let rows = collection.find(filter).read_concern(ReadConcern::linearizable()).max_time(limit);
    Ok(rows.await?.try_collect().await?)
}

/// Corrects the state of an instance by what its container does, unless its agent told it in this session.
pub(crate) fn seen(session: Session, (service, number): (Id, i64), running: bool) -> Document {
    let state = if running { "running" } else { "stopped" };
    let mut wanted = filter(session.node, service, number);
    // What was never told is for the agent to tell.
    wanted.insert("state", doc! { "$in": ["running", "stopped", "restarting", "missing"], "$ne": state });
    let not_in_this = vec![
        doc! { "told_by.node": { "$ne": oid(session.node) } },
        doc! { "told_by.epoch": { "$lt": session.epoch } },
    ];
    wanted.insert("$or", not_in_this);
    doc! { "q": wanted, "u": { "$set": { "state": state } } }
}

fn meant((session, state): &(Session, PodState)) -> Option<Document> {
    Some(filter(session.node, state.service_id.parse().ok()?, state.instance_number))
}

fn state_statement(told: &(Session, PodState)) -> Option<Document> {
    let (Session { node, epoch }, PodState { service_id: _, instance_number: _, rev, state, error }) = told;
    // Epochs of different nodes say nothing of each other.
    let not_newer =
        vec![doc! { "told_by.node": { "$ne": oid(*node) } }, doc! { "told_by.epoch": { "$lte": epoch } }];
    let mut wanted = vec![meant(told)?, doc! { "$or": not_newer }];
    let mut set = doc! { "state": state, "error": error, "told_by": { "node": oid(*node), "epoch": epoch } };
    match rev {
        Some(rev) => {
            wanted.push(doc! { "$or": [{ "rev": Bson::Null }, { "rev": { "$lte": rev } }] });
            set.insert("rev", rev);
        }
        None => {
            set.remove("error");
        }
    }
    Some(doc! { "q": { "$and": wanted }, "u": { "$set": set } })
}

fn filter(node: Id, service: Id, number: i64) -> Document {
    doc! { "host_node_id": oid(node), "grid_service_id": oid(service), "instance_number": number }
}

fn parse(row: &Document) -> Option<InstanceRow> {
    Some(InstanceRow {
        id: row.id("_id")?,
        node: row.id("host_node_id")?,
        service: row.id("grid_service_id")?,
        number: integer(row, "instance_number")?,
        desired_state: row.text("desired_state")?,
        deploy_rev: row.text("deploy_rev"),
        frozen: row.id("frozen_id"),
    })
}
