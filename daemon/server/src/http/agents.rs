//! Whether an agent can be reached through this master, wherever its session is.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kontena_core::clock::Clock;
use kontena_core::id::Id;
use kontena_wire::agent::outbound;
use kontena_wire::cluster::AgentPing;

use super::{Api, refusal};
use crate::agents::CallError;
use crate::clock::SystemClock;

/// For finding the node.
const READ_LIMIT: Duration = Duration::from_secs(2);

/// Calls the agent of a node, given by its document's id or its engine's, and waits for its answer.
pub(super) async fn ping(State(api): State<Api>, Path(node): Path<String>) -> Response {
    let found = match node.parse::<Id>() {
        Ok(id) => Some(id),
        Err(_) => match api.nodes.known(&[node.as_str()], &[], READ_LIMIT).await {
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
