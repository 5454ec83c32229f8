//! Gathers what pods are made of, as it is now or as it was frozen: `frozen_pods {_id, grid_service_id, sources}`.
//!
//! A deploy freezes its service with all that it refers to, so that an edit reaches agents with the next deploy and
//! every master tells them the same. Secrets stay encrypted.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::id::Id;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use super::PodSources;
use crate::command::{Failure, integer, write};
use crate::document::{Read, fresh, oid, oids};
use crate::pod_secrets::pending;

pub(crate) const FROZEN: &str = "frozen_pods";

/// The collections.
#[derive(Clone, Debug)]
pub struct Pods {
    database: Database,
}

/// The instances that a hook has run for, by hook.
pub type HooksDone = HashMap<Id, Vec<String>>;

/// A node, as far as its pods name it.
#[derive(Clone, Debug, Default)]
pub struct PodNode {
    /// Its name.
    pub name: String,
    /// Its grid.
    pub grid: Option<Id>,
    /// The versions of its volume drivers.
    pub drivers: HashMap<String, String>,
}

impl Pods {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Nodes, in the order asked for.
    pub async fn nodes(&self, nodes: &[Id], limit: Duration) -> Result<Vec<PodNode>, Failure> {
        let filter = doc! { "_id": { "$in": oids(nodes.iter().copied()) } };
        let fields = doc! { "name": 1, "grid_id": 1, "volume_drivers": 1 };
        let collection = self.database.collection::<Document>("host_nodes");
        let rows: Vec<Document> =
            collection.find(filter).projection(fields).max_time(limit).await?.try_collect().await?;
        let driver = |driver: &Document| Some((driver.text("name")?, driver.text("version")?));
        let node = |row: &Document| PodNode {
            name: row.text("name").unwrap_or_default(),
            grid: row.id("grid_id"),
            drivers: row.documents("volume_drivers").into_iter().filter_map(driver).collect(),
        };
        let found: HashMap<Id, PodNode> =
            rows.iter().filter_map(|row| Some((row.id("_id")?, node(row)))).collect();
        let found = nodes.iter().map(|id| found.get(id).cloned());
        let whole: Option<Vec<PodNode>> = found.collect();
        whole.ok_or_else(|| Failure::unknown("a node is gone"))
    }

    /// What the pods of these services of a grid are made of now.
    pub async fn sources(&self, grid: Id, services: &[Id], limit: Duration) -> Result<PodSources, Failure> {
        PodSources::parse(&self.gather(grid, services, limit).await?)
    }

    /// Freezes a service as it is now. Returns the id that instances are given.
    pub async fn freeze(&self, grid: Id, service: Id, limit: Duration) -> Result<Id, Failure> {
        let sources = self.gather(grid, &[service], limit).await?;
        PodSources::parse(&sources)?;
        let id = fresh();
        let row = doc! {
            "_id": id, "grid_service_id": oid(service), "created_at": mongodb::bson::DateTime::now(),
            "sources": sources,
        };
        self.database.collection::<Document>(FROZEN).insert_one(row).await?;
        Ok(Id::from_bytes(id.bytes()))
    }

    /// What was frozen under these ids.
    pub async fn frozen(&self, ids: &[Id], limit: Duration) -> Result<HashMap<Id, PodSources>, Failure> {
        let rows = self.all(FROZEN, &ids.iter().copied().collect(), limit).await?;
        let parse = |row: &Document| {
            let sources =
                row.get_document("sources").map_err(|_| Failure::unknown("a frozen pod is empty"))?;
            Ok((row.own_id()?, PodSources::parse(sources)?))
        };
        rows.iter().map(parse).collect()
    }

    /// Where the hooks of these services have run by now.
    pub async fn hooks_done(&self, services: BTreeSet<Id>, limit: Duration) -> Result<HooksDone, Failure> {
        let rows = self.all("grid_services", &services, limit).await?;
        let hooks = rows.iter().flat_map(|row| row.documents("hooks"));
        Ok(hooks.filter_map(|hook| Some((hook.id("_id")?, hook.texts("done")))).collect())
    }

    /// Removes what was frozen of a service before: all its instances are made of `frozen` now.
    pub async fn thaw(&self, service: Id, frozen: Id, limit: Duration) -> Result<(), Failure> {
        let older = doc! { "grid_service_id": oid(service), "_id": { "$ne": oid(frozen) } };
        let delete = doc! { "q": older, "limit": 0 };
        write(&self.database, doc! { "delete": FROZEN, "deletes": [delete] }, limit).await.map(drop)
    }

    async fn gather(&self, grid: Id, services: &[Id], limit: Duration) -> Result<Document, Failure> {
        let name = self.one("grids", grid, limit).await?.text_or_empty("name");
        let mut rows = self.services(services.iter().copied().collect(), limit).await?;
        let links: BTreeSet<Id> = rows
            .iter()
            .flat_map(|row| row.documents("grid_service_links"))
            .filter_map(|link| link.id("linked_grid_service_id"))
            .filter(|link| !services.contains(link))
            .collect();
        let linked = self.services(links, limit).await?;
        let ids = |rows: &[Document], pick: fn(&Document) -> Vec<Id>| {
            rows.iter().flat_map(pick).collect::<BTreeSet<Id>>()
        };
        let names = |key: &str, what: &str| -> Vec<String> {
            rows.iter().flat_map(|row| row.documents(key)).filter_map(|used| used.text(what)).collect()
        };
        let (secret_names, subjects) = (names("secrets", "secret"), names("certificates", "subject"));
        let volumes = ids(&rows, |row| {
            row.documents("service_volumes").into_iter().filter_map(|volume| volume.id("volume_id")).collect()
        });
        let networks = ids(&rows, |row| row.ids("network_ids"));
        // Of a service that is linked to only its name matters, and whether it is a load balancer.
        rows.extend(linked.into_iter().map(|row| {
            let kept = ["_id", "grid_id", "stack_id", "name", "image_name", "env"];
            row.into_iter().filter(|(key, _)| kept.contains(&key.as_str())).collect()
        }));
        let stacks = ids(&rows, |row| row.id("stack_id").into_iter().collect());
        let registries: BTreeSet<String> =
            rows.iter().filter_map(super::service).map(|service| service.registry().to_owned()).collect();
        let registries: Vec<String> = registries.into_iter().collect();
        let pending = pending(services);
        let in_grid = |key: &str, names: Vec<String>| doc! { "grid_id": oid(grid), key: { "$in": names } };
        let (stacks, volumes, networks, registries, secrets, certificates, authorizations) = futures_util::try_join!(
            self.stacks(&stacks, limit),
            self.all("volumes", &volumes, limit),
            self.all("networks", &networks, limit),
            self.find("registries", in_grid("name", registries), limit),
            self.used("grid_secrets", in_grid("name", secret_names.clone()), secret_names.is_empty(), limit),
            self.used("certificates", in_grid("subject", subjects.clone()), subjects.is_empty(), limit),
            self.find("grid_domain_authorizations", pending, limit),
        )?;
        Ok(doc! {
            "grid": name, "services": rows, "stacks": stacks, "volumes": volumes, "networks": networks,
            "registries": registries, "secrets": secrets, "certificates": certificates,
            "authorizations": authorizations,
        })
    }

    async fn used(
        &self,
        collection: &str,
        filter: Document,
        none: bool,
        limit: Duration,
    ) -> Result<Vec<Document>, Failure> {
        if none { Ok(Vec::new()) } else { self.find(collection, filter, limit).await }
    }

    async fn services(&self, wanted: BTreeSet<Id>, limit: Duration) -> Result<Vec<Document>, Failure> {
        let rows = self.all("grid_services", &wanted, limit).await?;
        if rows.len() == wanted.len() {
            Ok(rows)
        } else {
            Err(Failure::unknown("an instance or a link of a service that is not there"))
        }
    }

    /// Stacks by name, with what the newest revision of each exposes.
    async fn stacks(&self, stacks: &BTreeSet<Id>, limit: Duration) -> Result<Vec<Document>, Failure> {
        let rows = self.all("stacks", stacks, limit).await?;
        let named: BTreeSet<Id> = rows
            .iter()
            .filter(|row| row.text("name").as_deref() != Some("null"))
            .filter_map(|row| row.id("_id"))
            .collect();
        let mut newest: HashMap<Id, (i64, Option<String>)> = HashMap::new();
        if !named.is_empty() {
            let filter = doc! { "stack_id": { "$in": oids(named) } };
            for row in self.find("stack_revisions", filter, limit).await? {
                let (Some(stack), Some(revision)) = (row.id("stack_id"), integer(&row, "revision")) else {
                    continue;
                };
                if newest.get(&stack).is_none_or(|(known, _)| *known < revision) {
                    newest.insert(stack, (revision, row.text("expose")));
                }
            }
        }
        let stack = |row: &Document| {
            let id = row.id("_id")?;
            let expose = newest.get(&id).and_then(|(_, expose)| expose.clone());
            let expose = expose.map_or(Bson::Null, Bson::from);
            Some(doc! { "_id": oid(id), "name": row.text("name")?, "expose": expose })
        };
        Ok(rows.iter().filter_map(stack).collect())
    }

    async fn one(&self, collection: &str, id: Id, limit: Duration) -> Result<Document, Failure> {
        let mut rows = self.find(collection, doc! { "_id": oid(id) }, limit).await?;
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
        self.find(collection, doc! { "_id": { "$in": oids(ids.iter().copied()) } }, limit).await
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
