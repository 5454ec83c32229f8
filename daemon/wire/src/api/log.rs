//! Audit entries and events.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Several entries, oldest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Logs<T> {
    /// The entries.
    pub logs: Vec<T>,
}

/// Who changed what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    /// When.
    pub time: String,
    /// The grid's name.
    pub grid: Option<String>,
    /// The grid's object id.
    pub grid_id: Option<String>,
    /// The service's name, or nothing.
    pub service: String,
    /// What kind of thing.
    pub resource_type: Option<String>,
    /// How people know it.
    pub resource_name: Option<String>,
    /// Which.
    pub resource_id: Option<String>,
    /// What was done.
    pub event_name: Option<String>,
    /// `success`.
    pub event_status: Option<String>,
    /// From where.
    pub source_ip: Option<String>,
    /// With what.
    pub user_agent: Option<String>,
    /// Who.
    pub user_identity: AuditUser,
}

/// Who changed something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditUser {
    /// Object id.
    pub id: Option<String>,
    /// The name for the login.
    pub email: Option<String>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub created_at: String,
    /// 0 debug, 1 info, 2 warn, 3 error.
    pub severity: i64,
    /// What kind.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// In words.
    pub message: Option<String>,
    /// More about it.
    pub meta: Option<Map<String, Value>>,
    /// What it is about.
    pub relationships: Vec<Relationship>,
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relationship {
    /// The path.
    pub id: String,
    /// `grid`, `stack`, `service`, `volume` or `node`.
    #[serde(rename = "type")]
    pub kind: String,
}
