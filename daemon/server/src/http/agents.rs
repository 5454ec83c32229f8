//! The agents of all masters, and whether one can be reached through this master, wherever its session is.

use std::collections::HashMap;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kontena_core::clock::Clock;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::NodeSummary;
use kontena_wire::agent::outbound;
use kontena_wire::agents::{Agent, AgentList};
use kontena_wire::cluster::AgentPing;

use super::cluster::rfc3339;
use super::{Api, refusal};
use crate::agents::CallError;
use crate::clock::SystemClock;

/// For finding the node.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// For the list of all nodes.
const LIST_LIMIT: Duration = Duration::from_secs(5);
/// How many nodes are listed at most.
const LISTED: i64 = 100_000;

/// Every agent that the masters know.
pub(super) async fn list(State(api): State<Api>) -> Response {
    let nodes =
        match tokio::time::timeout(LIST_LIMIT, api.resources.store.host_nodes().overview(LISTED, LIST_LIMIT))
            .await
        {
            Ok(Ok(nodes)) => nodes,
            Ok(Err(failure)) => return refusal(StatusCode::SERVICE_UNAVAILABLE, failure.to_string()),
            Err(_) => return refusal(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer"),
        };
    let names: HashMap<HolderId, String> =
        api.picture.borrow().rows.iter().map(|row| (row.id, row.name.clone())).collect();
    let agents = nodes.into_iter().map(|node| agent(node, &names)).collect();
    Json(AgentList { agents }).into_response()
}

fn agent(node: NodeSummary, masters: &HashMap<HolderId, String>) -> Agent {
    let NodeSummary { id, name, grid, connected, master, agent_version, connected_at, disconnected_at } =
        node;
    let since = if connected { connected_at } else { disconnected_at.or(connected_at) };
    Agent {
        id: id.to_string(),
        name,
        grid: grid.unwrap_or_default(),
        connected,
        master: master.map(|id| masters.get(&id).cloned().unwrap_or_else(|| id.to_string())),
        version: agent_version,
        since: since.map(rfc3339),
        rtt_ms: None,
    }
}

/// Calls the agent of a node, given by its document's id or its engine's, and waits for its answer.
pub(super) async fn ping(State(api): State<Api>, Path(node): Path<String>) -> Response {
    let found = match node.parse::<Id>() {
        Ok(id) => Some(id),
        Err(_) => match api.resources.store.host_nodes().known(&[node.as_str()], &[], READ_LIMIT).await {
            Ok(rows) => rows.first().map(|(row, _)| row.known.id),
            Err(failure) => return refusal(StatusCode::SERVICE_UNAVAILABLE, failure.to_string()),
        },
    };
    let Some(id) = found else { return refusal(StatusCode::NOT_FOUND, "there is no such node") };
    let asked_at = SystemClock.now().monotonic;
    let outcome = api.agents.request(id, outbound::etcd_health()).await;
    let took = SystemClock.now().monotonic.saturating_sub(asked_at);
    match outcome {
        // That it fails is an answer too: the agent is there.
        Ok(_) | Err(CallError::Fault(_)) => {
            let round_trip_ms = (took.as_secs_f64() * 1e6).round() / 1e3;
            Json(AgentPing { node: id.to_string(), round_trip_ms }).into_response()
        }
        Err(error @ CallError::UnknownNode) => refusal(StatusCode::NOT_FOUND, error.to_string()),
        Err(error @ CallError::NotConnected(_)) => refusal(StatusCode::CONFLICT, error.to_string()),
        Err(error @ (CallError::Late(_) | CallError::Lost)) => {
            refusal(StatusCode::GATEWAY_TIMEOUT, error.to_string())
        }
        Err(error @ CallError::Unavailable(_)) => refusal(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
    }
}
