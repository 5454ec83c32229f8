//! Taking a master out of service: it gives up the lease, is not ready any more, and sends its agents away. It
//! stays so until its process is restarted.

use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kontena_core::clock::Clock;
use kontena_core::election::HolderId;
use kontena_wire::cluster::Drain;

use super::access::Administrator;
use super::{Api, refusal};
use crate::clock::SystemClock;
use crate::events;

/// How long the database may take.
const LIMIT: Duration = Duration::from_secs(2);

pub(super) async fn drain(
    State(api): State<Api>,
    administrator: Administrator,
    Path(id): Path<String>,
    body: Option<Json<Drain>>,
) -> Response {
    let Json(Drain { force }) = body.unwrap_or_default();
    let Ok(id) = id.parse::<HolderId>() else {
        return refusal(StatusCode::NOT_FOUND, "this is no id of a master: see GET /v1/cluster");
    };
    let others = api.picture.borrow().successors(SystemClock.now().monotonic, id).count();
    if !force && others == 0 {
        return refusal(
            StatusCode::CONFLICT,
            "no other master could take over: start one, or drain with force",
        );
    }
    if id == api.id {
        tracing::info!(MESSAGE_ID = events::DRAINED, "drained by request of an administrator");
        api.draining.send_replace(true);
        administrator.did(&api, "drain", &id.to_string(), Some(api.settings.name.clone())).await;
        return StatusCode::ACCEPTED.into_response();
    }
    // It finds the wish beside its next heartbeat.
    match api.masters.ask_to_drain(id, LIMIT).await {
        Ok(true) => {
            let rows = api.picture.borrow().rows.clone();
            let name = rows.into_iter().find(|row| row.id == id).map(|row| row.name);
            administrator.did(&api, "drain", &id.to_string(), name).await;
            StatusCode::ACCEPTED.into_response()
        }
        Ok(false) => refusal(StatusCode::NOT_FOUND, "no living master has this id: see GET /v1/cluster"),
        Err(failure) => {
            refusal(StatusCode::SERVICE_UNAVAILABLE, format!("the database does not answer: {failure}"))
        }
    }
}
