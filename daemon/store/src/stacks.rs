//! `stacks`, their `stack_revisions` and their `stack_deploys`.
//!
//! Beside the original's fields a stack has `edits`, which rises with each change of what it consists of, so that of two
//! changes at once one is made anew from what the other left; and `removal`, once it is to be removed. Its deploys have
//! `stack_revision`: those of an original master, which died with it, have none and are left alone.

mod change;
mod works;

use std::collections::HashMap;

use kontena_core::deploy::DeployState;
use kontena_core::id::Id;
use kontena_core::input::{StackDefinition, StackVolume};
use mongodb::bson::{Bson, Document, doc};
use serde_json::{Map, Value};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, object_from_json, object_to_json, oid, oids};
use crate::table::Table;

pub use change::{ChangedMember, NewMember};
pub use works::{NextDeploy, OpenStack, StackClaim, StackLook, StackMove};

pub(crate) const STACKS: &str = "stacks";
pub(crate) const REVISIONS: &str = "stack_revisions";
pub(crate) const DEPLOYS: &str = "stack_deploys";

/// A stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackRow {
    /// Its id.
    pub id: Id,
    /// Of which grid.
    pub grid: Id,
    /// Unique in the grid.
    pub name: String,
    /// The name of the stack that it belongs to.
    pub parent: Option<String>,
    /// What can be looked for.
    pub labels: Vec<String>,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Whether it is to be removed.
    pub removing: bool,
    /// Why its removal waits.
    pub blocked: Option<String>,
    edits: Option<i64>,
}

/// What a stack consists of, in one of its revisions.
#[derive(Clone, Debug, PartialEq)]
pub struct StackRevision {
    /// Counts from 1.
    pub revision: i64,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// The rest.
    pub definition: StackDefinition,
}

/// A deploy of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackRun {
    /// Its id.
    pub id: Id,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// How far it is.
    pub state: DeployState,
    /// What went wrong.
    pub reason: Option<String>,
}

/// The collections.
#[derive(Clone, Debug)]
pub struct Stacks {
    store: Store,
}

impl Store {
    /// Stacks.
    #[must_use]
    pub fn stacks(&self) -> Stacks {
        Stacks { store: self.clone() }
    }
}

impl Stacks {
    fn table(&self, name: &str) -> Table {
        Table::new(self.store.database(), name)
    }

    /// An id for a service that is yet to be made.
    #[must_use]
    pub fn fresh_id() -> Id {
        Id::from_bytes(crate::document::fresh().bytes())
    }

    /// All of a grid, the oldest first; the one of services without a stack among them.
    pub async fn of_grid(&self, grid: Id) -> Result<Vec<StackRow>, Failure> {
        let rows = self.table(STACKS).all(doc! { "grid_id": oid(grid) }, doc! { "_id": 1 }).await?;
        rows.iter().map(parse).collect()
    }

    /// One by its name.
    pub async fn named(&self, grid: Id, name: &str) -> Result<Option<StackRow>, Failure> {
        let filter = doc! { "grid_id": oid(grid), "name": name };
        self.table(STACKS).one(filter).await?.as_ref().map(parse).transpose()
    }

    /// Its parent if that exists, and those that it is the parent of; the oldest first.
    pub async fn family(&self, stack: &StackRow) -> Result<Vec<StackRow>, Failure> {
        let mut either = vec![doc! { "parent_name": &stack.name }];
        either.extend(stack.parent.as_ref().map(|parent| doc! { "name": parent }));
        let filter = doc! { "grid_id": oid(stack.grid), "$or": either };
        self.table(STACKS).all(filter, doc! { "_id": 1 }).await?.iter().map(parse).collect()
    }

    /// The latest revisions of these stacks.
    pub async fn latest(&self, stacks: &[Id]) -> Result<HashMap<Id, StackRevision>, Failure> {
        let revisions = self.table(REVISIONS);
        let pipeline = vec![
            doc! { "$match": { "stack_id": { "$in": oids(stacks.iter().copied()) } } },
            doc! { "$project": { "stack_id": 1, "revision": 1 } },
            doc! { "$sort": { "stack_id": 1, "revision": -1 } },
            doc! { "$group": { "_id": "$stack_id", "latest": { "$first": "$_id" } } },
        ];
        let ids: Vec<Id> =
            revisions.aggregate(pipeline).await?.iter().filter_map(|row| row.id("latest")).collect();
        if ids.is_empty() {
            return Ok(HashMap::new());
        }
        let rows = revisions.all(doc! { "_id": { "$in": oids(ids) } }, doc! {}).await?;
        Ok(rows.iter().filter_map(|row| Some((row.id("stack_id")?, revision(row)))).collect())
    }

    /// A deploy of a stack.
    pub async fn deploy(&self, stack: Id, deploy: Id) -> Result<Option<StackRun>, Failure> {
        let filter = doc! { "_id": oid(deploy), "stack_id": oid(stack) };
        let row = self.table(DEPLOYS).one(filter).await?;
        let parsed = |row: Document| {
            Ok(StackRun {
                id: row.own_id()?,
                created_at: row.time("created_at").unwrap_or_default(),
                state: DeployState::named(&row.text_or_empty("_deploy_state")),
                reason: row.text("reason"),
            })
        };
        row.map(parsed).transpose()
    }

    /// Notes what happens to a stack where the users of its grid read it.
    pub async fn tell(
        &self,
        stack: (Id, Id),
        kind: &str,
        severity: i32,
        message: &str,
    ) -> Result<(), Failure> {
        let (grid, stack) = stack;
        let event = doc! {
            "grid_id": oid(grid), "stack_id": oid(stack), "msg": message, "severity": severity, "type": kind,
            "created_at": mongodb::bson::DateTime::now(),
        };
        self.store.database().collection::<Document>("event_logs").insert_one(event).await?;
        Ok(())
    }
}

fn parse(row: &Document) -> Result<StackRow, Failure> {
    let removal = row.get_document("removal").ok();
    Ok(StackRow {
        id: row.own_id()?,
        grid: row.id("grid_id").ok_or_else(|| Failure::unknown("a stack of no grid"))?,
        name: row.text_or_empty("name"),
        parent: row.text("parent_name"),
        labels: row.texts("labels"),
        created_at: row.time("created_at").unwrap_or_default(),
        removing: removal.is_some(),
        blocked: removal.and_then(|removal| removal.text("blocked")),
        edits: row.whole("edits"),
    })
}

fn revision(row: &Document) -> StackRevision {
    let volume = |row: &&Document| {
        // As it was posted: what is no text names nothing.
        Some(StackVolume { name: row.text("name")?, external: row.text("external") })
    };
    StackRevision {
        revision: row.whole("revision").unwrap_or(1),
        created_at: row.time("created_at").unwrap_or_default(),
        definition: StackDefinition {
            stack: row.text_or_empty("stack_name"),
            version: row.text_or_empty("version"),
            source: row.text_or_empty("source"),
            services: row.documents("services").into_iter().map(object_to_json).collect(),
            expose: row.text("expose"),
            registry: row.text("registry"),
            variables: row.object("variables"),
            metadata: row.object("metadata"),
            volumes: row.documents("volumes").iter().filter_map(volume).collect(),
        },
    }
}

/// A revision as it is stored.
fn revision_document(stack: Id, name: &str, row: &StackRevision) -> Document {
    let StackRevision { revision, created_at: _, definition } = row;
    let StackDefinition {
        stack: stack_name,
        version,
        source,
        services,
        expose,
        registry,
        variables,
        metadata,
        volumes,
    } = definition;
    let volume = |StackVolume { name, external }: &StackVolume| {
        let mut row = doc! { "name": name };
        if let Some(external) = external {
            row.insert("external", external);
        }
        Bson::from(row)
    };
    let text = |text: &Option<String>| text.as_deref().map_or(Bson::Null, Bson::from);
    doc! {
        "variables": object_from_json(variables), "revision": crate::document::whole(*revision),
        "services": services.iter().map(object_from_json).map(Bson::from).collect::<Vec<Bson>>(),
        "volumes": volumes.iter().map(volume).collect::<Vec<Bson>>(), "metadata": object_from_json(metadata),
        "version": version, "source": source, "name": name, "expose": text(expose), "registry": text(registry),
        "stack_name": stack_name, "stack_id": oid(stack),
    }
}

/// Whether a definition says what another one does. Null is the same as nothing: the original stored some of what it
/// was sent without the nulls in it.
fn says_the_same(one: &StackDefinition, other: &StackDefinition) -> bool {
    let StackDefinition {
        stack,
        version,
        source,
        services,
        expose,
        registry,
        variables,
        metadata: _,
        volumes,
    } = one;
    let texts = (stack, version, source, expose, registry, volumes);
    let others =
        (&other.stack, &other.version, &other.source, &other.expose, &other.registry, &other.volumes);
    texts == others
        && bare_object(variables) == bare_object(&other.variables)
        && services.iter().map(bare_object).eq(other.services.iter().map(bare_object))
}

fn bare_object(object: &Map<String, Value>) -> Map<String, Value> {
    let mut bare: Vec<(String, Value)> = object
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.clone(), bare_value(value)))
        .collect();
    bare.sort_by(|(one, _), (other, _)| one.cmp(other));
    bare.into_iter().collect()
}

fn bare_value(value: &Value) -> Value {
    match value {
        Value::Object(object) => Value::Object(bare_object(object)),
        Value::Array(items) => Value::Array(items.iter().map(bare_value).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nulls_and_the_order_of_keys_make_no_difference() {
        let definition = |service: Value| StackDefinition {
            services: service.as_object().cloned().into_iter().collect(),
            ..StackDefinition::default()
        };
        let stored =
            definition(json!({ "name": "a", "env": null, "health_check": { "port": 80 }, "links": [] }));
        let sent =
            definition(json!({ "health_check": { "uri": null, "port": 80 }, "name": "a", "links": [] }));
        assert!(says_the_same(&stored, &sent));
        let other = definition(json!({ "name": "a", "health_check": { "port": 81 }, "links": [] }));
        assert!(!says_the_same(&stored, &other));
        let other = StackDefinition { expose: Some("a".to_owned()), ..sent.clone() };
        assert!(!says_the_same(&sent, &other));
    }

    #[test]
    fn a_revision_is_read_as_it_was_written() {
        let object = |value: Value| value.as_object().cloned().unwrap();
        let definition = StackDefinition {
            stack: "acme/shop".to_owned(),
            version: "1".to_owned(),
            source: "stack: acme/shop".to_owned(),
            services: vec![object(json!({ "name": "a", "instances": 2, "cpus": 0.5, "env": null }))],
            expose: Some("a".to_owned()),
            registry: None,
            variables: object(json!({ "a.b": 1, "$c": [true] })),
            metadata: object(json!({ "m": {} })),
            volumes: vec![
                StackVolume { name: "data".to_owned(), external: Some("shop-data".to_owned()) },
                StackVolume { name: "own".to_owned(), external: None },
            ],
        };
        let row = StackRevision { revision: 3, created_at: 0, definition };
        let id = Id::from_bytes([1; 12]);
        assert_eq!(revision(&revision_document(id, "shop", &row)), row);
    }
}
