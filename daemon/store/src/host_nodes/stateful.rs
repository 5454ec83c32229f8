//! What a drained node does with services that cannot go elsewhere: it stops them, and starts them again later.

use kontena_core::id::Id;
use kontena_core::input::NodeChange;
use mongodb::bson::{Document, doc};

use super::{HOST_NODES, HostNodes};
use crate::command::Failure;
use crate::document::{Read, oid, oids};
use crate::service_instances::INSTANCES;
use crate::table::Table;
use crate::transaction::{Outcome, Write};

impl HostNodes {
    /// Changes a node whose availability becomes another, and with it the instances of stateful services on it: they
    /// stop while it is drained, and then those start whose services run. Whether there were any; `None` if the node
    /// is gone.
    pub async fn change_availability(
        &self,
        node: Id,
        change: &NodeChange,
        stop: bool,
    ) -> Result<Option<bool>, Failure> {
        let set: Document = super::details::changed_fields(change);
        let mut writes = vec![Write::Change {
            collection: HOST_NODES,
            filter: doc! { "_id": oid(node) },
            change: doc! { "$set": set, "$currentDate": { "updated_at": true } },
        }];
        let held = self.stateful(node, stop).await?;
        if !held.is_empty() {
            let state = if stop { "stopped" } else { "running" };
            writes.push(Write::ChangeAll {
                collection: INSTANCES,
                filter: doc! { "host_node_id": oid(node), "grid_service_id": { "$in": oids(held.clone()) } },
                change: doc! {
                    "$set": { "desired_state": state }, "$currentDate": { "updated_at": true },
                },
            });
        }
        Ok((self.store.transact(&writes).await? == Outcome::Done).then_some(!held.is_empty()))
    }

    /// The stateful services on a node that are to be stopped there, or to be started.
    async fn stateful(&self, node: Id, stop: bool) -> Result<Vec<Id>, Failure> {
        let table = |name| Table::new(self.store.database(), name);
        let on_node = table(INSTANCES).all(doc! { "host_node_id": oid(node) }, doc! {}).await?;
        let services = on_node.iter().filter_map(|row| row.id("grid_service_id"));
        let mut stateful = doc! { "_id": { "$in": oids(services) }, "stateful": true };
        if !stop {
            stateful.insert("state", "running");
        }
        let services = table("grid_services").all(stateful, doc! {}).await?;
        Ok(services.iter().filter_map(|row| row.id("_id")).collect())
    }
}
