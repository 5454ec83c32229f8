//! `configurations`: what administrators set through the API. Secret values come and go encrypted.

use std::collections::BTreeMap;

use mongodb::bson::{Document, doc};
use serde_json::Value;

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, from_json, to_json};
use crate::effect::{Effect, Statement};
use crate::table::Table;
use crate::transaction::Write;

const CONFIGURATIONS: &str = "configurations";

/// The collection.
#[derive(Clone, Debug)]
pub struct Configurations {
    store: Store,
    configurations: Table,
}

impl Store {
    /// The configuration in the database.
    #[must_use]
    pub fn configurations(&self) -> Configurations {
        Configurations { store: self.clone(), configurations: Table::new(self.database(), CONFIGURATIONS) }
    }
}

impl Configurations {
    /// All values as stored.
    pub async fn all(&self) -> Result<BTreeMap<String, Value>, Failure> {
        let rows = self.configurations.all(doc! {}, doc! {}).await?;
        Ok(rows.iter().filter_map(|row| Some((row.text("key")?, value(row)?))).collect())
    }

    /// One value as stored.
    pub async fn get(&self, key: &str) -> Result<Option<Value>, Failure> {
        Ok(self.configurations.one(doc! { "key": key }).await?.as_ref().and_then(value))
    }

    /// Sets values, and removes those that are null, all together.
    pub async fn set(&self, values: &BTreeMap<String, Value>) -> Result<(), Failure> {
        // A document is made before it is changed: two masters that make the same one at once meet in the index.
        for (key, value) in values.iter().filter(|(_, value)| !value.is_null()) {
            let unset = doc! { "$setOnInsert": { "key": key, "value": { "v": from_json(value) } } };
            match self.configurations.put(doc! { "key": key }, unset).await {
                Ok(()) | Err(Failure::Duplicate) => {}
                Err(failure) => return Err(failure),
            }
        }
        let write = |(key, value): (&String, &Value)| {
            let (collection, filter) = (CONFIGURATIONS, doc! { "key": key });
            if value.is_null() {
                Write::RemoveAll { collection, filter }
            } else {
                let change = doc! { "$set": { "value": { "v": from_json(value) } } };
                Write::ChangeAll { collection, filter, change }
            }
        };
        let writes: Vec<Write> = values.iter().map(write).collect();
        self.store.transact(&writes).await?;
        Ok(())
    }

    /// Sets a value where there is none.
    #[must_use]
    pub fn seed(key: &str, value: &Value) -> Effect {
        // What is there already wins over the default.
        let missing = doc! { "$literal": { "value": { "v": from_json(value) } } };
        let pipeline = vec![doc! { "$replaceWith": { "$mergeObjects": [missing, "$$ROOT"] } }];
        Effect {
            collection: CONFIGURATIONS,
            statement: Statement::Compute { filter: doc! { "key": key }, pipeline },
        }
    }
}

fn value(row: &Document) -> Option<Value> {
    Some(to_json(row.get_document("value").ok()?.get("v")?))
}
