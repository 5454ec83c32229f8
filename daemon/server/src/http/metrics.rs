//! What is counted, in the text format of Prometheus.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use kontena_core::clock::Clock;

use super::{Api, health};
use crate::clock::SystemClock;
use crate::metrics::Sample;

const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn show(State(api): State<Api>) -> Response {
    let now = SystemClock.now().monotonic;
    let picture = api.picture.borrow().clone();
    let mut masters = BTreeMap::new();
    for row in picture.rows.iter().filter(|row| !row.ended) {
        *masters.entry(picture.state(now, row, api.id, &api.leadership).name()).or_default() += 1;
    }
    let own = picture.rows.iter().find(|row| row.id == api.id);
    let acting = api.leadership.acting();
    let sample = Sample {
        id: api.id.to_string(),
        name: api.settings.name.clone(),
        version: api.settings.version.clone(),
        term: acting.map_or_else(
            || api.leadership.view().seen.map_or(0, |lease| lease.version.term.0),
            |term| term.0,
        ),
        acting: acting.is_some(),
        ready: health::obstacles(&api).is_empty(),
        agents: own.map_or(0, |row| row.agents),
        round_trip: own.and_then(|row| row.mongo_rtt),
        database_commands: api.commands.kinds(),
        masters: masters.into_iter().collect(),
        duties: api.statuses.all().into_iter().collect(),
    };
    ([(CONTENT_TYPE, FORMAT)], api.metrics.render(&sample)).into_response()
}
