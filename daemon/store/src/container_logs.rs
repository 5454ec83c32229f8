//! `container_logs`: what containers wrote. Capped: the oldest lines are forgotten.

use std::collections::HashMap;

use kontena_core::id::Id;
use mongodb::bson::{Document, doc};

use crate::audit_logs::any_of;
use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, oid};
use crate::log_page::Page;
use crate::service_references::{ServiceReferences, named};
use crate::table::Table;

pub(crate) const CONTAINER_LOGS: &str = "container_logs";

/// Which lines. Empty lists find nothing, `None` finds all.
#[derive(Clone, Debug, Default)]
pub struct LineFilter {
    /// Of this grid.
    pub grid: Option<Id>,
    /// Of these nodes.
    pub nodes: Option<Vec<Id>>,
    /// Of these services.
    pub services: Option<Vec<Id>>,
    /// Of containers with these names.
    pub names: Option<Vec<String>>,
    /// Of this container alone.
    pub container: Option<Id>,
    /// Of the instances with this number.
    pub instance: Option<i64>,
}

/// A line as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineRow {
    /// Its id, by which the next page is found.
    pub id: Id,
    /// Of the container.
    pub name: String,
    /// The database's id of the container.
    pub container: Option<Id>,
    /// Of the container's grid, stack and service, if it belongs to a service.
    pub service: Option<ServicePlace>,
    /// The node's name.
    pub node: Option<String>,
    /// Milliseconds since 1970, by the agent's clock.
    pub created_at: i64,
    /// stdout or stderr.
    pub stream: Option<String>,
    /// What was written.
    pub data: String,
}

/// The names above and of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePlace {
    /// Of the grid.
    pub grid: String,
    /// Of the stack.
    pub stack: String,
    /// Of the service.
    pub service: String,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct ContainerLogs {
    lines: Table,
    grids: Table,
    nodes: Table,
    references: ServiceReferences,
}

impl Store {
    /// What containers wrote.
    #[must_use]
    pub fn container_logs(&self) -> ContainerLogs {
        let table = |name| Table::new(self.database(), name);
        ContainerLogs {
            lines: table(CONTAINER_LOGS),
            grids: table("grids"),
            nodes: table("host_nodes"),
            references: self.service_references(),
        }
    }
}

impl ContainerLogs {
    /// A page of lines, oldest first.
    pub async fn page(&self, filter: &LineFilter, page: Page, limit: i64) -> Result<Vec<LineRow>, Failure> {
        let LineFilter { grid, nodes, services, names, container, instance } = filter;
        let mut query = doc! {};
        if let Some(grid) = grid {
            query.insert("grid_id", oid(*grid));
        }
        for (key, ids) in [("host_node_id", nodes), ("grid_service_id", services)] {
            if let Some(ids) = ids {
                query.insert(key, any_of(ids));
            }
        }
        if let Some(names) = names {
            query.insert("name", doc! { "$in": names });
        }
        if let Some(container) = container {
            query.insert("container_id", oid(*container));
        }
        if let Some(instance) = instance {
            query.insert("instance_number", *instance);
        }
        let rows = page.read(&self.lines, query, limit).await?;
        self.placed(&rows).await
    }

    async fn placed(&self, rows: &[Document]) -> Result<Vec<LineRow>, Failure> {
        let distinct = |key: &str| -> Vec<Id> {
            let mut ids: Vec<Id> = rows.iter().filter_map(|row| row.id(key)).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let (grids, services, nodes) = futures_util::try_join!(
            named(&self.grids, distinct("grid_id")),
            self.references.service_paths(distinct("grid_service_id")),
            named(&self.nodes, distinct("host_node_id")),
        )?;
        rows.iter().map(|row| parse(row, &grids, &services, &nodes)).collect()
    }
}

fn parse(
    row: &Document,
    grids: &HashMap<Id, String>,
    services: &HashMap<Id, String>,
    nodes: &HashMap<Id, String>,
) -> Result<LineRow, Failure> {
    let service = row.id("grid_service_id").and_then(|id| {
        let (stack, service) = services.get(&id)?.split_once('/')?;
        let grid = grids.get(&row.id("grid_id")?)?.clone();
        Some(ServicePlace { grid, stack: stack.to_owned(), service: service.to_owned() })
    });
    Ok(LineRow {
        id: row.own_id()?,
        name: row.text_or_empty("name"),
        container: row.id("container_id"),
        service,
        node: row.id("host_node_id").and_then(|id| nodes.get(&id).cloned()),
        created_at: row.time("created_at").unwrap_or_default(),
        stream: row.text("type"),
        data: row.text_or_empty("data"),
    })
}
