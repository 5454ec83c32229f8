//! Which services use a secret, a volume or a certificate, by their paths.

use std::collections::HashMap;

use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, oid, oids};
use crate::grid_services::SERVICES;
use crate::table::{Table, dated};
use crate::transaction::Write;

/// A service that uses something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceReference {
    /// Its id.
    pub id: Id,
    /// `stack/service`.
    pub path: String,
    /// Its name.
    pub name: String,
    /// The names or ids of what it uses.
    pub uses: Vec<String>,
}

/// What can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Used {
    /// By name.
    Secret,
    /// By id.
    Volume,
    /// By subject.
    Certificate,
}

impl Used {
    fn list(self) -> &'static str {
        match self {
            Self::Secret => "secrets",
            Self::Volume => "service_volumes",
            Self::Certificate => "certificates",
        }
    }

    fn field(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::Volume => "volume_id",
            Self::Certificate => "subject",
        }
    }
}

/// Services and stacks, seen from what they use.
#[derive(Clone, Debug)]
pub struct ServiceReferences {
    services: Table,
    stacks: Table,
}

impl Store {
    /// Which services use what.
    #[must_use]
    pub fn service_references(&self) -> ServiceReferences {
        let table = |name| Table::new(self.database(), name);
        ServiceReferences { services: table(SERVICES), stacks: table("stacks") }
    }
}

impl ServiceReferences {
    /// The services of a grid that use anything of a kind, or one thing of it; the oldest first.
    pub async fn of(
        &self,
        grid: Id,
        kind: Used,
        one: Option<&str>,
    ) -> Result<Vec<ServiceReference>, Failure> {
        let rows = self.services.all(filter(grid, kind, one), doc! { "_id": 1 }).await?;
        let stacks = self.stack_names(rows.iter().filter_map(|row| row.id("stack_id"))).await?;
        rows.iter().map(|row| parse(row, kind, &stacks)).collect()
    }

    /// Gives the services that use one thing a new revision, since it changed.
    pub async fn revise(&self, grid: Id, kind: Used, one: &str) -> Result<u64, Failure> {
        self.services.change_all(filter(grid, kind, Some(one)), revised()).await
    }

    /// The names of stacks.
    pub async fn stack_names(
        &self,
        ids: impl IntoIterator<Item = Id>,
    ) -> Result<HashMap<Id, String>, Failure> {
        named(&self.stacks, ids).await
    }

    /// The stack and name of services.
    pub async fn service_paths(
        &self,
        ids: impl IntoIterator<Item = Id>,
    ) -> Result<HashMap<Id, String>, Failure> {
        let ids = oids(ids);
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = self.services.all(doc! { "_id": { "$in": ids } }, doc! {}).await?;
        let stacks = self.stack_names(rows.iter().filter_map(|row| row.id("stack_id"))).await?;
        let path = |row: &Document| Some((row.id("_id")?, path(row, &stacks)));
        Ok(rows.iter().filter_map(path).collect())
    }

    /// The ids of a grid's stacks with these names.
    pub async fn stacks_named(&self, grid: Id, names: &[&str]) -> Result<HashMap<String, Id>, Failure> {
        let filter = doc! { "grid_id": oid(grid), "name": { "$in": names } };
        let rows = self.stacks.all(filter, doc! {}).await?;
        Ok(rows.iter().filter_map(|row| Some((row.text("name")?, row.id("_id")?))).collect())
    }

    /// The ids of a grid's services with these paths, `stack/service` or, in the stack `null`, `service`.
    pub async fn services_at(&self, grid: Id, paths: &[&str]) -> Result<Vec<Id>, Failure> {
        let split = |path: &&str| match path.split_once('/') {
            Some((stack, name)) => (stack.to_owned(), name.to_owned()),
            None => ("null".to_owned(), (*path).to_owned()),
        };
        let wanted: Vec<(String, String)> = paths.iter().map(split).collect();
        let names: Vec<&str> = wanted.iter().map(|(stack, _)| stack.as_str()).collect();
        let stacks = self.stacks_named(grid, &names).await?;
        let either: Vec<Document> = wanted
            .iter()
            .filter_map(|(stack, name)| Some(doc! { "stack_id": oid(*stacks.get(stack)?), "name": name }))
            .collect();
        if either.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self.services.all(doc! { "grid_id": oid(grid), "$or": either }, doc! {}).await?;
        Ok(rows.iter().filter_map(|row| row.id("_id")).collect())
    }

    /// The same, but a `service` alone is found in all stacks.
    pub async fn services_in_any_stack(&self, grid: Id, paths: &[&str]) -> Result<Vec<Id>, Failure> {
        let (paths, names): (Vec<&str>, Vec<&str>) = paths.iter().partition(|path| path.contains('/'));
        let mut found = self.services_at(grid, &paths).await?;
        if !names.is_empty() {
            let filter = doc! { "grid_id": oid(grid), "name": { "$in": names } };
            let rows = self.services.all(filter, doc! {}).await?;
            found.extend(rows.iter().filter_map(|row| row.id("_id")));
        }
        Ok(found)
    }
}

pub(crate) async fn named(
    table: &Table,
    ids: impl IntoIterator<Item = Id>,
) -> Result<HashMap<Id, String>, Failure> {
    let ids = oids(ids);
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = table.all(doc! { "_id": { "$in": ids } }, doc! {}).await?;
    Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, row.text("name")?))).collect())
}

/// The same as [`ServiceReferences::revise`], together with what changed.
pub(crate) fn revising(grid: Id, kind: Used, one: &str) -> Write {
    Write::ChangeAll { collection: SERVICES, filter: filter(grid, kind, Some(one)), change: dated(revised()) }
}

fn revised() -> Document {
    doc! { "$inc": { "revision": 1 } }
}

fn filter(grid: Id, kind: Used, one: Option<&str>) -> Document {
    let key = format!("{}.{}", kind.list(), kind.field());
    let wanted: Bson = match (one, kind) {
        (None, _) => doc! { "$exists": true }.into(),
        (Some(one), Used::Volume) => one.parse::<Id>().map_or(Bson::Null, |id| oid(id).into()),
        (Some(one), Used::Secret | Used::Certificate) => one.into(),
    };
    doc! { "grid_id": oid(grid), key: wanted }
}

fn path(row: &Document, stacks: &HashMap<Id, String>) -> String {
    let stack = row.id("stack_id").and_then(|id| stacks.get(&id)).map_or("null", String::as_str);
    format!("{stack}/{}", row.text_or_empty("name"))
}

fn parse(row: &Document, kind: Used, stacks: &HashMap<Id, String>) -> Result<ServiceReference, Failure> {
    let used = |item: &&Document| match kind {
        Used::Volume => item.id(kind.field()).map(|id| id.to_string()),
        Used::Secret | Used::Certificate => item.text(kind.field()),
    };
    Ok(ServiceReference {
        id: row.own_id()?,
        path: path(row, stacks),
        name: row.text_or_empty("name"),
        uses: row.documents(kind.list()).iter().filter_map(used).collect(),
    })
}
