//! `grid_services`: what users want to run.

mod around;
mod fields;
mod resolve;

use std::collections::HashMap;

use kontena_core::agents::pod;
use kontena_core::id::Id;
use kontena_core::input::{NewService, ServiceChange};
use mongodb::bson::{Bson, Document, doc};

use crate::claims::{CLAIMS, unclaimed};
use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, oid, oids, whole};
use crate::pod_sources::service as definition;
use crate::service_instances::INSTANCES;
use crate::table::Table;
use crate::transaction::{Outcome, Write};

pub use around::{ContainerCounts, ServiceSurroundings};
pub use resolve::{Inside, Resolved};

pub(crate) const SERVICES: &str = "grid_services";

/// How often a change is tried when others change the same service: one of all who try at once succeeds.
const TRIES: usize = 64;

/// A service.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceRow {
    /// What its instances are made of.
    pub definition: pod::Service,
    /// Its conditions; none: those of the grid.
    pub affinity: Vec<String>,
    /// How many instances are wanted.
    pub instances: i64,
    /// `ha`, `daemon` or `random`.
    pub strategy: String,
    /// `initialized`, `running` or `stopped`.
    pub state: String,
    /// Of the stack, when it was applied last.
    pub stack_revision: Option<i64>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub deployed_at: Option<i64>,
    /// `None`: null was given.
    pub min_health: Option<f64>,
    /// Seconds.
    pub interval: Option<i64>,
    /// Alias and service.
    pub links: Vec<(String, Id)>,
    /// The names of the hooks of the definition, in their order.
    pub hook_names: Vec<String>,
}

/// Why a service was not removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlinked {
    /// It is gone.
    Removed,
    /// It was not there.
    Missing,
    /// Services of these names link to it.
    Linked(Vec<String>),
}

/// The collection.
#[derive(Clone, Debug)]
pub struct Services {
    store: Store,
}

impl Store {
    /// Services.
    #[must_use]
    pub fn services(&self) -> Services {
        Services { store: self.clone() }
    }
}

impl Services {
    fn rows(&self) -> Table {
        Table::new(self.store.database(), SERVICES)
    }

    /// All of a grid, or of one of its stacks, the newest first.
    pub async fn of_grid(&self, grid: Id, stack: Option<Id>) -> Result<Vec<ServiceRow>, Failure> {
        let mut filter = doc! { "grid_id": oid(grid) };
        if let Some(stack) = stack {
            filter.insert("stack_id", oid(stack));
        }
        self.rows().all(filter, doc! { "_id": -1 }).await?.iter().map(parse).collect()
    }

    /// One by its name.
    pub async fn named(&self, grid: Id, stack: Id, name: &str) -> Result<Option<ServiceRow>, Failure> {
        let filter = doc! { "grid_id": oid(grid), "stack_id": oid(stack), "name": name };
        self.rows().one(filter).await?.as_ref().map(parse).transpose()
    }

    /// Those of these services that there are. One that is not understood spoils nothing for the others.
    pub async fn by_ids(&self, services: &[Id]) -> Result<HashMap<Id, Result<ServiceRow, Failure>>, Failure> {
        let filter = doc! { "_id": { "$in": oids(services.iter().copied()) } };
        let rows = self.rows().all(filter, doc! {}).await?;
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, parse(row)))).collect())
    }

    /// Makes a service; [`Failure::Duplicate`] if its stack has one of that name.
    pub async fn create(
        &self,
        grid: Id,
        stack: Id,
        service: &NewService,
        resolved: &Resolved,
    ) -> Result<ServiceRow, Failure> {
        // In a database with old duplicates there is no index to refuse it.
        if self.named(grid, stack, &service.name).await?.is_some() {
            return Err(Failure::Duplicate);
        }
        let networks = self.networks(grid).await?;
        parse(&self.rows().insert(document(grid, stack, service, resolved, &networks)).await?)
    }

    /// Changes what is given. The revision rises if that makes a difference, or if it is forced. `None` if the
    /// service is gone.
    pub async fn update(
        &self,
        service: Id,
        change: &ServiceChange,
        resolved: &Resolved,
    ) -> Result<Option<ServiceRow>, Failure> {
        for _ in 0..TRIES {
            let Some(row) = self.rows().one(doc! { "_id": oid(service) }).await? else { return Ok(None) };
            let set = differing(&row, change, resolved);
            if set.is_empty() && !change.force {
                return parse(&row).map(Some);
            }
            let seen = as_seen(&row);
            let mut change = doc! { "$inc": { "revision": 1 } };
            if !set.is_empty() {
                change.insert("$set", set);
            }
            if let Some(changed) = self.rows().change(seen, change).await? {
                return parse(&changed).map(Some);
            }
        }
        Err(Failure::unknown("the service changes too fast"))
    }

    /// Sets whether the service and each of its instances shall run.
    pub async fn set_state(&self, service: Id, state: &'static str) -> Result<bool, Failure> {
        // Nothing that its instances are made of has changed: the date of the last change stays.
        let mut writes = vec![Write::Change {
            collection: SERVICES,
            filter: doc! { "_id": oid(service) },
            change: doc! { "$set": { "state": state } },
        }];
        writes.extend(turning(&[service], state));
        Ok(self.store.transact(&writes).await? == Outcome::Done)
    }

    /// Appends an entry to the environment.
    pub async fn add_env(&self, service: Id, entry: &str) -> Result<bool, Failure> {
        let change = doc! { "$push": { "env": entry }, "$inc": { "revision": 1 } };
        Ok(self.rows().change(doc! { "_id": oid(service) }, change).await?.is_some())
    }

    /// Removes a variable from the environment. Whether it was there.
    pub async fn remove_env(&self, service: Id, key: &str) -> Result<bool, Failure> {
        for _ in 0..TRIES {
            let Some(row) = self.rows().one(doc! { "_id": oid(service) }).await? else { return Ok(false) };
            let env = row.texts("env");
            let is_meant = |entry: &&String| entry.split('=').next() == Some(key);
            let left: Vec<&String> = env.iter().filter(|entry| !is_meant(entry)).collect();
            if left.len() == env.len() {
                return Ok(false);
            }
            let left: Vec<Bson> = left.into_iter().map(|entry| Bson::from(entry.as_str())).collect();
            let change = doc! { "$set": { "env": left }, "$inc": { "revision": 1 } };
            if self.rows().change(doc! { "_id": oid(service), "env": &env }, change).await?.is_some() {
                return Ok(true);
            }
        }
        Err(Failure::unknown("the service changes too fast"))
    }

    /// Removes a service with its instances and deploys, unless others link to it. Its nodes learn it from their next
    /// list.
    pub async fn remove(&self, service: Id) -> Result<Unlinked, Failure> {
        let linked = doc! { "grid_service_links.linked_grid_service_id": oid(service) };
        let users = self.rows().all(linked, doc! { "_id": 1 }).await?;
        if !users.is_empty() {
            return Ok(Unlinked::Linked(users.iter().map(|row| row.text_or_empty("name")).collect()));
        }
        Ok(match self.store.transact(&removing(service)).await? {
            Outcome::Done => Unlinked::Removed,
            Outcome::Unmatched => Unlinked::Missing,
        })
    }

    /// The networks that services without one of their own are in.
    pub(crate) async fn networks(&self, grid: Id) -> Result<Vec<Id>, Failure> {
        let rows = Table::new(self.store.database(), "networks");
        let rows = rows.all(doc! { "grid_id": oid(grid), "name": "kontena" }, doc! {}).await?;
        Ok(rows.iter().filter_map(|row| row.id("_id")).collect())
    }
}

/// A new service as it is stored.
pub(crate) fn document(
    grid: Id,
    stack: Id,
    service: &NewService,
    resolved: &Resolved,
    networks: &[Id],
) -> Document {
    let joins = service.fields.net.as_deref().unwrap_or("bridge") == "bridge";
    let networks = if joins { networks } else { &[] };
    let mut document = doc! {
        "labels": {}, "affinity": [], "container_count": 1, "ports": [], "env": [], "volumes": [],
        "volumes_from": [], "cap_add": [], "cap_drop": [], "net": "bridge", "state": "initialized",
        "log_opts": {}, "devices": [], "revision": 1, "strategy": "ha", "stop_grace_period": 10,
        "name": &service.name, "stateful": service.stateful, "read_only": false,
        "grid_id": oid(grid), "stack_id": oid(stack), "network_ids": oids(networks.iter().copied()),
    };
    document.extend(fields::documents(&service.fields, resolved, None));
    document
}

/// What of a change makes a difference.
pub(crate) fn differing(row: &Document, change: &ServiceChange, resolved: &Resolved) -> Document {
    let set = fields::documents(&change.fields, resolved, Some(row));
    set.into_iter().filter(|(key, value)| !fields::is_same(row.get(key), value)).collect()
}

/// A service as long as nobody changed what a change of it was compared with.
pub(crate) fn as_seen(row: &Document) -> Document {
    let part = |key: &str| row.get(key).cloned().unwrap_or(Bson::Null);
    doc! { "_id": part("_id"), "revision": part("revision"), "updated_at": part("updated_at") }
}

/// What goes with another state of services.
pub(crate) fn turning(services: &[Id], state: &'static str) -> [Write; 2] {
    [
        Write::ChangeAll {
            collection: INSTANCES,
            filter: doc! { "grid_service_id": { "$in": oids(services.iter().copied()) } },
            change: doc! { "$set": { "desired_state": state } },
        },
        unclaimed(services),
    ]
}

/// What removes a service with its instances and deploys.
pub(crate) fn removing(service: Id) -> [Write; 5] {
    let of_service = doc! { "grid_service_id": oid(service) };
    let all = |collection| Write::RemoveAll { collection, filter: of_service.clone() };
    [
        Write::Remove { collection: SERVICES, filter: doc! { "_id": oid(service) } },
        all(INSTANCES),
        all("grid_service_deploys"),
        all("frozen_pods"),
        Write::RemoveAll { collection: CLAIMS, filter: doc! { "_id": oid(service) } },
    ]
}

pub(crate) fn parse(row: &Document) -> Result<ServiceRow, Failure> {
    let understood = definition(row);
    let definition = understood.ok_or_else(|| Failure::unknown("a service is not understood"))?;
    let deploy = row.get_document("deploy_opts").ok();
    let min_health = match deploy.and_then(|deploy| deploy.get("min_health")) {
        None => Some(0.8),
        Some(health) => health.as_f64().or_else(|| health.as_i32().map(f64::from)),
    };
    let link = |link: &&Document| Some((link.text_or_empty("alias"), link.id("linked_grid_service_id")?));
    Ok(ServiceRow {
        definition,
        affinity: row.texts("affinity"),
        instances: row.whole("container_count").unwrap_or(1),
        strategy: row.text("strategy").unwrap_or_else(|| "ha".to_owned()),
        state: row.text("state").unwrap_or_else(|| "initialized".to_owned()),
        stack_revision: row.whole("stack_revision"),
        created_at: row.time("created_at").unwrap_or_default(),
        deployed_at: row.time("deployed_at"),
        min_health,
        interval: deploy.and_then(|deploy| deploy.whole("interval")),
        links: row.documents("grid_service_links").iter().filter_map(link).collect(),
        hook_names: row.documents("hooks").iter().map(|hook| hook.text_or_empty("name")).collect(),
    })
}

/// How a scale or a deploy changes its service.
pub(crate) fn deploying(force: bool, instances: Option<i64>) -> Document {
    let mut set = doc! { "state": "running" };
    if let Some(instances) = instances {
        set.insert("container_count", whole(instances));
    }
    let mut change = doc! {
        "$set": set, "$currentDate": { "deploy_requested_at": true, "updated_at": true },
    };
    if force {
        change.insert("$inc", doc! { "revision": 1 });
    }
    change
}
