//! `audit_logs`: who changed what.

use std::collections::{BTreeSet, HashMap};

use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, oid, oids};
use crate::service_references::named;
use crate::table::Table;

const AUDIT_LOGS: &str = "audit_logs";

/// An entry to be written.
#[derive(Clone, Debug, Default)]
pub struct AuditEntry {
    /// What was done.
    pub event_name: String,
    /// To what kind of thing.
    pub resource_type: String,
    /// To which.
    pub resource_id: String,
    /// How people know it.
    pub resource_name: Option<String>,
    /// The grid it is in.
    pub grid: Option<Id>,
    /// The service it belongs to.
    pub service: Option<Id>,
    /// Who: id and email.
    pub user: Option<(Id, String)>,
    /// From where.
    pub source_ip: String,
    /// With what.
    pub user_agent: Option<String>,
    /// The request's body; `None` if it holds a secret.
    pub request_body: Option<String>,
    /// In words.
    pub event_description: Option<String>,
}

/// An entry as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Milliseconds since 1970.
    pub time: i64,
    /// The grid's name, while it is there.
    pub grid: Option<String>,
    /// The grid.
    pub grid_id: Option<Id>,
    /// The service.
    pub service: Option<Id>,
    /// What kind of thing.
    pub resource_type: Option<String>,
    /// How people know it.
    pub resource_name: Option<String>,
    /// Which.
    pub resource_id: Option<String>,
    /// What was done.
    pub event_name: Option<String>,
    /// How it went.
    pub event_status: Option<String>,
    /// From where.
    pub source_ip: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
    /// Who.
    pub user_id: Option<Id>,
    /// Who.
    pub user_email: Option<String>,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct AuditLogs {
    entries: Table,
    grids: Table,
}

impl Store {
    /// The audit log.
    #[must_use]
    pub fn audit_logs(&self) -> AuditLogs {
        let table = |name| Table::new(self.database(), name);
        AuditLogs { entries: table(AUDIT_LOGS), grids: table("grids") }
    }
}

impl AuditLogs {
    /// Adds an entry.
    pub async fn add(&self, entry: AuditEntry) -> Result<(), Failure> {
        let AuditEntry {
            event_name,
            resource_type,
            resource_id,
            resource_name,
            grid,
            service,
            user,
            source_ip,
            user_agent,
            request_body,
            event_description,
        } = entry;
        let mut fields = doc! {
            "event_name": event_name,
            "event_status": "success",
            "resource_type": resource_type,
            "resource_id": resource_id,
            "source_ip": source_ip,
        };
        let mut optional = |key: &str, value: Option<Bson>| value.map(|value| fields.insert(key, value));
        optional("user_agent", user_agent.map(Bson::from));
        optional("event_description", event_description.map(Bson::from));
        optional("resource_name", Some(resource_name.map_or(Bson::Null, Bson::from)));
        optional("request_parameters", Some(doc! {}.into()));
        optional("request_body", request_body.map(Bson::from));
        optional(
            "user_identity",
            user.as_ref().map(|(id, email)| doc! { "id": oid(*id), "email": email }.into()),
        );
        optional("user_id", user.as_ref().map(|(id, _)| oid(*id).into()));
        optional("grid_id", grid.map(|grid| oid(grid).into()));
        optional("grid_service_id", service.map(|service| oid(service).into()));
        self.entries.insert(fields).await?;
        Ok(())
    }

    /// The newest entries, of one grid or of all, oldest first.
    pub async fn newest(&self, grid: Option<Id>, limit: i64) -> Result<Vec<AuditRow>, Failure> {
        let filter = grid.map_or_else(|| doc! {}, |grid| doc! { "grid_id": oid(grid) });
        let rows = self.entries.newest(filter, limit).await?;
        let ids: BTreeSet<Id> = rows.iter().filter_map(|row| row.id("grid_id")).collect();
        let grids = named(&self.grids, ids).await?;
        Ok(rows.iter().map(|row| parse(row, &grids)).collect())
    }
}

fn parse(row: &Document, grids: &HashMap<Id, String>) -> AuditRow {
    let user = row.get_document("user_identity").ok();
    let grid_id = row.id("grid_id");
    AuditRow {
        time: row.time("created_at").unwrap_or_default(),
        grid: grid_id.and_then(|id| grids.get(&id).cloned()),
        grid_id,
        service: row.id("grid_service_id"),
        resource_type: row.text("resource_type"),
        resource_name: row.text("resource_name"),
        resource_id: row.text("resource_id"),
        event_name: row.text("event_name"),
        event_status: row.text("event_status"),
        source_ip: row.text("source_ip"),
        user_agent: row.text("user_agent"),
        user_id: user.and_then(|user| user.id("id")),
        user_email: user.and_then(|user| user.text("email")),
    }
}

/// Ids as the logs' filters take them.
pub(crate) fn any_of(ids: &[Id]) -> Document {
    doc! { "$in": oids(ids.iter().copied()) }
}
