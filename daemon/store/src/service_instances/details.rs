//! Instances as the API shows them.

use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};

use super::{INSTANCES, ServiceInstances};
use crate::command::Failure;
use crate::document::{Read, oid, oids};
use crate::table::Table;

/// An instance with what was reported of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "fields of the document, described where they are sent")]
pub struct InstanceDetails {
    pub id: Id,
    pub service: Id,
    pub created_at: i64,
    pub updated_at: i64,
    pub number: i64,
    pub node: Option<Id>,
    pub desired_state: String,
    pub state: String,
    pub deploy_rev: Option<String>,
    pub rev: Option<String>,
    pub error: Option<String>,
}

impl ServiceInstances {
    fn rows(&self) -> Table {
        Table::new(&self.database, INSTANCES)
    }

    /// All of these services, by number.
    pub async fn of_services(&self, services: &[Id]) -> Result<Vec<InstanceDetails>, Failure> {
        let filter = doc! { "grid_service_id": { "$in": oids(services.iter().copied()) } };
        let rows = self.rows().all(filter, doc! { "instance_number": 1, "_id": 1 }).await?;
        rows.iter().map(parse).collect()
    }

    /// All on this node.
    pub async fn on_node(&self, node: Id) -> Result<Vec<InstanceDetails>, Failure> {
        let rows = self.rows().all(doc! { "host_node_id": oid(node) }, doc! { "_id": 1 }).await?;
        rows.iter().map(parse).collect()
    }

    /// One of a service.
    pub async fn by_id(&self, service: Id, instance: Id) -> Result<Option<InstanceDetails>, Failure> {
        let filter = doc! { "_id": oid(instance), "grid_service_id": oid(service) };
        self.rows().one(filter).await?.as_ref().map(parse).transpose()
    }

    /// Takes its node from an instance, so that it is placed anew. The node that it had.
    pub async fn unschedule(&self, service: Id, instance: Id) -> Result<Option<Option<Id>>, Failure> {
        let Some(row) = self.by_id(service, instance).await? else { return Ok(None) };
        let change = doc! { "$set": { "host_node_id": Bson::Null } };
        Ok(self.rows().change(doc! { "_id": oid(instance) }, change).await?.map(|_| row.node))
    }
}

fn parse(row: &Document) -> Result<InstanceDetails, Failure> {
    let created_at = row.time("created_at").unwrap_or_default();
    Ok(InstanceDetails {
        id: row.own_id()?,
        service: row.id("grid_service_id").ok_or_else(|| Failure::unknown("an instance of no service"))?,
        created_at,
        updated_at: row.time("updated_at").unwrap_or(created_at),
        number: row.whole("instance_number").unwrap_or_default(),
        node: row.id("host_node_id"),
        desired_state: row.text("desired_state").unwrap_or_else(|| "initialized".to_owned()),
        state: row.text("state").unwrap_or_else(|| "initialized".to_owned()),
        deploy_rev: row.text("deploy_rev"),
        rev: row.text("rev"),
        error: row.text("error"),
    })
}
