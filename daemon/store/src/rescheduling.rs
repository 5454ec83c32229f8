//! What re-scheduling looks at, whole grids at a time and never service by service; and what it does: a deploy, made
//! only if the service still is as it was seen.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::agents::pod::Scope;
use kontena_core::id::Id;
use kontena_core::reschedule::{Cause, Facts, PAUSE};
use kontena_core::scheduler::{Grid, Neighbour, Service};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::client::Store;
use crate::command::{Failure, millis};
use crate::deploys::{DEPLOYS, open_of};
use crate::document::{Read, fresh, oid, oids};
use crate::effect::{Effect, Statement};
use crate::grid_scene::{container, instance, node, node_fields, place_fields, scheduled};
use crate::grid_services::{SERVICES, parse};
use crate::host_nodes::HOST_NODES;
use crate::pod_sources::volume;
use crate::service_instances::INSTANCES;
use crate::table::inserting;
use crate::volume_instances::VOLUME_INSTANCES;

/// The fields of services that are large and that nothing here looks at.
const UNUSED: [&str; 10] = [
    "env",
    "secrets",
    "certificates",
    "hooks",
    "cmd",
    "labels",
    "log_opts",
    "grid_service_links",
    "health_check",
    "cap_add",
];

/// One service.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// As the scheduler sees it, without what its instances were seen to use.
    pub service: Service,
    /// What the rules ask of it.
    pub facts: Facts,
    /// Grid, stack and service, for people.
    pub path: String,
    seen: Seen,
}

/// What a service must still be when it is deployed.
#[derive(Clone, Debug)]
struct Seen {
    updated_at: Bson,
    deployed_at: Bson,
    rescheduled: Bson,
}

/// A grid with its services.
#[derive(Clone, Debug)]
pub struct Situation {
    /// Its id.
    pub id: Id,
    /// With everything that is on its nodes.
    pub grid: Grid,
    /// All that could be read.
    pub services: Vec<Candidate>,
    /// How many could not.
    pub unreadable: usize,
    /// All its nodes and services, so that it is known whose a change is.
    pub members: Vec<Id>,
}

/// The collections.
#[derive(Clone, Debug)]
pub struct Rescheduling {
    database: Database,
}

impl Store {
    /// What re-scheduling looks at.
    #[must_use]
    pub fn rescheduling(&self) -> Rescheduling {
        Rescheduling { database: self.database().clone() }
    }
}

/// The rows of some grids, by what they belong to.
#[derive(Debug, Default)]
struct Rows {
    nodes: HashMap<Id, Vec<Document>>,
    services: HashMap<Id, Vec<Document>>,
    instances: HashMap<Id, Vec<Document>>,
    containers: HashMap<Id, Vec<Document>>,
    stacks: HashMap<Id, String>,
    volumes: HashMap<Id, crate::pod_sources::VolumeDefinition>,
    places: HashMap<Id, BTreeSet<String>>,
    deploys: HashMap<Id, Vec<Document>>,
    stack_deploys: HashMap<Id, Duration>,
}

impl Rescheduling {
    /// All grids.
    pub async fn grids(&self, limit: Duration) -> Result<Vec<Id>, Failure> {
        let rows = self.find("grids", doc! {}, doc! { "_id": 1 }, limit).await?;
        Ok(rows.iter().filter_map(|row| row.id("_id")).collect())
    }

    /// The grids of nodes, services, stacks and instances of services; what is gone has none.
    pub async fn grids_of(&self, members: &[Id], limit: Duration) -> Result<Vec<(Id, Id)>, Failure> {
        let among = || doc! { "_id": { "$in": oids(members.iter().copied()) } };
        let instances = self.find(INSTANCES, among(), doc! { "grid_service_id": 1 }, limit).await?;
        let services: Vec<Id> = members
            .iter()
            .copied()
            .chain(instances.iter().filter_map(|row| row.id("grid_service_id")))
            .collect();
        let services = doc! { "_id": { "$in": oids(services) } };
        let (nodes, services, stacks) = futures_util::try_join!(
            self.find(HOST_NODES, among(), doc! { "grid_id": 1 }, limit),
            self.find(SERVICES, services, doc! { "grid_id": 1 }, limit),
            self.find("stacks", among(), doc! { "grid_id": 1 }, limit),
        )?;
        let rows = nodes.iter().chain(&services).chain(&stacks);
        Ok(rows.filter_map(|row| Some((row.id("_id")?, row.id("grid_id")?))).collect())
    }

    /// These grids; those that are gone are left out.
    pub async fn of_grids(&self, grids: &[Id], limit: Duration) -> Result<Vec<Situation>, Failure> {
        let filter = doc! { "_id": { "$in": oids(grids.iter().copied()) } };
        let fields = doc! { "name": 1, "default_affinity": 1 };
        let grids = self.find("grids", filter, fields, limit).await?;
        let rows = self.rows(&grids, limit).await?;
        Ok(grids.iter().filter_map(|grid| situation(grid, &rows)).collect())
    }

    /// The most memory that an instance of each of these services was seen to use in the last hour.
    pub async fn memory_seen(&self, services: &[Id], limit: Duration) -> Result<HashMap<Id, i64>, Failure> {
        let hour = millis(Duration::from_secs(3600));
        let pipeline = [
            doc! { "$match": {
                "grid_service_id": { "$in": oids(services.iter().copied()) },
                "$expr": { "$gt": ["$created_at", { "$subtract": ["$$NOW", hour] }] },
            } },
            doc! { "$group": { "_id": "$grid_service_id", "most": { "$max": "$memory.usage" } } },
        ];
        let stats = self.database.collection::<Document>("container_stats");
        let rows: Vec<Document> = stats.aggregate(pipeline).max_time(limit).await?.try_collect().await?;
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, row.whole("most")?))).collect())
    }

    /// Deploys a service, unless it was changed, deployed or asked to be since it was seen.
    #[must_use]
    pub fn deploy(candidate: &Candidate, cause: &Cause) -> [Effect; 2] {
        let service = oid(candidate.service.id);
        let Seen { updated_at, deployed_at, rescheduled } = &candidate.seen;
        let filter = doc! {
            "_id": service, "state": "running", "updated_at": updated_at, "deployed_at": deployed_at,
            "rescheduled": rescheduled,
        };
        let mut counted = doc! { "rescheduled": 1 };
        if *cause == Cause::Interval {
            counted.insert("revision", 1);
        }
        let deploy = doc! {
            "_deploy_state": "created", "grid_service_id": service, "rescheduled_for": cause.name(),
        };
        let filter_of_deploy = doc! { "_id": fresh() };
        [
            Effect {
                collection: SERVICES,
                statement: Statement::Update { filter, change: doc! { "$inc": counted } },
            },
            Effect {
                collection: DEPLOYS,
                statement: Statement::Compute {
                    filter: filter_of_deploy,
                    pipeline: inserting(deploy, doc! {}),
                },
            },
        ]
    }

    async fn rows(&self, grids: &[Document], limit: Duration) -> Result<Rows, Failure> {
        let ids = |rows: &[Document]| oids(rows.iter().filter_map(|row| row.id("_id")));
        let of_grids = || doc! { "grid_id": { "$in": ids(grids) } };
        let (nodes, services, stacks) = futures_util::try_join!(
            self.find(HOST_NODES, of_grids(), node_fields(), limit),
            self.services(of_grids(), limit),
            self.find("stacks", of_grids(), doc! { "name": 1 }, limit),
        )?;
        let beside = |row: &Document| {
            let conditions = [row.texts("affinity"), row.texts("default_affinity")].concat();
            conditions.iter().any(|condition| condition.starts_with("container"))
                || !row.texts("volumes_from").is_empty()
                || row.text_or_empty("net").starts_with("container:")
        };
        let needs_containers = services.iter().chain(grids).any(beside);
        let mounts = services.iter().flat_map(|row| row.documents("service_volumes"));
        let volumes: BTreeSet<Id> = mounts.filter_map(|mount| mount.id("volume_id")).collect();
        let volumes = oids(volumes);
        let on_nodes = doc! { "host_node_id": { "$in": ids(&nodes) } };
        let running = doc! {
            "grid_id": { "$in": ids(grids) }, "deleted_at": Bson::Null, "container_type": "container",
        };
        let container_fields = doc! {
            "grid_id": 1, "host_node_id": 1, "name": 1, "labels": 1, "instance_number": 1,
        };
        let of_services = doc! { "grid_service_id": { "$in": ids(&services) } };
        let (instances, volumes, containers, deploys, stack_deploys) = futures_util::try_join!(
            self.find(INSTANCES, of_services, place_fields(), limit),
            self.some("volumes", volumes.is_empty(), doc! { "_id": { "$in": volumes } }, doc! {}, limit),
            self.some("containers", !needs_containers, running, container_fields, limit),
            self.deploys(limit),
            self.stack_deploys(limit),
        )?;
        let volumes: HashMap<Id, _> =
            volumes.iter().filter_map(|row| Some((row.id("_id")?, volume(row)?))).collect();
        let anywhere = volumes.values().all(|volume| volume.scope != Scope::Instance);
        let fields = doc! { "host_node_id": 1, "name": 1 };
        let places = self.some(VOLUME_INSTANCES, anywhere, on_nodes, fields, limit).await?;
        let mut rows = Rows {
            nodes: by(nodes, "grid_id"),
            services: by(services, "grid_id"),
            instances: by(instances, "grid_service_id"),
            containers: by(containers, "grid_id"),
            stacks: stacks.iter().filter_map(|row| Some((row.id("_id")?, row.text("name")?))).collect(),
            volumes,
            deploys: by(deploys, "grid_service_id"),
            stack_deploys,
            ..Rows::default()
        };
        for place in &places {
            if let (Some(node), Some(name)) = (place.id("host_node_id"), place.text("name")) {
                rows.places.entry(node).or_default().insert(name);
            }
        }
        Ok(rows)
    }

    async fn services(&self, filter: Document, limit: Duration) -> Result<Vec<Document>, Failure> {
        let since = |field: &str| doc! { "$subtract": ["$$NOW", format!("${field}")] };
        let pipeline = [
            doc! { "$match": filter },
            doc! { "$unset": UNUSED.to_vec() },
            doc! { "$set": { "since_deployed": since("deployed_at"), "since_updated": since("updated_at") } },
        ];
        let services = self.database.collection::<Document>(SERVICES);
        Ok(services.aggregate(pipeline).max_time(limit).await?.try_collect().await?)
    }

    /// The deploys of all grids that are open, or that failed or were made by these rules a moment ago.
    async fn deploys(&self, limit: Duration) -> Result<Vec<Document>, Failure> {
        let lately = |field: &str| {
            doc! { "$expr": { "$gt": [
                format!("${field}"), { "$subtract": ["$$NOW", millis(PAUSE)] },
            ] } }
        };
        let filter = doc! { "$or": [open_of(doc! {}), lately("finished_at"), lately("created_at")] };
        let since = |field: &str| doc! { "$subtract": ["$$NOW", format!("${field}")] };
        let fields = doc! {
            "grid_service_id": 1, "finished_at": 1, "_deploy_state": 1, "rescheduled_for": 1,
            "since_created": since("created_at"), "since_finished": since("finished_at"),
        };
        self.find(DEPLOYS, filter, fields, limit).await
    }

    /// The age of each stack's youngest deploy that is not finished.
    async fn stack_deploys(&self, limit: Duration) -> Result<HashMap<Id, Duration>, Failure> {
        let filter = doc! { "_deploy_state": { "$in": ["created", "ongoing"] } };
        let fields = doc! { "stack_id": 1, "age": { "$subtract": ["$$NOW", "$created_at"] } };
        let mut youngest = HashMap::new();
        for row in self.find("stack_deploys", filter, fields, limit).await? {
            if let (Some(stack), Some(age)) = (row.id("stack_id"), time(&row, "age")) {
                let known = youngest.entry(stack).or_insert(age);
                *known = age.min(*known);
            }
        }
        Ok(youngest)
    }

    async fn some(
        &self,
        name: &str,
        none: bool,
        filter: Document,
        fields: Document,
        limit: Duration,
    ) -> Result<Vec<Document>, Failure> {
        if none { Ok(Vec::new()) } else { self.find(name, filter, fields, limit).await }
    }

    async fn find(
        &self,
        name: &str,
        filter: Document,
        fields: Document,
        limit: Duration,
    ) -> Result<Vec<Document>, Failure> {
        let collection = self.database.collection(name);
        let found = collection.find(filter).projection(fields).max_time(limit);
        Ok(found.await?.try_collect().await?)
    }
}

fn by(rows: Vec<Document>, key: &str) -> HashMap<Id, Vec<Document>> {
    let mut sorted: HashMap<Id, Vec<Document>> = HashMap::new();
    for row in rows {
        if let Some(id) = row.id(key) {
            sorted.entry(id).or_default().push(row);
        }
    }
    sorted
}

/// A time that has passed. One in the future has just begun to.
fn time(row: &Document, key: &str) -> Option<Duration> {
    row.whole(key).map(|passed| Duration::from_millis(u64::try_from(passed).unwrap_or(0)))
}

fn situation(row: &Document, rows: &Rows) -> Option<Situation> {
    let (id, name) = (row.id("_id")?, row.text("name")?);
    let affinity = row.texts("default_affinity");
    let of = |rows: &HashMap<Id, Vec<Document>>, id: Id| rows.get(&id).cloned().unwrap_or_default();
    let (nodes, services) = (of(&rows.nodes, id), of(&rows.services, id));
    let located = |row: &Document| {
        let places = row.id("_id").and_then(|id| rows.places.get(&id)).cloned().unwrap_or_default();
        node(row, places)
    };
    let mut grid = Grid::new(nodes.iter().filter_map(located).collect());
    let mut candidates = Vec::new();
    let mut unreadable = 0;
    for row in &services {
        let Some(service) = row.id("_id") else { continue };
        let stack = row.id("stack_id").and_then(|stack| rows.stacks.get(&stack));
        let (Some(stack), Ok(parsed)) = (stack, parse(row)) else {
            unreadable += 1;
            continue;
        };
        let path = format!("{stack}/{}", parsed.definition.name);
        let node_ports = parsed.definition.ports.iter().map(|port| port.node_port).collect();
        grid.know(Neighbour { id: service, path: path.clone(), node_ports });
        let mut instances = of(&rows.instances, service);
        // The oldest row of a number counts.
        instances.sort_by_key(|row| std::cmp::Reverse(row.id("_id")));
        instances.iter().filter_map(instance).for_each(|instance| grid.place(instance));
        let (scheduled, _) = scheduled(&parsed, stack.clone(), &affinity, &rows.volumes);
        candidates.push(Candidate {
            service: scheduled,
            facts: facts(row, rows, parsed.interval),
            path: format!("{name}/{path}"),
            seen: Seen {
                updated_at: row.get("updated_at").cloned().unwrap_or(Bson::Null),
                deployed_at: row.get("deployed_at").cloned().unwrap_or(Bson::Null),
                rescheduled: row.get("rescheduled").cloned().unwrap_or(Bson::Null),
            },
        });
    }
    of(&rows.containers, id).iter().filter_map(container).for_each(|container| grid.contain(container));
    let members = nodes.iter().chain(&services).filter_map(|row| row.id("_id")).collect();
    Some(Situation { id, grid, services: candidates, unreadable, members })
}

fn facts(row: &Document, rows: &Rows, interval: Option<i64>) -> Facts {
    let deploys = row.id("_id").and_then(|id| rows.deploys.get(&id)).map(Vec::as_slice).unwrap_or_default();
    let finished = |row: &&Document| row.time("finished_at").is_some();
    // The latest of those that ended decides whether it failed.
    let ended: BTreeMap<Duration, &Document> =
        deploys.iter().filter(finished).filter_map(|row| Some((time(row, "since_finished")?, row))).collect();
    let failed = |row: &Document| row.text_or_empty("_deploy_state") == "error";
    let since_failed = ended.first_key_value().filter(|(_, row)| failed(row)).map(|(since, _)| *since);
    let own = deploys.iter().filter(|row| row.text("rescheduled_for").is_some());
    let mut lately: Vec<Duration> =
        own.filter_map(|row| time(row, "since_created")).filter(|age| *age < PAUSE).collect();
    lately.sort_unstable_by_key(|age| std::cmp::Reverse(*age));
    let seconds = |interval: i64| u64::try_from(interval).ok().map(Duration::from_secs);
    let changes = row.time("updated_at").zip(row.time("deployed_at"));
    let outdated = changes.is_some_and(|(updated, deployed)| updated > deployed);
    Facts {
        running: row.text("state").as_deref() == Some("running"),
        deploy_open: !deploys.iter().all(|row| finished(&row)),
        stack_deploy: row.id("stack_id").and_then(|stack| rows.stack_deploys.get(&stack)).copied(),
        outdated: if outdated { time(row, "since_updated") } else { None },
        interval: interval.and_then(seconds),
        since_deployed: time(row, "since_deployed"),
        since_failed,
        lately,
    }
}
