//! What pods are made of: services, with what they refer to. A reference that leads nowhere is an error, since a
//! pod that is left out would be destroyed.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::agents::pod::{HealthCheck, Hook, Port, Scope, Service, VolumeUse};
use kontena_core::id::Id;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::command::{Failure, integer};
use crate::object_id::{documents_at, flag_at, id_at, object_id, object_ids, text_at, texts_at, time_at};

/// A named volume.
#[derive(Clone, Debug)]
pub struct VolumeDefinition {
    /// Its name.
    pub name: String,
    /// How it is shared.
    pub scope: Scope,
    /// Its driver, without a version.
    pub driver: String,
    /// The driver's options.
    pub options: Vec<(String, String)>,
}

/// A network of a grid.
#[derive(Clone, Debug)]
pub struct NetworkDefinition {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub subnet: Option<String>,
    /// Whether it carries multicast.
    pub multicast: bool,
    /// Whether it has no way out.
    pub internal: bool,
}

/// Credentials for a registry.
#[derive(Clone)]
pub struct RegistryLogin {
    /// The user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<String>,
    /// The user's address.
    pub email: Option<String>,
}

impl std::fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RegistryLogin(..)")
    }
}

/// What the pods of one node are made of.
#[derive(Clone, Debug, Default)]
pub struct PodSources {
    /// The services of the instances, and those that they are linked to.
    pub services: HashMap<Id, Service>,
    /// The names of their stacks.
    pub stacks: HashMap<Id, String>,
    /// The name of the service that a stack exposes.
    pub exposed: HashMap<Id, String>,
    /// Their volumes.
    pub volumes: HashMap<Id, VolumeDefinition>,
    /// Their networks.
    pub networks: HashMap<Id, NetworkDefinition>,
    /// The registries of the grid, by name.
    pub registries: HashMap<String, RegistryLogin>,
    /// The node's name.
    pub node: String,
    /// The grid's name.
    pub grid: String,
    /// The versions of the node's volume drivers.
    pub drivers: HashMap<String, String>,
    /// Services that a challenge of a certificate is pending for.
    pub challenged: BTreeSet<Id>,
}

/// The collections.
#[derive(Clone, Debug)]
pub struct Pods {
    database: Database,
}

impl Pods {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Reads what the pods of `node` are made of that are instances of `services`.
    pub async fn sources(&self, node: Id, services: &[Id], limit: Duration) -> Result<PodSources, Failure> {
        let mut sources = PodSources::default();
        let node = self.one("host_nodes", node, limit).await?;
        sources.node = text_at(&node, "name").unwrap_or_default();
        sources.drivers = documents_at(&node, "volume_drivers")
            .filter_map(|driver| Some((text_at(driver, "name")?, text_at(driver, "version")?)))
            .collect();
        let grid = id_at(&node, "grid_id").ok_or_else(|| Failure::unknown("a node without a grid"))?;
        sources.grid = text_at(&self.one("grids", grid, limit).await?, "name").unwrap_or_default();
        self.add_services(&mut sources, services.iter().copied().collect(), limit).await?;
        let links: BTreeSet<Id> =
            sources.services.values().flat_map(|service| service.links.clone()).collect();
        let links = links.into_iter().filter(|link| !sources.services.contains_key(link)).collect();
        self.add_services(&mut sources, links, limit).await?;
        let of = |pick: fn(&Service) -> Vec<Id>| -> BTreeSet<Id> {
            sources.services.values().flat_map(pick).collect()
        };
        let stacks = of(|service| vec![service.stack]);
        let volumes = of(|service| service.volumes.iter().filter_map(|volume| volume.volume).collect());
        let networks = of(|service| service.networks.clone());
        let all = self.all("stacks", &stacks, limit).await?;
        sources.stacks =
            all.iter().filter_map(|row| Some((id_at(row, "_id")?, text_at(row, "name")?))).collect();
        sources.exposed = self.exposed(&stacks, limit).await?;
        let all = self.all("volumes", &volumes, limit).await?;
        sources.volumes = all.iter().filter_map(|row| Some((id_at(row, "_id")?, volume(row)?))).collect();
        let all = self.all("networks", &networks, limit).await?;
        sources.networks = all.iter().filter_map(|row| Some((id_at(row, "_id")?, network(row)?))).collect();
        let registries = self.find("registries", doc! { "grid_id": object_id(grid) }, limit).await?;
        sources.registries =
            registries.iter().filter_map(|row| Some((text_at(row, "name")?, login(row)))).collect();
        let pending = doc! {
            "grid_service_id": { "$in": object_ids(services.iter().copied()) },
            "_state": { "$in": ["created", "requested"] },
        };
        let pending = self.find("grid_domain_authorizations", pending, limit).await?;
        sources.challenged = pending.iter().filter_map(|row| id_at(row, "grid_service_id")).collect();
        let whole = stacks.iter().all(|stack| sources.stacks.contains_key(stack))
            && volumes.iter().all(|volume| sources.volumes.contains_key(volume))
            && networks.iter().all(|network| sources.networks.contains_key(network));
        if whole { Ok(sources) } else { Err(Failure::unknown("a service refers to what is not there")) }
    }

    async fn add_services(
        &self,
        sources: &mut PodSources,
        wanted: BTreeSet<Id>,
        limit: Duration,
    ) -> Result<(), Failure> {
        let rows = self.all("grid_services", &wanted, limit).await?;
        for row in &rows {
            let service = service(row).ok_or_else(|| Failure::unknown("a service is not understood"))?;
            sources.services.insert(service.id, service);
        }
        if wanted.iter().all(|id| sources.services.contains_key(id)) {
            Ok(())
        } else {
            Err(Failure::unknown("an instance or a link of a service that is not there"))
        }
    }

    /// What the newest revision of each stack exposes.
    async fn exposed(&self, stacks: &BTreeSet<Id>, limit: Duration) -> Result<HashMap<Id, String>, Failure> {
        let filter = doc! { "stack_id": { "$in": object_ids(stacks.iter().copied()) } };
        let mut newest: HashMap<Id, (i64, Option<String>)> = HashMap::new();
        for row in self.find("stack_revisions", filter, limit).await? {
            let (Some(stack), Some(revision)) = (id_at(&row, "stack_id"), integer(&row, "revision")) else {
                continue;
            };
            if newest.get(&stack).is_none_or(|(known, _)| *known < revision) {
                newest.insert(stack, (revision, text_at(&row, "expose")));
            }
        }
        Ok(newest.into_iter().filter_map(|(stack, (_, expose))| Some((stack, expose?))).collect())
    }

    async fn one(&self, collection: &str, id: Id, limit: Duration) -> Result<Document, Failure> {
        let mut rows = self.find(collection, doc! { "_id": object_id(id) }, limit).await?;
        rows.pop().ok_or_else(|| Failure::unknown(format!("nothing in {collection} has the id {id}")))
    }

    async fn all(
        &self,
        collection: &str,
        ids: &BTreeSet<Id>,
        limit: Duration,
    ) -> Result<Vec<Document>, Failure> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.find(collection, doc! { "_id": { "$in": object_ids(ids.iter().copied()) } }, limit).await
    }

    async fn find(
        &self,
        collection: &str,
        filter: Document,
        limit: Duration,
    ) -> Result<Vec<Document>, Failure> {
        Ok(self.database.collection(collection).find(filter).max_time(limit).await?.try_collect().await?)
    }
}

fn service(row: &Document) -> Option<Service> {
    let text = |key| text_at(row, key);
    let number = |key| integer(row, key);
    let deploy = row.get_document("deploy_opts").ok();
    let uses = |key: &str| row.get_array(key).is_ok_and(|uses| !uses.is_empty());
    Some(Service {
        id: id_at(row, "_id")?,
        grid: id_at(row, "grid_id")?,
        stack: id_at(row, "stack_id")?,
        name: text("name")?,
        image_name: text("image_name")?,
        revision: number("revision").unwrap_or(1),
        updated_at: time_at(row, "updated_at").unwrap_or(0),
        stateful: flag_at(row, "stateful"),
        user: text("user"),
        cmd: row.get_array("cmd").is_ok().then(|| texts_at(row, "cmd")),
        entrypoint: text("entrypoint"),
        memory: number("memory"),
        memory_swap: number("memory_swap"),
        shm_size: number("shm_size"),
        cpu_shares: number("cpu_shares"),
        cpus: row.get("cpus").and_then(|cpus| cpus.as_f64().or_else(|| cpus.as_i32().map(f64::from))),
        privileged: row.get_bool("privileged").ok(),
        cap_add: texts_at(row, "cap_add"),
        cap_drop: texts_at(row, "cap_drop"),
        devices: texts_at(row, "devices"),
        ports: documents_at(row, "ports").filter_map(port).collect(),
        volumes: documents_at(row, "service_volumes").map(volume_use).collect(),
        volumes_from: texts_at(row, "volumes_from"),
        net: text("net").unwrap_or_else(|| "bridge".to_owned()),
        log_driver: text("log_driver"),
        log_opts: options(row, "log_opts", str::to_owned),
        pid: text("pid"),
        wait_for_port: deploy.and_then(|deploy| integer(deploy, "wait_for_port")),
        stop_signal: text("stop_signal"),
        stop_grace_period: number("stop_grace_period").unwrap_or(10),
        env: texts_at(row, "env"),
        links: documents_at(row, "grid_service_links")
            .filter_map(|link| id_at(link, "linked_grid_service_id"))
            .collect(),
        hooks: documents_at(row, "hooks").filter_map(hook).collect(),
        networks: row
            .get_array("network_ids")
            .map(|ids| ids.iter().filter_map(|id| Some(crate::object_id::id(id.as_object_id()?))).collect())
            .unwrap_or_default(),
        read_only: flag_at(row, "read_only"),
        health_check: row.get_document("health_check").ok().and_then(health_check),
        has_secrets: uses("secrets") || uses("certificates"),
    })
}

fn port(row: &Document) -> Option<Port> {
    Some(Port {
        ip: text_at(row, "ip").unwrap_or_else(|| "0.0.0.0".to_owned()),
        protocol: text_at(row, "protocol").unwrap_or_else(|| "tcp".to_owned()),
        node_port: integer(row, "node_port")?,
        container_port: integer(row, "container_port")?,
    })
}

fn volume_use(row: &Document) -> VolumeUse {
    VolumeUse {
        bind_mount: text_at(row, "bind_mount"),
        path: text_at(row, "path"),
        flags: text_at(row, "flags"),
        volume: id_at(row, "volume_id"),
    }
}

fn hook(row: &Document) -> Option<Hook> {
    Some(Hook {
        id: id_at(row, "_id")?,
        kind: text_at(row, "type")?,
        cmd: text_at(row, "cmd")?,
        oneshot: flag_at(row, "oneshot"),
        instances: if row.contains_key("instances") {
            texts_at(row, "instances")
        } else {
            vec!["*".to_owned()]
        },
        done: texts_at(row, "done"),
    })
}

fn health_check(row: &Document) -> Option<HealthCheck> {
    Some(HealthCheck {
        protocol: text_at(row, "protocol")?,
        uri: text_at(row, "uri").unwrap_or_else(|| "/".to_owned()),
        interval: integer(row, "interval").unwrap_or(60),
        timeout: integer(row, "timeout").unwrap_or(10),
        initial_delay: integer(row, "initial_delay").unwrap_or(10),
        port: integer(row, "port"),
    })
}

fn volume(row: &Document) -> Option<VolumeDefinition> {
    Some(VolumeDefinition {
        name: text_at(row, "name")?,
        scope: match row.get_str("scope").ok()? {
            "instance" => Scope::Instance,
            "stack" => Scope::Stack,
            "grid" => Scope::Grid,
            _ => return None,
        },
        driver: text_at(row, "driver")?,
        options: options(row, "driver_opts", |key| key.replace('|', ".")),
    })
}

fn network(row: &Document) -> Option<NetworkDefinition> {
    Some(NetworkDefinition {
        name: text_at(row, "name")?,
        subnet: text_at(row, "subnet"),
        multicast: flag_at(row, "multicast"),
        internal: flag_at(row, "internal"),
    })
}

fn login(row: &Document) -> RegistryLogin {
    RegistryLogin {
        username: text_at(row, "username"),
        password: text_at(row, "password"),
        email: text_at(row, "email"),
    }
}

fn options(row: &Document, key: &str, rename: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let text = |value: &Bson| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let options = row.get_document(key).ok();
    options
        .map(|options| options.iter().map(|(key, value)| (rename(key), text(value))).collect())
        .unwrap_or_default()
}
