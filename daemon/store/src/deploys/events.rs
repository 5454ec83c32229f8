//! What happens to deploys, where the users of a grid read it.

use kontena_core::id::Id;
use mongodb::bson::{DateTime, Document, doc};

use super::Deploys;
use crate::command::{Failure, is_duplicate, write_each};
use crate::document::{fresh, oid};
use crate::table::LIMIT;

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployEvent {
    /// Its id: noting it twice is noting it once.
    pub id: Id,
    /// Whose users read it.
    pub grid: Id,
    /// Which service.
    pub service: Id,
    /// 1: for information, 2: a warning, 3: an error.
    pub severity: i32,
    /// What happened.
    pub message: String,
}

impl DeployEvent {
    /// One with a fresh id.
    #[must_use]
    pub fn new(grid: Id, service: Id, severity: i32, message: String) -> Self {
        Self { id: Id::from_bytes(fresh().bytes()), grid, service, severity, message }
    }
}

impl Deploys {
    /// Notes what happened.
    pub async fn note(&self, events: &[DeployEvent]) -> Result<(), Failure> {
        let row = |event: &DeployEvent| {
            let DeployEvent { id, grid, service, severity, message } = event;
            doc! {
                "_id": oid(*id), "grid_id": oid(*grid), "grid_service_id": oid(*service), "msg": message,
                "severity": *severity, "type": "service:deploy", "created_at": DateTime::now(),
            }
        };
        let rows: Vec<Document> = events.iter().map(row).collect();
        let insert = doc! { "insert": "event_logs", "documents": rows };
        let (_, faults) = write_each(self.store.database(), insert, LIMIT).await?;
        match faults.into_iter().find(|(_, code, _)| !is_duplicate(*code)) {
            Some((_, _, fault)) => Err(Failure::unknown(fault)),
            None => Ok(()),
        }
    }
}
