//! What a drained node does with services that cannot go elsewhere: it stops them, and starts them again later.

use kontena_core::id::Id;
use mongodb::bson::doc;

use super::HostNodes;
use crate::command::Failure;
use crate::document::{Read, oid, oids};
use crate::service_instances::INSTANCES;
use crate::table::Table;

impl HostNodes {
    /// Stops the instances of stateful services on a node, or starts those whose services run. Whether there were
    /// any.
    pub async fn hold_stateful(&self, node: Id, stop: bool) -> Result<bool, Failure> {
        let table = |name| Table::new(self.store.database(), name);
        let instances = table(INSTANCES);
        let on_node = instances.all(doc! { "host_node_id": oid(node) }, doc! {}).await?;
        let services = on_node.iter().filter_map(|row| row.id("grid_service_id"));
        let mut stateful = doc! { "_id": { "$in": oids(services) }, "stateful": true };
        if !stop {
            stateful.insert("state", "running");
        }
        let services = table("grid_services").all(stateful, doc! {}).await?;
        let services = oids(services.iter().filter_map(|row| row.id("_id")));
        if services.is_empty() {
            return Ok(false);
        }
        let held = doc! { "host_node_id": oid(node), "grid_service_id": { "$in": services } };
        let state = if stop { "stopped" } else { "running" };
        let changed = instances.change_all(held, doc! { "$set": { "desired_state": state } }).await?;
        Ok(changed > 0)
    }
}
