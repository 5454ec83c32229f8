//! `grid_secrets`: the vault. Values come and go encrypted.

use kontena_core::id::Id;
use mongodb::bson::{Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, oid};
use crate::table::Table;

const SECRETS: &str = "grid_secrets";

/// A secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretRow {
    /// Its id.
    pub id: Id,
    /// Unique in its grid.
    pub name: String,
    /// Encrypted.
    pub value: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub updated_at: i64,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct GridSecrets {
    secrets: Table,
}

impl Store {
    /// Secrets.
    #[must_use]
    pub fn grid_secrets(&self) -> GridSecrets {
        GridSecrets { secrets: Table::new(self.database(), SECRETS) }
    }
}

impl GridSecrets {
    /// All of a grid, the oldest first.
    pub async fn of_grid(&self, grid: Id) -> Result<Vec<SecretRow>, Failure> {
        let rows = self.secrets.all(doc! { "grid_id": oid(grid) }, doc! { "_id": 1 }).await?;
        rows.iter().map(parse).collect()
    }

    /// One by its name.
    pub async fn by_name(&self, grid: Id, name: &str) -> Result<Option<SecretRow>, Failure> {
        let filter = doc! { "grid_id": oid(grid), "name": name };
        self.secrets.one(filter).await?.as_ref().map(parse).transpose()
    }

    /// Keeps a new secret; [`Failure::Duplicate`] if the name is taken.
    pub async fn create(&self, grid: Id, name: &str, encrypted: &str) -> Result<SecretRow, Failure> {
        // In a database with old duplicates there is no index to refuse it.
        if self.by_name(grid, name).await?.is_some() {
            return Err(Failure::Duplicate);
        }
        let fields = doc! { "name": name, "encrypted_value": encrypted, "grid_id": oid(grid) };
        parse(&self.secrets.insert(fields).await?)
    }

    /// Replaces a value, if it still is the one that was read. `None` if it is not.
    pub async fn update(&self, seen: &SecretRow, encrypted: &str) -> Result<Option<SecretRow>, Failure> {
        let filter = doc! { "_id": oid(seen.id), "encrypted_value": &seen.value };
        let change = doc! { "$set": { "encrypted_value": encrypted } };
        self.secrets.change(filter, change).await?.as_ref().map(parse).transpose()
    }

    /// Removes one. What it was.
    pub async fn remove(&self, grid: Id, name: &str) -> Result<Option<SecretRow>, Failure> {
        let filter = doc! { "grid_id": oid(grid), "name": name };
        self.secrets.take(filter).await?.as_ref().map(parse).transpose()
    }
}

fn parse(row: &Document) -> Result<SecretRow, Failure> {
    let created_at = row.time("created_at").unwrap_or_default();
    Ok(SecretRow {
        id: row.own_id()?,
        name: row.text_or_empty("name"),
        value: row.text_or_empty("encrypted_value"),
        created_at,
        updated_at: row.time("updated_at").unwrap_or(created_at),
    })
}
