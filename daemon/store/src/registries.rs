//! `registries`: credentials for image registries. Agents need the passwords, which are stored as they are.

use kontena_core::id::Id;
use kontena_core::input::NewRegistry;
use mongodb::bson::{Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, oid};
use crate::table::Table;

const REGISTRIES: &str = "registries";

/// A registry, without its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryRow {
    /// Host, with an unusual port.
    pub name: String,
    /// As given.
    pub url: String,
    /// Who logs in.
    pub username: String,
    /// What old registries ask for.
    pub email: Option<String>,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct Registries {
    registries: Table,
}

impl Store {
    /// External registries.
    #[must_use]
    pub fn registries(&self) -> Registries {
        Registries { registries: Table::new(self.database(), REGISTRIES) }
    }
}

impl Registries {
    /// All of a grid, the oldest first.
    pub async fn of_grid(&self, grid: Id) -> Result<Vec<RegistryRow>, Failure> {
        let rows = self.registries.all(doc! { "grid_id": oid(grid) }, doc! { "_id": 1 }).await?;
        Ok(rows.iter().map(parse).collect())
    }

    /// One by its name.
    pub async fn by_name(&self, grid: Id, name: &str) -> Result<Option<RegistryRow>, Failure> {
        Ok(self.registries.one(doc! { "grid_id": oid(grid), "name": name }).await?.as_ref().map(parse))
    }

    /// Keeps credentials; [`Failure::Duplicate`] if there are some for this registry.
    pub async fn create(&self, grid: Id, registry: &NewRegistry) -> Result<RegistryRow, Failure> {
        let NewRegistry { name, url, username, password, email } = registry;
        // In a database with old duplicates there is no index to refuse it.
        if self.by_name(grid, name).await?.is_some() {
            return Err(Failure::Duplicate);
        }
        let fields = doc! {
            "name": name,
            "url": url,
            "username": username,
            "password": password,
            "email": email,
            "grid_id": oid(grid),
        };
        Ok(parse(&self.registries.insert(fields).await?))
    }

    /// Forgets credentials. Whether there were any.
    pub async fn remove(&self, grid: Id, name: &str) -> Result<bool, Failure> {
        self.registries.remove(doc! { "grid_id": oid(grid), "name": name }).await
    }
}

fn parse(row: &Document) -> RegistryRow {
    RegistryRow {
        name: row.text_or_empty("name"),
        url: row.text_or_empty("url"),
        username: row.text_or_empty("username"),
        email: row.text("email"),
    }
}
