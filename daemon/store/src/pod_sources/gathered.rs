//! All that some services refer to, read at once and handed out as each of them needs it: many services that are
//! frozen together cost no more than one.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::id::Id;
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::command::{Failure, integer};
use crate::document::{Read, by_id, oid, oids};
use crate::pod_secrets::pending;

/// Of a service that is linked to only its name matters, and whether it is a load balancer.
const LINKED_FIELDS: [&str; 6] = ["_id", "grid_id", "stack_id", "name", "image_name", "env"];

/// What was read, of services of any grids, as it is stored.
pub(super) struct Gathered {
    grids: HashMap<Id, Document>,
    /// Those that were asked for, and those that they are linked to.
    services: HashMap<Id, Document>,
    /// With what the newest revision of each exposes.
    stacks: HashMap<Id, Document>,
    volumes: HashMap<Id, Document>,
    networks: HashMap<Id, Document>,
    registries: Vec<Document>,
    secrets: Vec<Document>,
    certificates: Vec<Document>,
    authorizations: Vec<Document>,
}

impl Gathered {
    /// Reads all that these services refer to.
    pub(super) async fn read(database: &Database, services: &[Id], limit: Duration) -> Result<Self, Failure> {
        let source = Source { database, limit };
        let asked: BTreeSet<Id> = services.iter().copied().collect();
        let mut rows = source.all("grid_services", &asked).await?;
        let links: BTreeSet<Id> = rows.iter().flat_map(links).filter(|link| !asked.contains(link)).collect();
        let linked = source.all("grid_services", &links).await?;
        let uses = rows.iter().map(Uses::of).fold(Uses::default(), Uses::and);
        rows.extend(linked);
        let grids: BTreeSet<Id> = rows.iter().filter_map(|row| row.id("grid_id")).collect();
        let stacks: BTreeSet<Id> = rows.iter().filter_map(|row| row.id("stack_id")).collect();
        let Uses { volumes, networks, registries, secrets, subjects } = &uses;
        let (grid_rows, stacks, volumes, networks, registries, secrets, certificates, authorizations) = futures_util::try_join!(
            source.all("grids", &grids),
            source.stacks(&stacks),
            source.all("volumes", volumes),
            source.all("networks", networks),
            source.named("registries", &grids, "name", registries),
            source.named("grid_secrets", &grids, "name", secrets),
            source.named("certificates", &grids, "subject", subjects),
            source.find("grid_domain_authorizations", pending(services)),
        )?;
        Ok(Self {
            grids: by_id(grid_rows),
            services: by_id(rows),
            stacks: by_id(stacks),
            volumes: by_id(volumes),
            networks: by_id(networks),
            registries,
            secrets,
            certificates,
            authorizations,
        })
    }

    /// What these services of a grid are made of. A service that is not there is an error; a link to one leads to no
    /// load balancer.
    pub(super) fn of(&self, grid: Id, services: &[Id]) -> Result<Document, Failure> {
        let missing = || Failure::unknown("an instance of a service that is not there, or is of no grid");
        let whole: Option<Vec<&Document>> = services.iter().map(|id| self.services.get(id)).collect();
        let whole = whole.ok_or_else(missing)?;
        let uses = whole.iter().map(|row| Uses::of(row)).fold(Uses::default(), Uses::and);
        let links: BTreeSet<Id> =
            whole.iter().flat_map(|row| links(row)).filter(|link| !services.contains(link)).collect();
        let mut rows: Vec<Document> = whole.into_iter().cloned().collect();
        for link in links {
            let Some(row) = self.services.get(&link) else { continue };
            let kept = row.iter().filter(|(key, _)| LINKED_FIELDS.contains(&key.as_str()));
            rows.push(kept.map(|(key, value)| (key.clone(), value.clone())).collect());
        }
        let stacks: BTreeSet<Id> = rows.iter().filter_map(|row| row.id("stack_id")).collect();
        let Uses { volumes, networks, registries, secrets, subjects } = uses;
        let named = |rows: &[Document], key: &str, names: &BTreeSet<String>| -> Vec<Document> {
            let is_meant = |row: &&Document| {
                row.id("grid_id") == Some(grid) && row.text(key).is_some_and(|name| names.contains(&name))
            };
            rows.iter().filter(is_meant).cloned().collect()
        };
        let own = |row: &&Document| row.id("grid_service_id").is_some_and(|id| services.contains(&id));
        let authorizations: Vec<Document> = self.authorizations.iter().filter(own).cloned().collect();
        Ok(doc! {
            "grid": self.grids.get(&grid).ok_or_else(missing)?.text_or_empty("name"),
            "services": rows,
            "stacks": some(&self.stacks, &stacks),
            "volumes": some(&self.volumes, &volumes),
            "networks": some(&self.networks, &networks),
            "registries": named(&self.registries, "name", &registries),
            "secrets": named(&self.secrets, "name", &secrets),
            "certificates": named(&self.certificates, "subject", &subjects),
            "authorizations": authorizations,
        })
    }
}

fn some(rows: &HashMap<Id, Document>, ids: &BTreeSet<Id>) -> Vec<Document> {
    ids.iter().filter_map(|id| rows.get(id)).cloned().collect()
}

fn links(row: &Document) -> Vec<Id> {
    let links = row.documents("grid_service_links").into_iter();
    links.filter_map(|link| link.id("linked_grid_service_id")).collect()
}

/// What services name, beside each other.
#[derive(Default)]
struct Uses {
    volumes: BTreeSet<Id>,
    networks: BTreeSet<Id>,
    registries: BTreeSet<String>,
    secrets: BTreeSet<String>,
    subjects: BTreeSet<String>,
}

impl Uses {
    fn of(row: &Document) -> Self {
        let names = |list: &str, key: &str| {
            row.documents(list).into_iter().filter_map(|used| used.text(key)).collect::<BTreeSet<String>>()
        };
        let volumes = row.documents("service_volumes").into_iter();
        Self {
            volumes: volumes.filter_map(|volume| volume.id("volume_id")).collect(),
            networks: row.ids("network_ids").into_iter().collect(),
            registries: super::service(row).iter().map(|service| service.registry().to_owned()).collect(),
            secrets: names("secrets", "secret"),
            subjects: names("certificates", "subject"),
        }
    }

    fn and(mut self, other: Self) -> Self {
        let Self { volumes, networks, registries, secrets, subjects } = other;
        self.volumes.extend(volumes);
        self.networks.extend(networks);
        self.registries.extend(registries);
        self.secrets.extend(secrets);
        self.subjects.extend(subjects);
        self
    }
}

/// Where it is read from. What nobody names is not asked for.
struct Source<'a> {
    database: &'a Database,
    limit: Duration,
}

impl Source<'_> {
    /// Stacks by name, with what the newest revision of each exposes.
    async fn stacks(&self, stacks: &BTreeSet<Id>) -> Result<Vec<Document>, Failure> {
        let rows = self.all("stacks", stacks).await?;
        let named: BTreeSet<Id> = rows
            .iter()
            .filter(|row| row.text("name").as_deref() != Some("null"))
            .filter_map(|row| row.id("_id"))
            .collect();
        let mut newest: HashMap<Id, (i64, Option<String>)> = HashMap::new();
        if !named.is_empty() {
            let filter = doc! { "stack_id": { "$in": oids(named) } };
            for row in self.find("stack_revisions", filter).await? {
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

    async fn named(
        &self,
        collection: &str,
        grids: &BTreeSet<Id>,
        key: &str,
        names: &BTreeSet<String>,
    ) -> Result<Vec<Document>, Failure> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let filter = doc! { "grid_id": { "$in": oids(grids.iter().copied()) }, key: { "$in": names } };
        self.find(collection, filter).await
    }

    async fn all(&self, collection: &str, ids: &BTreeSet<Id>) -> Result<Vec<Document>, Failure> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.find(collection, doc! { "_id": { "$in": oids(ids.iter().copied()) } }).await
    }

    async fn find(&self, collection: &str, filter: Document) -> Result<Vec<Document>, Failure> {
        let collection = self.database.collection(collection);
        Ok(collection.find(filter).max_time(self.limit).await?.try_collect().await?)
    }
}
