//! The list of pods of a node. What is missing in it the agent destroys, so it is whole and certain or not given.

use kontena_core::id::Id;
use kontena_wire::rpc::{Fault, Value, map};

use super::{Agents, LIMIT};

/// All pods of a node.
pub(super) async fn list(agents: &Agents, node: Id) -> Result<Value, Fault> {
    let unavailable = |_| Fault::new(503, "the database does not answer");
    let rows = agents.0.pods.ask(node).await.map_err(unavailable)?;
    if !agents.0.store.service_instances().are_migrated(LIMIT).await.map_err(unavailable)? {
        return Err(Fault::new(500, "RuntimeError: Migration not done"));
    }
    if !rows.is_empty() {
        return Err(Fault::new(500, "RuntimeError: the services of this node cannot be told yet"));
    }
    Ok(map([("service_pods", Value::Array(Vec::new()))]))
}
