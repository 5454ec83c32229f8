//! Services: all of them at a glance, one in full, and the instances on a node.

use std::collections::HashMap;

use futures_util::try_join;
use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Map, Value};

use super::{DeployGlance, Overview, glance, names};
use crate::command::Failure;
use crate::deploys::DEPLOYS;
use crate::document::{Read, oid};
use crate::grid_services::SERVICES;
use crate::service_instances::{INSTANCES, InstanceDetails};

/// How many instances and deploys of one service or node are told.
const INSTANCES_MAX: usize = 2_000;
const DEPLOYS_MAX: i64 = 5;

/// A service at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceGlance {
    /// Its id.
    pub id: Id,
    /// The name of its grid.
    pub grid: String,
    /// The name of its stack.
    pub stack: String,
    /// Its name.
    pub name: String,
    /// `initialized`, `running` or `stopped`.
    pub state: String,
    /// What its containers are made from.
    pub image: String,
    /// `ha`, `daemon` or `random`.
    pub strategy: String,
    /// Whether it keeps data.
    pub stateful: bool,
    /// How many instances are asked for.
    pub wanted: i64,
    /// How many there are.
    pub instances: i64,
    /// How many of them run.
    pub running: i64,
    /// How many of them reported an error.
    pub failing: i64,
    /// Rises with every change.
    pub revision: i64,
    /// Of its stack, when that was deployed last.
    pub stack_revision: Option<i64>,
    /// The latest.
    pub deploy: Option<DeployGlance>,
}

/// One service in full.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSight {
    /// By number.
    pub instances: Vec<InstanceSight>,
    /// The latest, the newest first.
    pub deploys: Vec<DeployGlance>,
    /// What became of each instance in the newest: number, node, state, error.
    pub steps: Vec<(i64, Option<String>, String, Option<String>)>,
    /// The report of the newest deploy that has one, and which that is.
    pub report: Option<(Id, Map<String, Value>)>,
}

/// An instance with where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceSight {
    /// `stack/service`, where several services are listed.
    pub service: Option<String>,
    /// The name of its node.
    pub node: Option<String>,
    /// What its container's own check says.
    pub health: Option<String>,
    /// The rest.
    pub details: InstanceDetails,
}

impl Overview {
    /// All services, but not more than `most`. Rows that make no sense are left out.
    pub async fn services(&self, most: i64) -> Result<Vec<ServiceGlance>, Failure> {
        let fields = doc! {
            "grid_id": 1, "stack_id": 1, "name": 1, "state": 1, "image_name": 1, "strategy": 1, "stateful": 1,
            "container_count": 1, "revision": 1, "stack_revision": 1,
        };
        let table = self.table(SERVICES);
        let rows = table.aggregate(vec![doc! { "$limit": most }, doc! { "$project": fields }]);
        let (grids, stacks) = (self.table("grids"), self.table("stacks"));
        let (rows, grids, stacks, counts, mut deploys) = try_join!(
            rows,
            names(&grids),
            names(&stacks),
            self.counts(),
            self.latest_deploys(DEPLOYS, "grid_service_id"),
        )?;
        let glance = |row: &Document| {
            let id = row.id("_id")?;
            let (instances, running, failing) = counts.get(&id).copied().unwrap_or_default();
            let name = |names: &HashMap<Id, String>, key: &str| names.get(&row.id(key)?).cloned();
            Some(ServiceGlance {
                id,
                grid: name(&grids, "grid_id")?,
                stack: name(&stacks, "stack_id").unwrap_or_else(|| "null".to_owned()),
                name: row.text("name")?,
                state: row.text("state").unwrap_or_else(|| "initialized".to_owned()),
                image: row.text_or_empty("image_name"),
                strategy: row.text("strategy").unwrap_or_else(|| "ha".to_owned()),
                stateful: row.flag("stateful").unwrap_or_default(),
                wanted: row.whole("container_count").unwrap_or(1),
                instances,
                running,
                failing,
                revision: row.whole("revision").unwrap_or(1),
                stack_revision: row.whole("stack_revision"),
                deploy: deploys.remove(&id),
            })
        };
        Ok(rows.iter().filter_map(glance).collect())
    }

    /// How many instances there are, run, and report an error, by service.
    async fn counts(&self) -> Result<HashMap<Id, (i64, i64, i64)>, Failure> {
        let when = |condition: Document| doc! { "$sum": { "$cond": [condition, 1, 0] } };
        let pipeline = vec![doc! { "$group": {
            "_id": "$grid_service_id", "all": { "$sum": 1 },
            "running": when(doc! { "$eq": ["$state", "running"] }),
            "failing": when(doc! { "$eq": [{ "$type": "$error" }, "string"] }),
        } }];
        let rows = self.table(INSTANCES).aggregate(pipeline).await?;
        let count = |row: &Document, key: &str| row.whole(key).unwrap_or_default();
        let counts = |row: &Document| {
            let id = row.id("_id")?;
            Some((id, (count(row, "all"), count(row, "running"), count(row, "failing"))))
        };
        Ok(rows.iter().filter_map(counts).collect())
    }

    /// One service, by the names of its grid, its stack and its own. `None` if there is none.
    pub async fn service(
        &self,
        grid: &str,
        stack: &str,
        name: &str,
    ) -> Result<Option<ServiceSight>, Failure> {
        let Some(grid) = self.store.grids().by_name(grid).await? else { return Ok(None) };
        let stacks = self.store.service_references().stacks_named(grid.id, &[stack]).await?;
        let Some(stack) = stacks.get(stack) else { return Ok(None) };
        let filter = doc! { "grid_id": oid(grid.id), "stack_id": oid(*stack), "name": name };
        let Some(service) = self.table(SERVICES).one(filter).await?.and_then(|row| row.id("_id")) else {
            return Ok(None);
        };
        let fields = doc! {
            "_deploy_state": 1, "created_at": 1, "started_at": 1, "finished_at": 1, "reason": 1, "report": 1,
            "grid_service_instance_deploys": 1,
        };
        let pipeline = vec![
            doc! { "$match": { "grid_service_id": oid(service) } },
            doc! { "$sort": { "grid_service_id": -1, "_id": -1 } },
            doc! { "$limit": DEPLOYS_MAX },
            doc! { "$project": fields },
        ];
        let (table, instances, only) = (self.table(DEPLOYS), self.store.service_instances(), [service]);
        let (deploys, mut instances, health) = try_join!(
            table.aggregate(pipeline),
            instances.of_services(&only),
            self.health(doc! { "grid_service_id": oid(service) }),
        )?;
        instances.truncate(INSTANCES_MAX);
        let steps = deploys.first().map(|row| row.documents("grid_service_instance_deploys"));
        let steps = steps.unwrap_or_default();
        let mut nodes: Vec<Id> = instances.iter().filter_map(|instance| instance.node).collect();
        nodes.extend(steps.iter().filter_map(|step| step.id("host_node_id")));
        nodes.sort_unstable();
        nodes.dedup();
        let nodes = self.store.host_nodes().names(&nodes).await?;
        let on = |node: Option<Id>| node.and_then(|node| nodes.get(&node).cloned());
        let step = |row: &&Document| {
            let state = row.text("_deploy_state").unwrap_or_else(|| "created".to_owned());
            Some((row.whole("instance_number")?, on(row.id("host_node_id")), state, row.text("error")))
        };
        let report = |row: &Document| {
            row.get_document("report").ok()?;
            Some((row.id("_id")?, row.object("report")))
        };
        Ok(Some(ServiceSight {
            steps: steps.iter().filter_map(step).take(INSTANCES_MAX).collect(),
            report: deploys.iter().find_map(report),
            deploys: deploys.iter().filter_map(|row| Some(glance(row, row.id("_id")?))).collect(),
            instances: instances
                .into_iter()
                .map(|details| InstanceSight {
                    service: None,
                    node: on(details.node),
                    health: health.get(&(details.service, details.number)).cloned(),
                    details,
                })
                .collect(),
        }))
    }

    /// The instances on a node, by service and number.
    pub async fn instances_of_node(&self, node: Id) -> Result<Vec<InstanceSight>, Failure> {
        let on_node = doc! { "host_node_id": oid(node) };
        let instances = self.store.service_instances();
        let (instances, health) = try_join!(instances.on_node(node), self.health(on_node))?;
        let mut services: Vec<Id> = instances.iter().map(|instance| instance.service).collect();
        services.sort_unstable();
        services.dedup();
        let paths = self.store.service_references().service_paths(services).await?;
        let mut sights: Vec<InstanceSight> = instances
            .into_iter()
            .take(INSTANCES_MAX)
            .map(|details| InstanceSight {
                service: paths.get(&details.service).cloned(),
                node: None,
                health: health.get(&(details.service, details.number)).cloned(),
                details,
            })
            .collect();
        sights.sort_by(|a, b| (&a.service, a.details.number).cmp(&(&b.service, b.details.number)));
        Ok(sights)
    }

    /// What the checks of the containers that a filter finds say, by service and number.
    async fn health(&self, mut filter: Document) -> Result<HashMap<(Id, i64), String>, Failure> {
        filter.insert("deleted_at", Bson::Null);
        filter.insert("container_type", "container");
        let fields = doc! { "grid_service_id": 1, "instance_number": 1, "health_status": 1 };
        let pipeline = vec![doc! { "$match": filter }, doc! { "$project": fields }];
        let rows = self.table("containers").aggregate(pipeline).await?;
        let health = |row: &Document| {
            let of = (row.id("grid_service_id")?, row.whole("instance_number")?);
            Some((of, row.text("health_status")?))
        };
        Ok(rows.iter().filter_map(health).collect())
    }
}
