//! `grid_secrets`: the vault. Values come and go encrypted.

use kontena_core::id::Id;
use mongodb::bson::{Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, fresh, oid};
use crate::service_references::{Used, revising};
use crate::table::{Table, dated};
use crate::transaction::{Outcome, Write};

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

/// The collection. With a value, the services that use it get a new revision, or neither is written: whoever repeats
/// a write that got no answer finds nothing half done.
#[derive(Clone, Debug)]
pub struct GridSecrets {
    store: Store,
    secrets: Table,
}

impl Store {
    /// Secrets.
    #[must_use]
    pub fn grid_secrets(&self) -> GridSecrets {
        GridSecrets { store: self.clone(), secrets: Table::new(self.database(), SECRETS) }
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
        let id = fresh();
        let fields = doc! { "_id": id, "name": name, "encrypted_value": encrypted, "grid_id": oid(grid) };
        let writes = [Write::Insert { collection: SECRETS, fields }, revising(grid, Used::Secret, name)];
        self.store.transact(&writes).await?;
        let made = self.secrets.one(doc! { "_id": id }).await?;
        parse(&made.ok_or_else(|| Failure::unknown("the secret was removed as soon as it was made"))?)
    }

    /// Replaces a value, if it still is the one that was read. `None` if it is not.
    pub async fn update(
        &self,
        grid: Id,
        seen: &SecretRow,
        encrypted: &str,
    ) -> Result<Option<SecretRow>, Failure> {
        let change = Write::Change {
            collection: SECRETS,
            filter: doc! { "_id": oid(seen.id), "encrypted_value": &seen.value },
            change: dated(doc! { "$set": { "encrypted_value": encrypted } }),
        };
        match self.store.transact(&[change, revising(grid, Used::Secret, &seen.name)]).await? {
            Outcome::Unmatched => Ok(None),
            Outcome::Done => {
                self.secrets.one(doc! { "_id": oid(seen.id) }).await?.as_ref().map(parse).transpose()
            }
        }
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
