//! Events as the cloud gets them: the bodies of the API, cut down to what the original told the cloud. So no token
//! leaves this way. Of what is gone, only its names are left to be told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use kontena_core::agents::node::Peer;
use kontena_core::cloud::audience;
use kontena_core::id::Id;
use kontena_store::{
    CloudChange, Effect, Failure, GridCounts, GridRow, Happened, Kind, Names, NodeDetails, ServiceRow,
    ServiceSurroundings, Store, Thing, UserRow,
};
use kontena_wire::cloud::Told;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::http::api::grids;
use crate::http::api::nodes::{neighbours, node};
use crate::http::api::services::Shown;
use crate::http::api::users;

/// The limit of each read.
const READ_LIMIT: Duration = Duration::from_secs(5);

const GRID: [&str; 10] = [
    "id",
    "name",
    "initial_size",
    "stats",
    "default_affinity",
    "trusted_subnets",
    "node_count",
    "service_count",
    "container_count",
    "user_count",
];
const GRID_OF_NODE: [&str; 5] = ["id", "name", "initial_size", "stats", "trusted_subnets"];
const NODE: [&str; 33] = [
    "id",
    "connected",
    "updated",
    "availability",
    "created_at",
    "updated_at",
    "last_seen_at",
    "connected_at",
    "disconnected_at",
    "status",
    "has_token",
    "name",
    "os",
    "engine_root_dir",
    "driver",
    "kernel_version",
    "labels",
    "mem_total",
    "mem_limit",
    "cpus",
    "public_ip",
    "private_ip",
    "overlay_ip",
    "agent_version",
    "docker_version",
    "peer_ips",
    "node_id",
    "node_number",
    "initial_member",
    "grid",
    "resource_usage",
    "network_drivers",
    "volume_drivers",
];
const SERVICE: [&str; 37] = [
    "id",
    "created_at",
    "updated_at",
    "image",
    "affinity",
    "name",
    "stateful",
    "user",
    "instances",
    "cmd",
    "entrypoint",
    "net",
    "dns",
    "ports",
    "env",
    "secrets",
    "memory",
    "memory_swap",
    "cpu_shares",
    "volumes",
    "volumes_from",
    "cap_add",
    "cap_drop",
    "state",
    "grid",
    "stack",
    "links",
    "log_driver",
    "log_opts",
    "strategy",
    "deploy_opts",
    "pid",
    "instance_counts",
    "hooks",
    "revision",
    "stack_revision",
    "health_check",
];
/// Besides, where there is a check.
const HEALTH: &str = "health_status";
const USER: [&str; 4] = ["id", "email", "name", "roles"];

/// Turns what happened into messages.
pub(crate) struct Composer {
    store: Store,
    /// The users, as long as nothing happened to one.
    users: Option<Vec<UserRow>>,
    /// The names that the last batch brought or took away: they may not be kept yet.
    last: HashMap<Id, Option<Names>>,
}

/// Messages, and what is to be kept with them.
pub(crate) struct Composed {
    /// One for each event that is told, in their order.
    pub(crate) frames: Vec<Vec<u8>>,
    /// The names of what came, and the end of the names of what went.
    pub(crate) names: Vec<Effect>,
}

/// What the events of a batch are shown with.
struct Scene {
    grids: HashMap<Id, GridRow>,
    counts: HashMap<Id, GridCounts>,
    /// The services of containers.
    services: HashMap<Id, ServiceRow>,
    around: ServiceSurroundings,
    nodes: HashMap<Id, Vec<NodeDetails>>,
    /// As they are kept.
    names: HashMap<Id, Names>,
    /// Whose names are not as they were.
    touched: BTreeSet<Id>,
}

impl Composer {
    pub(crate) fn new(store: &Store) -> Self {
        Self { store: store.clone(), users: None, last: HashMap::new() }
    }

    /// The messages for these events. What the batch before the last one brought must be kept by now; after a failure
    /// another composer is needed.
    pub(crate) async fn compose(&mut self, changes: &[CloudChange]) -> Result<Composed, Failure> {
        if changes.iter().any(|(_, what)| concerns_users(what)) {
            self.users = None;
        }
        if self.users.is_none() {
            self.users = Some(self.store.users().all().await?);
        }
        let mut scene = self.scene(changes).await?;
        let users = self.users.as_deref().unwrap_or_default();
        let mut composed = Composed { frames: Vec::new(), names: Vec::new() };
        for (id, what) in changes {
            let message = scene.message(*id, what, &mut composed.names);
            composed.frames.extend(message.map(|(kind, event, grid, object)| {
                let grid_id = grid
                    .as_deref()
                    .and_then(|name| scene.grids.values().find(|row| row.name == name).map(|row| row.id));
                let users = users.iter().map(|user| (&user.actor, user.external_id.as_deref()));
                Told { kind, event, users: audience(users, grid_id), grid, object }.encode()
            }));
        }
        self.last = scene.touched.iter().map(|id| (*id, scene.names.get(id).cloned())).collect();
        Ok(composed)
    }

    async fn scene(&self, changes: &[CloudChange]) -> Result<Scene, Failure> {
        let ids: Vec<Id> = changes.iter().map(|(id, _)| *id).collect();
        let mut names = self.store.cloud().names(&ids, READ_LIMIT).await?;
        for (id, last) in self.last.iter().filter(|(id, _)| ids.contains(id)) {
            match last {
                Some(last) => names.insert(*id, last.clone()),
                None => names.remove(id),
            };
        }
        let of_containers: BTreeSet<Id> = changes
            .iter()
            .filter_map(|(id, what)| match what {
                Happened::Container(service) => Some(*service),
                Happened::ContainerGone => names.get(id)?.service,
                _ => None,
            })
            .collect();
        let of_containers: Vec<Id> = of_containers.into_iter().collect();
        let found = self.store.services().by_ids(&of_containers).await?;
        let services: HashMap<Id, ServiceRow> =
            found.into_iter().filter_map(|(id, row)| Some((id, row.ok()?))).collect();
        let mut shown: Vec<ServiceRow> = services.values().cloned().collect();
        let mut grids: BTreeSet<Id> = services.values().map(|row| row.definition.grid).collect();
        let mut with_nodes = BTreeSet::new();
        let mut with_counts = BTreeSet::new();
        let mut rows = HashMap::new();
        for (_, what) in changes {
            match what {
                Happened::Made(thing) | Happened::Changed(thing) => match thing {
                    Thing::Grid(row) => {
                        with_counts.insert(row.id);
                        rows.insert(row.id, GridRow::clone(row));
                    }
                    Thing::Service(row) => {
                        grids.insert(row.definition.grid);
                        shown.push(ServiceRow::clone(row));
                    }
                    Thing::Node(_, grid) => {
                        grids.insert(*grid);
                        with_nodes.insert(*grid);
                    }
                    Thing::User(_) => {}
                },
                Happened::Gone(_) | Happened::Container(_) | Happened::ContainerGone => {}
            }
        }
        let around = self.store.services().surroundings(&shown).await?;
        // Whom to tell of what is gone.
        let gone = changes.iter().filter(|(_, what)| matches!(what, Happened::Gone(_)));
        let left: BTreeSet<&String> = gone.filter_map(|(id, _)| names.get(id)?.grid.as_ref()).collect();
        for name in left {
            rows.extend(self.store.grids().by_name(name).await?.map(|row| (row.id, row)));
        }
        let grids: Vec<Id> = grids.into_iter().collect();
        rows.extend(self.store.grids().by_ids(&grids).await?);
        let with_counts: Vec<Id> = with_counts.into_iter().collect();
        let counts = self.store.grids().counts(&with_counts).await?;
        let mut nodes = HashMap::new();
        for grid in with_nodes {
            nodes.insert(grid, self.store.host_nodes().of_grid(grid).await?);
        }
        Ok(Scene { grids: rows, counts, services, around, nodes, names, touched: BTreeSet::new() })
    }
}

fn concerns_users(what: &Happened) -> bool {
    matches!(
        what,
        Happened::Made(Thing::User(_)) | Happened::Changed(Thing::User(_)) | Happened::Gone(Kind::User)
    )
}

/// Kind, event, grid and object.
type Message = (&'static str, &'static str, Option<String>, Value);

impl Scene {
    fn message(&mut self, id: Id, what: &Happened, effects: &mut Vec<Effect>) -> Option<Message> {
        let (event, thing) = match what {
            Happened::Made(thing) => ("create", thing),
            Happened::Changed(thing) => ("update", thing),
            Happened::Gone(kind) => {
                return Some(gone(id, *kind, self.forget(id, effects).unwrap_or_default()));
            }
            Happened::Container(service) => {
                self.learn(id, Names { service: Some(*service), ..Names::default() }, effects);
                return self.of_container(*service);
            }
            Happened::ContainerGone => {
                let service = self.forget(id, effects)?.service?;
                return self.of_container(service);
            }
        };
        let (kind, grid, object) = match thing {
            Thing::Grid(row) => {
                let counts = self.counts.get(&row.id).copied().unwrap_or_default();
                let mut object = cut(&grids::body(row, counts), &GRID);
                // The original told what is inside.
                let stats = object.get_mut("stats").map(Value::take).unwrap_or_default();
                object.insert("stats".to_owned(), stats.get("statsd").cloned().unwrap_or_default());
                ("Grid", Some(row.name.clone()), object)
            }
            Thing::Service(row) => {
                let (grid, object) = self.service(row);
                ("GridService", Some(grid), object)
            }
            Thing::Node(row, grid) => {
                let grid = self.grid(*grid, id);
                let rows = self.nodes.get(&grid.id).map(Vec::as_slice).unwrap_or_default();
                let peers: Vec<Peer<'_>> = neighbours(rows);
                let mut object = cut(&node(&grid, row, &peers), &NODE);
                if let Some(Value::Object(of_node)) = object.get_mut("grid") {
                    of_node.retain(|key, _| GRID_OF_NODE.contains(&key.as_str()));
                }
                ("HostNode", Some(grid.name), object)
            }
            Thing::User(row) => ("User", None, cut(&users::body(row), &USER)),
        };
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_owned);
        let names = Names {
            path: text("id").unwrap_or_default(),
            name: text("name"),
            email: text("email"),
            grid: grid.clone(),
            service: None,
        };
        self.learn(id, names, effects);
        Some((kind, event, grid, Value::Object(object)))
    }

    /// Keeps names that are not kept yet.
    fn learn(&mut self, id: Id, names: Names, effects: &mut Vec<Effect>) {
        if self.names.get(&id) != Some(&names) {
            effects.push(names.keep(id));
            self.names.insert(id, names);
            self.touched.insert(id);
        }
    }

    /// Forgets names, and says which they were.
    fn forget(&mut self, id: Id, effects: &mut Vec<Effect>) -> Option<Names> {
        effects.push(Names::forget(id));
        self.touched.insert(id);
        self.names.remove(&id)
    }

    fn of_container(&self, service: Id) -> Option<Message> {
        // The service may be gone by now, which is told by itself.
        let (grid, object) = self.service(self.services.get(&service)?);
        Some(("GridService", "update", Some(grid), Value::Object(object)))
    }

    fn service(&self, row: &ServiceRow) -> (String, Map<String, Value>) {
        let grid = self.grid(row.definition.grid, row.definition.id);
        let body = Shown { grid: &grid, around: &self.around }.service(row);
        let mut object = cut(&body, &SERVICE);
        if let Some(health) = body.health_status {
            let health = json!({ "healthy": health.healthy, "total": health.total });
            object.insert(HEALTH.to_owned(), health);
        }
        (grid.name, object)
    }

    /// A grid, or what is still known of it when it is gone: its name, by what is kept of something in it.
    fn grid(&self, grid: Id, member: Id) -> GridRow {
        self.grids.get(&grid).cloned().unwrap_or_else(|| GridRow {
            id: grid,
            name: self.names.get(&member).and_then(|names| names.grid.clone()).unwrap_or_default(),
            token: String::new(),
            initial_size: 1,
            statsd: None,
            default_affinity: Vec::new(),
            trusted_subnets: Vec::new(),
            subnet: String::new(),
            supernet: String::new(),
            logs: None,
            members: Vec::new(),
        })
    }
}

/// What is left of something that is gone.
fn gone(id: Id, kind: Kind, names: Names) -> Message {
    let Names { path, name, email, grid, service: _ } = names;
    let path = if path.is_empty() { id.to_string() } else { path };
    let mut object = BTreeMap::from([("id", Value::from(path))]);
    object.extend(name.map(|name| ("name", name.into())));
    object.extend(email.map(|email| ("email", email.into())));
    let kind = match kind {
        Kind::Grid => "Grid",
        Kind::Service => "GridService",
        Kind::Node => "HostNode",
        Kind::User => "User",
    };
    if let (Some(grid), "GridService" | "HostNode") = (&grid, kind) {
        object.insert("grid", json!({ "id": grid, "name": grid }));
    }
    (kind, "delete", grid, json!(object))
}

/// Some fields of a body.
fn cut<T: Serialize>(body: &T, fields: &[&str]) -> Map<String, Value> {
    match serde_json::to_value(body) {
        Ok(Value::Object(mut object)) => {
            object.retain(|key, _| fields.contains(&key.as_str()));
            object
        }
        Ok(_) | Err(_) => Map::new(),
    }
}
