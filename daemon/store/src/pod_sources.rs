//! What pods are made of: services, with what they refer to. A reference that leads nowhere is an error, since a
//! pod that is left out would be destroyed.

mod gather;
mod gathered;

use std::collections::HashMap;

use kontena_core::agents::pod::{HealthCheck, Hook, Port, Scope, Service, VolumeUse};
use kontena_core::agents::secrets::{Safe, SecretUse};
use kontena_core::id::Id;
use mongodb::bson::{Bson, Document};

use crate::command::{Failure, integer};
use crate::document::Read;
use crate::pod_secrets::safe;

pub(crate) use gather::FROZEN;
pub use gather::{HooksDone, PodNode, Pods};

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
    /// The grid's name.
    pub grid: String,
    /// What is kept for them in secret.
    pub safe: Safe,
}

impl PodSources {
    /// The services that have hooks which run once.
    pub fn once_only(&self) -> impl Iterator<Item = Id> {
        let once = self.services.values().filter(|service| service.hooks.iter().any(|hook| hook.oneshot));
        once.map(|service| service.id)
    }

    /// Reads what was gathered. What refers to nothing is an error.
    pub(crate) fn parse(gathered: &Document) -> Result<Self, Failure> {
        let rows = |key: &str| gathered.documents(key);
        let named = |key: &str| rows(key).into_iter().filter_map(|row| Some((row.id("_id")?, row)));
        let mut sources = Self {
            grid: gathered.text_or_empty("grid"),
            safe: safe(gathered),
            stacks: named("stacks").filter_map(|(id, row)| Some((id, row.text("name")?))).collect(),
            exposed: named("stacks").filter_map(|(id, row)| Some((id, row.text("expose")?))).collect(),
            volumes: named("volumes").filter_map(|(id, row)| Some((id, volume(row)?))).collect(),
            networks: named("networks").filter_map(|(id, row)| Some((id, network(row)?))).collect(),
            registries: rows("registries")
                .into_iter()
                .filter_map(|row| Some((row.text("name")?, login(row))))
                .collect(),
            ..Self::default()
        };
        for row in rows("services") {
            let service = service(row).ok_or_else(|| Failure::unknown("a service is not understood"))?;
            sources.services.insert(service.id, service);
        }
        let known = |service: &Service| {
            let volumes = service.volumes.iter().filter_map(|volume| volume.volume);
            sources.stacks.contains_key(&service.stack)
                && volumes.into_iter().all(|volume| sources.volumes.contains_key(&volume))
                && service.networks.iter().all(|network| sources.networks.contains_key(network))
        };
        if sources.services.values().all(known) {
            Ok(sources)
        } else {
            Err(Failure::unknown("a service refers to what is not there"))
        }
    }
}

pub(crate) fn service(row: &Document) -> Option<Service> {
    let text = |key| row.text(key);
    let number = |key| integer(row, key);
    let deploy = row.get_document("deploy_opts").ok();
    Some(Service {
        id: row.id("_id")?,
        grid: row.id("grid_id")?,
        stack: row.id("stack_id")?,
        name: text("name")?,
        image_name: text("image_name")?,
        revision: number("revision").unwrap_or(1),
        updated_at: row.time("updated_at").unwrap_or(0),
        stateful: row.flag("stateful").unwrap_or_default(),
        user: text("user"),
        cmd: row.get_array("cmd").is_ok().then(|| row.texts("cmd")),
        entrypoint: text("entrypoint"),
        memory: number("memory"),
        memory_swap: number("memory_swap"),
        shm_size: number("shm_size"),
        cpu_shares: number("cpu_shares"),
        cpus: row.get("cpus").and_then(|cpus| cpus.as_f64().or_else(|| cpus.as_i32().map(f64::from))),
        privileged: row.get_bool("privileged").ok(),
        cap_add: row.texts("cap_add"),
        cap_drop: row.texts("cap_drop"),
        devices: row.texts("devices"),
        ports: row.documents("ports").into_iter().filter_map(port).collect(),
        volumes: row.documents("service_volumes").into_iter().map(volume_use).collect(),
        volumes_from: row.texts("volumes_from"),
        net: text("net").unwrap_or_else(|| "bridge".to_owned()),
        log_driver: text("log_driver"),
        log_opts: options(row, "log_opts", str::to_owned),
        pid: text("pid"),
        wait_for_port: deploy.and_then(|deploy| integer(deploy, "wait_for_port")),
        stop_signal: text("stop_signal"),
        stop_grace_period: number("stop_grace_period").unwrap_or(10),
        env: row.texts("env"),
        links: row
            .documents("grid_service_links")
            .into_iter()
            .filter_map(|link| link.id("linked_grid_service_id"))
            .collect(),
        hooks: row.documents("hooks").into_iter().filter_map(hook).collect(),
        networks: row.ids("network_ids"),
        read_only: row.flag("read_only").unwrap_or_default(),
        health_check: row.get_document("health_check").ok().and_then(health_check),
        secrets: secrets(row, "secrets", "secret", None)?,
        certificates: secrets(row, "certificates", "subject", Some("SSL_CERTS"))?,
    })
}

/// What a service wants of one kind. One that is not understood must not look like none.
fn secrets(row: &Document, list: &str, source: &str, default: Option<&str>) -> Option<Vec<SecretUse>> {
    let secret = |row: &Document| {
        Some(SecretUse {
            name: row.text("name").or_else(|| default.map(str::to_owned))?,
            kind: row.text("type").unwrap_or_else(|| "env".to_owned()),
            source: row.text(source)?,
        })
    };
    row.documents(list).into_iter().map(secret).collect()
}

fn port(row: &Document) -> Option<Port> {
    Some(Port {
        ip: row.text("ip").unwrap_or_else(|| "0.0.0.0".to_owned()),
        protocol: row.text("protocol").unwrap_or_else(|| "tcp".to_owned()),
        node_port: integer(row, "node_port")?,
        container_port: integer(row, "container_port")?,
    })
}

fn volume_use(row: &Document) -> VolumeUse {
    VolumeUse {
        bind_mount: row.text("bind_mount"),
        path: row.text("path"),
        flags: row.text("flags"),
        volume: row.id("volume_id"),
    }
}

fn hook(row: &Document) -> Option<Hook> {
    Some(Hook {
        id: row.id("_id")?,
        kind: row.text("type")?,
        cmd: row.text("cmd")?,
        oneshot: row.flag("oneshot").unwrap_or_default(),
        instances: if row.contains_key("instances") { row.texts("instances") } else { vec!["*".to_owned()] },
        done: row.texts("done"),
    })
}

fn health_check(row: &Document) -> Option<HealthCheck> {
    Some(HealthCheck {
        protocol: row.text("protocol")?,
        uri: row.text("uri").unwrap_or_else(|| "/".to_owned()),
        interval: integer(row, "interval").unwrap_or(60),
        timeout: integer(row, "timeout").unwrap_or(10),
        initial_delay: integer(row, "initial_delay").unwrap_or(10),
        port: integer(row, "port"),
    })
}

pub(crate) fn volume(row: &Document) -> Option<VolumeDefinition> {
    Some(VolumeDefinition {
        name: row.text("name")?,
        scope: match row.get_str("scope").ok()? {
            "instance" => Scope::Instance,
            "stack" => Scope::Stack,
            "grid" => Scope::Grid,
            _ => return None,
        },
        driver: row.text("driver")?,
        options: options(row, "driver_opts", |key| key.replace('|', ".")),
    })
}

fn network(row: &Document) -> Option<NetworkDefinition> {
    Some(NetworkDefinition {
        name: row.text("name")?,
        subnet: row.text("subnet"),
        multicast: row.flag("multicast").unwrap_or_default(),
        internal: row.flag("internal").unwrap_or_default(),
    })
}

fn login(row: &Document) -> RegistryLogin {
    RegistryLogin { username: row.text("username"), password: row.text("password"), email: row.text("email") }
}

fn options(row: &Document, key: &str, rename: impl Fn(&str) -> String) -> Vec<(String, String)> {
    let text = |value: &Bson| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let options = row.get_document(key).ok();
    options
        .map(|options| options.iter().map(|(key, value)| (rename(key), text(value))).collect())
        .unwrap_or_default()
}
