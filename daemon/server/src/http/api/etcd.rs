//! The etcd of a grid, through the agent of whichever of its nodes is connected.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use kontena_store::GridRow;
use kontena_wire::agent::outbound::{self, Outbound};
use kontena_wire::rpc::json;
use serde::Deserialize;
use serde_json::Value;

use super::answer::ok;
use super::caller::Caller;
use super::refused::{Refused, Reply};
use super::submitted::{At, Query, Submitted};
use crate::agents::CallError;
use crate::http::Api;

/// For the question which nodes are connected.
const LIMIT: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
pub(super) struct Key {
    grid: String,
    key: String,
}

impl Key {
    /// Agents want the key from its root on.
    fn path(&self) -> String {
        if self.key.starts_with('/') { self.key.clone() } else { format!("/{}", self.key) }
    }
}

pub(super) async fn get(State(api): State<Api>, caller: Caller, At(at): At<Key>, query: Query) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    relay(&api, &grid, outbound::etcd_get(&at.path(), query.text("recursive").is_some())).await
}

pub(super) async fn set(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<Key>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let call = match submitted.fields.get("value") {
        None | Some(Value::Null | Value::Bool(false)) => outbound::etcd_make_directory(&at.path()),
        Some(Value::String(value)) => outbound::etcd_set(&at.path(), value),
        Some(Value::Array(_) | Value::Object(_)) => {
            return Err(Refused::field("value", "Value isn't a string"));
        }
        Some(other) => outbound::etcd_set(&at.path(), &other.to_string()),
    };
    relay(&api, &grid, call).await
}

pub(super) async fn delete(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<Key>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let recursive = matches!(submitted.fields.get("recursive"), Some(value) if !matches!(value, Value::Null | Value::Bool(false)));
    relay(&api, &grid, outbound::etcd_delete(&at.path(), recursive)).await
}

/// Asks the first connected node; one whose session has just ended is passed over, since it got nothing.
async fn relay(api: &Api, grid: &GridRow, call: Outbound) -> Result<Response, Refused> {
    for (node, _) in api.resources.store.host_nodes().connected_in(grid.id, LIMIT).await? {
        match api.agents.request(node, call.clone()).await {
            Err(CallError::NotConnected(_) | CallError::UnknownNode) => {}
            outcome => return Ok(ok(json(&outcome?))),
        }
    }
    Err(Refused::Missing("Not connected to any nodes".to_owned()))
}
