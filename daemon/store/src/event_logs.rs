//! `event_logs`: what happened, for the users of a grid. Capped: the oldest are forgotten.

use std::collections::HashMap;

use kontena_core::election::Term;
use kontena_core::id::Id;
use mongodb::bson::{Document, doc};
use serde_json::{Map, Value};

use crate::audit_logs::any_of;
use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, oid, whole};
use crate::log_page::{Page, first_id};
use crate::service_references::{ServiceReferences, named};
use crate::table::Table;

const EVENT_LOGS: &str = "event_logs";

/// Which events. Empty lists find nothing, `None` finds all.
#[derive(Clone, Debug)]
pub struct EventFilter {
    /// Of this grid.
    pub grid: Id,
    /// Of these nodes.
    pub nodes: Option<Vec<Id>>,
    /// Of these stacks.
    pub stacks: Option<Vec<Id>>,
    /// Of these services.
    pub services: Option<Vec<Id>>,
}

/// An event of a leader, to be written.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// What kind.
    pub kind: &'static str,
    /// 0 debug, 1 info, 2 warn, 3 error.
    pub severity: i32,
    /// In words.
    pub message: String,
    /// Of which grid.
    pub grid: Id,
    /// Of which service.
    pub service: Option<Id>,
    /// Under which term it was done.
    pub term: Term,
}

/// An event as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct EventRow {
    /// Its id, by which the next page is found.
    pub id: Id,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// 0 debug, 1 info, 2 warn, 3 error.
    pub severity: i64,
    /// What kind.
    pub kind: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// More about it.
    pub meta: Option<Map<String, Value>>,
    /// What it is about: path and kind.
    pub relationships: Vec<(String, &'static str)>,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct EventLogs {
    events: Table,
    grids: Table,
    nodes: Table,
    volumes: Table,
    references: ServiceReferences,
}

impl Store {
    /// Events.
    #[must_use]
    pub fn event_logs(&self) -> EventLogs {
        let table = |name| Table::new(self.database(), name);
        EventLogs {
            events: table(EVENT_LOGS),
            grids: table("grids"),
            nodes: table("host_nodes"),
            volumes: table("volumes"),
            references: self.service_references(),
        }
    }
}

impl EventLogs {
    /// Adds an event, which tells of something that was done: transactions cannot write to this collection.
    pub async fn add(&self, event: NewEvent) -> Result<(), Failure> {
        let NewEvent { kind, severity, message, grid, service, term } = event;
        let mut fields = doc! {
            "severity": severity, "type": kind, "msg": message, "grid_id": oid(grid),
            "term": i64::try_from(term.0).unwrap_or(i64::MAX),
        };
        if let Some(service) = service {
            fields.insert("grid_service_id", oid(service));
        }
        self.events.insert(fields).await?;
        Ok(())
    }

    /// A page of events, oldest first.
    pub async fn page(&self, filter: &EventFilter, page: Page, limit: i64) -> Result<Vec<EventRow>, Failure> {
        let EventFilter { grid, nodes, stacks, services } = filter;
        let mut query = doc! { "grid_id": oid(*grid) };
        for (key, ids) in [("host_node_id", nodes), ("stack_id", stacks), ("grid_service_id", services)] {
            if let Some(ids) = ids {
                query.insert(key, any_of(ids));
            }
        }
        let rows = page.read(&self.events, query, limit).await?;
        self.related(&rows).await
    }

    /// The newest events of all grids that are later than this, in milliseconds since 1970, and of at least this
    /// severity; the oldest first.
    pub async fn everywhere(&self, since: i64, severity: i64, limit: i64) -> Result<Vec<EventRow>, Failure> {
        let filter = doc! { "_id": { "$gt": oid(first_id(since)) }, "severity": { "$gte": whole(severity) } };
        let rows = self.events.newest(filter, limit).await?;
        self.related(&rows).await
    }

    /// The ids of a grid's nodes with these names.
    pub async fn nodes_named(&self, grid: Id, names: &[&str]) -> Result<Vec<Id>, Failure> {
        let filter = doc! { "grid_id": oid(grid), "name": { "$in": names } };
        let rows = self.nodes.all(filter, doc! {}).await?;
        Ok(rows.iter().filter_map(|row| row.id("_id")).collect())
    }

    async fn related(&self, rows: &[Document]) -> Result<Vec<EventRow>, Failure> {
        let distinct = |key: &str| -> Vec<Id> {
            let mut ids: Vec<Id> = rows.iter().filter_map(|row| row.id(key)).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let (grids, stacks, services, nodes, volumes) = futures_util::try_join!(
            named(&self.grids, distinct("grid_id")),
            self.references.stack_names(distinct("stack_id")),
            self.references.service_paths(distinct("grid_service_id")),
            named(&self.nodes, distinct("host_node_id")),
            named(&self.volumes, distinct("volume_id")),
        )?;
        let kinds: [(&str, &'static str, &HashMap<Id, String>); 4] = [
            ("stack_id", "stack", &stacks),
            ("grid_service_id", "service", &services),
            ("volume_id", "volume", &volumes),
            ("host_node_id", "node", &nodes),
        ];
        rows.iter()
            .map(|row| {
                let grid = row.id("grid_id").and_then(|id| grids.get(&id));
                let mut relationships = Vec::new();
                if let Some(grid) = grid {
                    relationships.push((grid.clone(), "grid"));
                    for (key, kind, names) in kinds {
                        if let Some(name) = row.id(key).and_then(|id| names.get(&id)) {
                            relationships.push((format!("{grid}/{name}"), kind));
                        }
                    }
                }
                Ok(EventRow {
                    id: row.own_id()?,
                    created_at: row.time("created_at").unwrap_or_default(),
                    severity: row.whole("severity").unwrap_or(1),
                    kind: row.text("type"),
                    message: row.text("msg"),
                    meta: row.get_document("meta").is_ok().then(|| row.object("meta")),
                    relationships,
                })
            })
            .collect()
    }
}
