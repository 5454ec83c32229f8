//! The containers that agents report: `containers`.

mod details;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::id::Id;
use kontena_wire::agent::Container;
use kontena_wire::agent::container::{Network, State};
use mongodb::Database;
use mongodb::bson::{Bson, DateTime, Document, doc};

use crate::command::{Failure, is_duplicate, millis, write, write_each};
use crate::document::{Read, oid, oids, whole};
use crate::effect::{Effect, Statement};
use crate::host_nodes::Session;
use crate::service_instances::INSTANCES;
use crate::{opaque, service_instances};

pub use details::ContainerDetails;

pub(crate) const CONTAINERS: &str = "containers";
const SERVICES: &str = "grid_services";

/// A container as it was reported.
#[derive(Clone, Debug)]
pub struct SavedContainer {
    /// The node's grid.
    pub grid: Id,
    /// The node, and the session in which it was told.
    pub session: Session,
    /// What its engine says.
    pub container: Container,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct Containers {
    database: Database,
}

impl Containers {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Takes in containers, new ones and known ones. The later of two reports of one container counts.
    ///
    /// [`Failure::Duplicate`]: one of them cannot be stored beside what there is, however often it is tried.
    pub async fn save(&self, saved: &[SavedContainer], limit: Duration) -> Result<(), Failure> {
        let services: BTreeSet<Id> = saved.iter().filter_map(|saved| service(&saved.container)).collect();
        let secrets = self.secret_names(services, limit).await?;
        // Of two reports in one command the later would race with the earlier.
        let mut latest: HashMap<(Id, &str), &SavedContainer> = HashMap::new();
        for saved in saved {
            latest.insert((saved.session.node, saved.container.id.as_str()), saved);
        }
        let updates: Vec<Document> = latest.values().map(|saved| statement(saved, &secrets)).collect();
        if updates.is_empty() {
            return Ok(());
        }
        let taken = self.update(&updates, limit).await?;
        // The id that a container's label imposes is another's: of the same container on a node that was removed and
        // came back, or of one whose labels were copied. It gets one of its own.
        let freed: Vec<Document> =
            taken.into_iter().filter_map(|place| updates.get(place)).map(with_own_id).collect();
        if !freed.is_empty() && !self.update(&freed, limit).await?.is_empty() {
            return Err(Failure::Duplicate);
        }
        // The state of an instance that was told to a master just before it died is lost, and its agent does not
        // tell it again: what its container does shows it.
        let told = latest.values().filter_map(|saved| {
            let Container { state, .. } = &saved.container;
            Some(service_instances::seen(saved.session, instance(&saved.container)?, state.running))
        });
        let told: Vec<Document> = told.collect();
        if told.is_empty() {
            return Ok(());
        }
        write_each(&self.database, doc! { "update": INSTANCES, "updates": told }, limit).await.map(drop)
    }

    /// Removes containers of a node; returns how many there were.
    pub async fn remove(&self, node: Id, container_ids: &[String], limit: Duration) -> Result<i64, Failure> {
        let filter = doc! { "host_node_id": oid(node), "container_id": { "$in": container_ids } };
        let delete = doc! { "q": filter, "limit": 0 };
        write(&self.database, doc! { "delete": CONTAINERS, "deletes": [delete] }, limit).await
    }

    /// Notes how a container of a node does by its own check.
    pub async fn health(
        &self,
        node: Id,
        container_id: &str,
        status: &str,
        limit: Duration,
    ) -> Result<(), Failure> {
        let filter = doc! { "host_node_id": oid(node), "container_id": container_id };
        let change =
            doc! { "$set": { "health_status": status }, "$currentDate": { "health_status_at": true } };
        let update = doc! { "q": filter, "u": change };
        write(&self.database, doc! { "update": CONTAINERS, "updates": [update] }, limit).await.map(drop)
    }

    /// Whether there are containers that were marked as deleted `age` ago.
    pub async fn has_deleted(&self, age: Duration, limit: Duration) -> Result<bool, Failure> {
        let collection = self.database.collection::<Document>(CONTAINERS);
        let found =
            collection.find_one(deleted_before(age)).projection(doc! { "_id": 1 }).max_time(limit).await?;
        Ok(found.is_some())
    }

    /// Removes containers that were marked as deleted `age` ago, by the database's clock.
    #[must_use]
    pub fn forget(age: Duration) -> Effect {
        Effect { collection: CONTAINERS, statement: Statement::Delete { filter: deleted_before(age) } }
    }

    /// Makes all updates that can be made; the places of those whose key is taken.
    async fn update(&self, updates: &[Document], limit: Duration) -> Result<Vec<usize>, Failure> {
        let command = doc! { "update": CONTAINERS, "updates": updates };
        let (_, faults) = write_each(&self.database, command, limit).await?;
        let (taken, others): (Vec<_>, Vec<_>) =
            faults.into_iter().partition(|(_, code, _)| is_duplicate(*code));
        match others.into_iter().next() {
            Some((_, _, message)) => Err(Failure::unknown(message)),
            None => Ok(taken.into_iter().map(|(place, _, _)| place).collect()),
        }
    }

    async fn secret_names(
        &self,
        services: BTreeSet<Id>,
        limit: Duration,
    ) -> Result<HashMap<Id, Vec<String>>, Failure> {
        if services.is_empty() {
            return Ok(HashMap::new());
        }
        let collection = self.database.collection::<Document>(SERVICES);
        let filter = doc! { "_id": { "$in": oids(services) } };
        let rows = collection.find(filter).projection(doc! { "secrets.name": 1 }).max_time(limit);
        let rows: Vec<Document> = rows.await?.try_collect().await?;
        let names = |row: &Document| {
            row.documents("secrets").into_iter().filter_map(|secret| secret.text("name")).collect()
        };
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, names(row)))).collect())
    }
}

fn deleted_before(age: Duration) -> Document {
    doc! {
        "deleted_at": { "$type": "date" },
        "$expr": { "$lt": ["$deleted_at", { "$subtract": ["$$NOW", millis(age)] }] },
    }
}

fn service(container: &Container) -> Option<Id> {
    container.label("io.kontena.service.id").and_then(|id| id.parse().ok())
}

/// The service and number of the instance that a container is, if it is one.
fn instance(container: &Container) -> Option<(Id, i64)> {
    let kind = container.label("io.kontena.container.type").unwrap_or("container");
    let number = container.label("io.kontena.service.instance_number")?.parse().ok()?;
    (kind == "container").then_some((service(container)?, number))
}

fn statement(saved: &SavedContainer, secrets: &HashMap<Id, Vec<String>>) -> Document {
    let SavedContainer { grid, session: Session { node, epoch: _ }, container } = saved;
    let Container {
        id: container_id,
        engine_name,
        labels,
        image,
        image_version,
        cmd,
        env,
        hostname,
        domainname,
        driver,
        exec_driver,
        state,
        network,
        volumes,
    } = container;
    let label = |name: &str| container.label(name);
    let service = service(container);
    let hidden = service.and_then(|service| secrets.get(&service)).map(Vec::as_slice).unwrap_or_default();
    let is_secret = |entry: &str| {
        let name = entry.split('=').next().unwrap_or_default();
        hidden.iter().any(|secret| secret == name)
    };
    let env = env.as_ref().map(|env| {
        env.iter().filter(|entry| !is_secret(entry)).map(|entry| Bson::from(entry.as_str())).collect()
    });
    let escaped: Document = labels
        .iter()
        .map(|(key, value)| (opaque::key(key).replace('.', ";"), Bson::from(value.as_str())))
        .collect();
    let mut networks = Document::new();
    if let (Some(name), Some(cidr)) =
        (label("io.kontena.container.overlay_network"), label("io.kontena.container.overlay_cidr"))
    {
        networks.insert(opaque::key(name), doc! { "overlay_cidr": cidr });
    }
    let instance = label("io.kontena.service.instance_number").and_then(|number| number.parse::<i64>().ok());
    let now = DateTime::now();
    let mut set = doc! {
        "grid_id": oid(*grid),
        "cmd": cmd.clone(), "env": env.map_or(Bson::Null, Bson::Array), "labels": escaped,
        "networks": networks, "state": state_document(state), "deleted_at": Bson::Null,
        "container_type": label("io.kontena.container.type").unwrap_or("container"),
        "instance_number": instance.map_or(Bson::Null, whole),
        "driver": driver, "exec_driver": exec_driver, "image": image, "image_version": image_version,
        "hostname": hostname, "domainname": domainname,
        "started_at": date(state.started_at.as_deref()), "finished_at": date(state.finished_at.as_deref()),
        "updated_at": now,
    };
    if let Some(network) = network {
        set.insert("network_settings", network_document(network));
    }
    if let Some(service) = service {
        set.insert("grid_service_id", oid(service));
    }
    if let Some(volumes) = volumes {
        let volume = |(container, node): &(String, String)| doc! { "container": container, "node": node };
        set.insert("volumes", volumes.iter().map(volume).collect::<Vec<_>>());
    }
    for (field, name) in [
        ("deploy_rev", "io.kontena.container.deploy_rev"),
        ("service_rev", "io.kontena.container.service_revision"),
    ] {
        if let Some(value) = label(name) {
            set.insert(field, value);
        }
    }
    let name = match service.and(label("io.kontena.container.name")) {
        Some(name) => name,
        None => engine_name,
    };
    let mut on_insert = doc! { "name": name, "created_at": now };
    if volumes.is_none() {
        on_insert.insert("volumes", Bson::Array(Vec::new()));
    }
    if let Some(imposed) = label("io.kontena.container.id").and_then(|id| id.parse::<Id>().ok()) {
        on_insert.insert("_id", oid(imposed));
    }
    doc! {
        "q": { "host_node_id": oid(*node), "container_id": container_id },
        "u": { "$set": set, "$setOnInsert": on_insert },
        "upsert": true,
    }
}

/// The same statement with an id that the database gives.
fn with_own_id(statement: &Document) -> Document {
    let mut statement = statement.clone();
    let change = statement.get_document_mut("u");
    if let Ok(on_insert) = change.and_then(|change| change.get_document_mut("$setOnInsert")) {
        on_insert.remove("_id");
    }
    statement
}

fn state_document(state: &State) -> Document {
    let State {
        error,
        exit_code,
        pid,
        oom_killed,
        paused,
        restarting,
        dead,
        running,
        started_at: _,
        finished_at: _,
    } = state;
    let number = |number: &Option<i64>| number.map_or(Bson::Null, whole);
    doc! {
        "error": error, "exit_code": number(exit_code), "pid": number(pid), "oom_killed": oom_killed,
        "paused": paused, "restarting": restarting, "dead": dead, "running": running,
    }
}

fn network_document(network: &Network) -> Document {
    let Network { bridge, gateway, ip_address, ip_prefix_len, mac_address, ports } = network;
    let place = |(ip, port): &(String, i64)| doc! { "node_ip": ip, "node_port": whole(*port) };
    let ports: Document = ports
        .iter()
        .map(|(port, places)| (opaque::key(port), Bson::from(places.iter().map(place).collect::<Vec<_>>())))
        .collect();
    doc! {
        "bridge": bridge, "gateway": gateway, "ip_address": ip_address,
        "ip_prefix_len": ip_prefix_len.map_or(Bson::Null, whole), "mac_address": mac_address,
        "port_mapping": Bson::Null, "ports": ports,
    }
}

/// The engine's zero time is stored as what it is, the year 1.
pub(crate) fn date(text: Option<&str>) -> Bson {
    let parsed = text.and_then(|text| DateTime::parse_rfc3339_str(text).ok());
    parsed.map_or(Bson::Null, Bson::DateTime)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_imposed_id_that_is_taken_is_left_out_and_nothing_else() {
        let imposed = Id::from_bytes([7; 12]);
        let label = ("io.kontena.container.id".to_owned(), imposed.to_string());
        let container = Container { id: "c1".to_owned(), labels: vec![label], ..Container::default() };
        let session = Session { node: Id::from_bytes([1; 12]), epoch: 1 };
        let saved = SavedContainer { grid: Id::from_bytes([2; 12]), session, container };
        let with = statement(&saved, &HashMap::new());
        let without = with_own_id(&with);
        let on_insert = |statement: &Document| {
            statement.get_document("u").unwrap().get_document("$setOnInsert").cloned().unwrap()
        };
        let mut fewer = on_insert(&with);
        assert_eq!(fewer.remove("_id"), Some(Bson::from(oid(imposed))));
        assert_eq!(on_insert(&without), fewer);
        let set = |statement: &Document| {
            statement.get_document("u").unwrap().get_document("$set").cloned().unwrap()
        };
        assert_eq!(set(&without), set(&with));
        assert_eq!((without.get("q"), without.get("upsert")), (with.get("q"), with.get("upsert")));
    }
}
