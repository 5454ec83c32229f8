//! What the scheduler looks at: a grid's nodes with what is on them. Only what the service at hand asks for is read.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::agents::pod::Scope;
use kontena_core::id::Id;
use kontena_core::scheduler::{
    Container, Grid, Instance, Memory, NamedVolume, Neighbour, Node, Service, Strategy,
};
use mongodb::Database;
use mongodb::bson::{Bson, DateTime, Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, by_id, oid, oids};
use crate::grid_services::ServiceRow;
use crate::pod_sources::{VolumeDefinition, volume};
use crate::table::LIMIT;

/// What a plan is made of.
#[derive(Clone, Debug)]
pub struct Scene {
    /// The grid.
    pub grid: Grid,
    /// The service.
    pub service: Service,
    /// The names of the service's volumes in the engine, by id.
    pub volumes: Vec<(Id, NamedVolume)>,
    /// The grid's name.
    pub grid_name: String,
    /// The names of the nodes.
    pub node_names: HashMap<Id, String>,
}

/// The collections.
#[derive(Clone, Debug)]
pub struct Scenes {
    database: Database,
}

/// What was read for several services.
#[derive(Default)]
struct Shared {
    grids: HashMap<Id, Document>,
    stacks: HashMap<Id, String>,
    nodes: HashMap<Id, Vec<Node>>,
    /// The instances of the services themselves, the oldest row of a number last.
    own: HashMap<Id, Vec<Instance>>,
    volumes: HashMap<Id, VolumeDefinition>,
    memory: HashMap<Id, i64>,
}

impl Store {
    /// What the scheduler looks at.
    #[must_use]
    pub fn scenes(&self) -> Scenes {
        Scenes { database: self.database().clone() }
    }
}

impl Scenes {
    /// Reads what the plans of services need; for each in their order, or why it cannot be planned as it is. What
    /// services of one grid share is read once.
    pub async fn of(&self, rows: &[ServiceRow]) -> Result<Vec<Result<Scene, Failure>>, Failure> {
        let ids = |pick: fn(&ServiceRow) -> Id| rows.iter().map(pick).collect::<BTreeSet<Id>>();
        let (grid_ids, stack_ids) = (ids(|row| row.definition.grid), ids(|row| row.definition.stack));
        let volumes = rows.iter().flat_map(|row| &row.definition.volumes);
        let used: BTreeSet<Id> = volumes.filter_map(|volume| volume.volume).collect();
        let among = |key: &str, ids: &BTreeSet<Id>| doc! { key: { "$in": oids(ids.iter().copied()) } };
        let (grids, stacks, nodes, own, volumes, memory) = futures_util::try_join!(
            self.find("grids", among("_id", &grid_ids), doc! { "name": 1, "default_affinity": 1 }),
            self.find("stacks", among("_id", &stack_ids), doc! { "name": 1 }),
            self.find("host_nodes", among("grid_id", &grid_ids), node_fields()),
            self.find(
                "grid_service_instances",
                among("grid_service_id", &ids(|row| row.definition.id)),
                place_fields(),
            ),
            self.some("volumes", used.is_empty(), among("_id", &used), doc! {}),
            self.memory_seen(rows),
        )?;
        let mut shared = Shared {
            grids: by_id(grids),
            stacks: by_id(stacks).into_iter().map(|(id, row)| (id, row.text_or_empty("name"))).collect(),
            volumes: volumes.iter().filter_map(|row| Some((row.id("_id")?, volume(row)?))).collect(),
            memory,
            ..Shared::default()
        };
        for row in &nodes {
            if let (Some(grid), Some(node)) = (row.id("grid_id"), node(row, BTreeSet::new())) {
                shared.nodes.entry(grid).or_default().push(node);
            }
        }
        // The oldest row of a number counts.
        let mut own = own;
        own.sort_by_key(|row| std::cmp::Reverse(row.id("_id")));
        for instance in own.iter().filter_map(instance) {
            shared.own.entry(instance.service).or_default().push(instance);
        }
        futures_util::future::try_join_all(rows.iter().map(|row| self.one(&shared, row))).await
    }

    async fn one(&self, shared: &Shared, row: &ServiceRow) -> Result<Result<Scene, Failure>, Failure> {
        let definition = &row.definition;
        let Some(grid_row) = shared.grids.get(&definition.grid) else {
            return Ok(Err(Failure::unknown("a service of no grid")));
        };
        let Some(stack) = shared.stacks.get(&definition.stack).cloned() else {
            return Ok(Err(Failure::unknown("a service of no stack")));
        };
        let affinity = grid_row.texts("default_affinity");
        let (mut service, volumes) = scheduled(row, stack, &affinity, &shared.volumes);
        service.memory_seen = shared.memory.get(&definition.id).copied();
        let mut nodes = shared.nodes.get(&definition.grid).cloned().unwrap_or_default();
        let node_names = nodes.iter().map(|node| (node.id, node.name.clone())).collect();
        let ids: Vec<Id> = nodes.iter().map(|node| node.id).collect();
        if service.volumes.iter().any(|volume| volume.scope == Scope::Instance) {
            let mut places: HashMap<Id, BTreeSet<String>> = HashMap::new();
            let filter = doc! { "host_node_id": { "$in": oids(ids.iter().copied()) } };
            for row in self.find("volume_instances", filter, doc! { "host_node_id": 1, "name": 1 }).await? {
                if let (Some(node), Some(name)) = (row.id("host_node_id"), row.text("name")) {
                    places.entry(node).or_default().insert(name);
                }
            }
            for node in &mut nodes {
                node.volumes = places.remove(&node.id).unwrap_or_default();
            }
        }
        let mut grid = Grid::new(nodes);
        self.furnish(&mut grid, &service, &ids, definition.grid).await?;
        for instance in shared.own.get(&definition.id).into_iter().flatten() {
            grid.place(*instance);
        }
        Ok(Ok(Scene { grid, service, volumes, grid_name: grid_row.text_or_empty("name"), node_names }))
    }

    /// Puts on the nodes what the filters of this service ask for.
    async fn furnish(
        &self,
        grid: &mut Grid,
        service: &Service,
        nodes: &[Id],
        grid_id: Id,
    ) -> Result<(), Failure> {
        let asks = |key: &str| service.affinity.iter().any(|condition| condition.starts_with(key));
        if !service.node_ports.is_empty() || asks("service") {
            let fields = doc! { "name": 1, "stack_id": 1, "ports.node_port": 1 };
            let (services, stacks, instances) = futures_util::try_join!(
                self.find("grid_services", doc! { "grid_id": oid(grid_id) }, fields),
                self.find("stacks", doc! { "grid_id": oid(grid_id) }, doc! { "name": 1 }),
                self.find(
                    "grid_service_instances",
                    doc! { "host_node_id": { "$in": oids(nodes.iter().copied()) } },
                    place_fields(),
                ),
            )?;
            let stacks: HashMap<Id, String> =
                stacks.iter().filter_map(|row| Some((row.id("_id")?, row.text("name")?))).collect();
            for row in &services {
                let (Some(id), Some(stack)) =
                    (row.id("_id"), row.id("stack_id").and_then(|id| stacks.get(&id)))
                else {
                    continue;
                };
                let path = format!("{stack}/{}", row.text_or_empty("name"));
                let node_ports =
                    row.documents("ports").iter().filter_map(|port| port.whole("node_port")).collect();
                grid.know(Neighbour { id, path, node_ports });
            }
            instances.iter().filter_map(instance).for_each(|instance| grid.place(instance));
        }
        if asks("container") || !service.volumes_from.is_empty() || service.net.starts_with("container:") {
            let filter = doc! {
                "grid_id": oid(grid_id), "deleted_at": Bson::Null, "container_type": "container",
            };
            let fields = doc! { "host_node_id": 1, "name": 1, "labels": 1, "instance_number": 1 };
            let found = self.find("containers", filter, fields).await?;
            found.iter().filter_map(container).for_each(|container| grid.contain(container));
        }
        Ok(())
    }

    /// The most memory that an instance of each service was seen to use in the last hour, where no limit says what it
    /// needs.
    async fn memory_seen(&self, rows: &[ServiceRow]) -> Result<HashMap<Id, i64>, Failure> {
        let unlimited = |row: &&ServiceRow| row.definition.memory.or(row.definition.memory_swap).is_none();
        let wanted: Vec<Id> = rows.iter().filter(unlimited).map(|row| row.definition.id).collect();
        if wanted.is_empty() {
            return Ok(HashMap::new());
        }
        let hour = i64::try_from(Duration::from_secs(3600).as_millis()).unwrap_or(i64::MAX);
        let pipeline = [
            doc! { "$match": {
                "grid_service_id": { "$in": oids(wanted) },
                "$expr": { "$gt": ["$created_at", { "$subtract": ["$$NOW", hour] }] },
            } },
            doc! { "$group": { "_id": "$grid_service_id", "most": { "$max": "$memory.usage" } } },
        ];
        let stats = self.database.collection::<Document>("container_stats");
        let rows: Vec<Document> = stats.aggregate(pipeline).max_time(LIMIT).await?.try_collect().await?;
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, row.whole("most")?))).collect())
    }

    async fn some(
        &self,
        name: &str,
        none: bool,
        filter: Document,
        fields: Document,
    ) -> Result<Vec<Document>, Failure> {
        if none { Ok(Vec::new()) } else { self.find(name, filter, fields).await }
    }

    async fn find(&self, name: &str, filter: Document, fields: Document) -> Result<Vec<Document>, Failure> {
        let collection = self.database.collection(name);
        Ok(collection.find(filter).projection(fields).max_time(LIMIT).await?.try_collect().await?)
    }
}

/// A service as the scheduler sees it, with its volumes in the order of its mounts. What its instances were seen to use
/// is not in it.
pub(crate) fn scheduled(
    row: &ServiceRow,
    stack: String,
    default_affinity: &[String],
    kept: &HashMap<Id, VolumeDefinition>,
) -> (Service, Vec<(Id, NamedVolume)>) {
    let definition = &row.definition;
    let mut volumes: Vec<(Id, NamedVolume)> = Vec::new();
    for id in definition.volumes.iter().filter_map(|volume| volume.volume) {
        let Some(kept) = kept.get(&id).filter(|_| volumes.iter().all(|(known, _)| *known != id)) else {
            continue;
        };
        let engine_name = match kept.scope {
            Scope::Instance => format!("{}.{}", definition.engine_name(&stack), kept.name),
            scope => definition.volume_name(&kept.name, scope, &stack, 0),
        };
        volumes.push((id, NamedVolume { driver: kept.driver.clone(), scope: kept.scope, engine_name }));
    }
    let affinity = if row.affinity.is_empty() { default_affinity.to_vec() } else { row.affinity.clone() };
    let service = Service {
        id: definition.id,
        stack,
        name: definition.name.clone(),
        stateful: definition.stateful,
        strategy: Strategy::named(&row.strategy),
        instances: usize::try_from(row.instances).unwrap_or(0),
        affinity,
        volumes: volumes.iter().map(|(_, volume)| volume.clone()).collect(),
        node_ports: definition.ports.iter().map(|port| port.node_port).collect(),
        cpus: definition.cpus,
        memory: definition.memory,
        memory_swap: definition.memory_swap,
        memory_seen: None,
        volumes_from: definition.volumes_from.clone(),
        net: definition.net.clone(),
    };
    (service, volumes)
}

/// The fields of a node that count, and for how long it was not seen.
pub(crate) fn node_fields() -> Document {
    let long_ago = DateTime::from_millis(0);
    doc! {
        "grid_id": 1, "name": 1, "node_number": 1, "labels": 1, "availability": 1, "connected": 1,
        "volume_drivers": 1, "cpus": 1, "mem_total": 1, "latest_stats.memory": 1,
        "away": { "$subtract": ["$$NOW", { "$ifNull": ["$last_seen_at", long_ago] }] },
    }
}

pub(crate) fn place_fields() -> Document {
    doc! { "grid_service_id": 1, "instance_number": 1, "host_node_id": 1 }
}

pub(crate) fn instance(row: &Document) -> Option<Instance> {
    Some(Instance {
        service: row.id("grid_service_id")?,
        number: row.whole("instance_number")?,
        node: row.id("host_node_id")?,
    })
}

pub(crate) fn container(row: &Document) -> Option<Container> {
    let label = |key: &str| row.get_document("labels").ok().and_then(|labels| labels.text(key));
    let instance = (|| {
        let stack = label("io;kontena;stack;name")?;
        Some((stack, label("io;kontena;service;name")?, row.whole("instance_number")?))
    })();
    Some(Container { node: row.id("host_node_id")?, name: row.text("name")?, instance })
}

pub(crate) fn node(row: &Document, volumes: BTreeSet<String>) -> Option<Node> {
    let connected = row.flag("connected").unwrap_or_default();
    let away = row.whole("away").and_then(|away| u64::try_from(away).ok()).unwrap_or(0);
    let memory = row.get_document("latest_stats").and_then(|stats| stats.get_document("memory")).ok();
    let bytes = |memory: &Document, key: &str| {
        let value = memory.get(key);
        value.and_then(|value| {
            value.as_f64().or_else(|| value.as_i32().map(f64::from)).or_else(|| {
                #[expect(clippy::cast_precision_loss, reason = "bytes are measured no finer")]
                let wide = value.as_i64().map(|wide| wide as f64);
                wide
            })
        })
    };
    let memory = memory.and_then(|memory| {
        let available = bytes(memory, "free")? + bytes(memory, "cached").unwrap_or(0.0);
        let available = available + bytes(memory, "buffers").unwrap_or(0.0);
        Some(Memory { used: bytes(memory, "used").unwrap_or(0.0), available })
    });
    Some(Node {
        id: row.id("_id")?,
        name: row.text("name")?,
        number: row.whole("node_number").unwrap_or_default(),
        labels: row.texts("labels"),
        // Absent in old rows.
        active: row.text("availability").is_none_or(|availability| availability == "active"),
        away: (!connected).then_some(Duration::from_millis(away)),
        volume_drivers: row
            .documents("volume_drivers")
            .iter()
            .filter_map(|driver| driver.text("name"))
            .collect(),
        volumes,
        cpus: row.whole("cpus").and_then(|cpus| i32::try_from(cpus).ok()).map_or(0.0, f64::from),
        mem_total: row.whole("mem_total").unwrap_or(0),
        memory,
    })
}
