//! Gathers what pods are made of, as it is now or as it was frozen: `frozen_pods {_id, grid_service_id, sources}`.
//!
//! A deploy freezes its service with all that it refers to, so that an edit reaches agents with the next deploy and
//! every master tells them the same. Secrets stay encrypted.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::id::Id;
use mongodb::Database;
use mongodb::bson::{Document, doc};

use super::PodSources;
use super::gathered::Gathered;
use crate::command::{Failure, write};
use crate::document::{Read, fresh, oid, oids};

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

    /// Nodes, in the order asked for; `None` for those that are gone.
    pub async fn nodes(&self, nodes: &[Id], limit: Duration) -> Result<Vec<Option<PodNode>>, Failure> {
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
        Ok(nodes.iter().map(|id| found.get(id).cloned()).collect())
    }

    /// What the pods of these services of a grid are made of now.
    pub async fn sources(&self, grid: Id, services: &[Id], limit: Duration) -> Result<PodSources, Failure> {
        PodSources::parse(&Gathered::read(&self.database, services, limit).await?.of(grid, services)?)
    }

    /// Freezes services, each with its grid, as they are now. Returns for each, in their order, the id that its
    /// instances are given, or why it cannot be deployed as it is.
    pub async fn freeze(
        &self,
        services: &[(Id, Id)],
        limit: Duration,
    ) -> Result<Vec<Result<Id, Failure>>, Failure> {
        let ids: Vec<Id> = services.iter().map(|(_, service)| *service).collect();
        let gathered = Gathered::read(&self.database, &ids, limit).await?;
        let mut rows = Vec::new();
        let mut freeze = |(grid, service): &(Id, Id)| {
            let sources = gathered.of(*grid, &[*service])?;
            PodSources::parse(&sources)?;
            let id = fresh();
            rows.push(doc! {
                "_id": id, "grid_service_id": oid(*service), "created_at": mongodb::bson::DateTime::now(),
                "sources": sources,
            });
            Ok(Id::from_bytes(id.bytes()))
        };
        let frozen: Vec<Result<Id, Failure>> = services.iter().map(&mut freeze).collect();
        if !rows.is_empty() {
            self.database.collection::<Document>(FROZEN).insert_many(rows).await?;
        }
        Ok(frozen)
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

    /// Removes what was frozen and given to no instance.
    pub async fn discard(&self, frozen: Id, limit: Duration) -> Result<(), Failure> {
        let delete = doc! { "q": { "_id": oid(frozen) }, "limit": 1 };
        write(&self.database, doc! { "delete": FROZEN, "deletes": [delete] }, limit).await.map(drop)
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
