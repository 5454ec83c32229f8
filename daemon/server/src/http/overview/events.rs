//! What the users of all grids are told.

use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse, Response};
use kontena_store::EventRow;
use kontena_wire::grid_events::{GridEvent, GridEventList};
use serde::Deserialize;

use super::read;
use crate::clock::wall_ms;
use crate::http::Api;
use crate::http::cluster::rfc3339;

/// How many events are told at once: of a flood the newest.
const EVENTS: i64 = 200;
/// How far back is looked at first, in milliseconds.
const BACK_MS: i64 = 6 * 3600 * 1000;
/// Masters and agents write into one log: so far their clocks may be apart, in milliseconds.
const APART_MS: i64 = 3_000;
/// Info; what is below is for debugging.
const SEVERITY: i64 = 1;

#[derive(Deserialize)]
pub(in crate::http) struct Wanted {
    /// When the newest event was that the client has, RFC 3339. Some that it has come again.
    since: Option<String>,
}

pub(in crate::http) async fn list(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Response {
    let newest = wanted.since.as_deref().and_then(|since| since.parse::<jiff::Timestamp>().ok());
    let since = match newest {
        Some(newest) => newest.as_millisecond().saturating_sub(APART_MS),
        None => wall_ms().saturating_sub(BACK_MS),
    };
    match read(api.resources.store.event_logs().everywhere(since, SEVERITY, EVENTS)).await {
        Ok(rows) => Json(GridEventList { events: rows.into_iter().map(event).collect() }).into_response(),
        Err(response) => *response,
    }
}

fn event(row: EventRow) -> GridEvent {
    let EventRow { id, created_at, severity, kind, message, meta: _, mut relationships } = row;
    let mut take = |kind: &str| {
        let at = relationships.iter().position(|(_, found)| *found == kind)?;
        Some(relationships.swap_remove(at).0)
    };
    GridEvent {
        id: id.to_string(),
        at: rfc3339(created_at),
        severity,
        kind: kind.unwrap_or_default(),
        message: message.unwrap_or_default(),
        grid: take("grid"),
        service: take("service"),
        node: take("node"),
    }
}
