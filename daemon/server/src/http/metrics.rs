//! What is counted, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use kontena_core::clock::Clock;
use kontena_store::Measures;
use tokio::time::timeout;

use super::{Api, health};
use crate::clock::{SystemClock, wall_ms};
use crate::metrics::Sample;

/// How long the database may take: what it does not tell by then is left out.
const LIMIT: Duration = Duration::from_secs(2);
const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(super) async fn show(State(api): State<Api>) -> Response {
    let now = SystemClock.now().monotonic;
    let picture = api.picture.borrow().clone();
    let mut masters = BTreeMap::new();
    for row in picture.shown() {
        *masters.entry(picture.state(now, row, api.id, &api.leadership).name()).or_default() += 1;
    }
    let own = picture.rows.iter().find(|row| row.id == api.id);
    let acting = api.leadership.acting();
    let (clock_offset, grids) = tokio::join!(clock_offset(&api), grids(&api, acting.is_some()));
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
        lease_ttl: api.tunables.borrow().timing.ttl,
        clock_offset,
        grids,
        database_commands: api.commands.kinds(),
        masters: masters.into_iter().collect(),
        duties: api.statuses.all().into_iter().collect(),
    };
    ([(CONTENT_TYPE, FORMAT)], api.metrics.render(&sample)).into_response()
}

/// How far our clock is ahead of the database's, in seconds, to half of a round trip.
async fn clock_offset(api: &Api) -> Option<f64> {
    let before = wall_ms();
    let theirs = timeout(LIMIT, api.resources.store.wall_clock(LIMIT)).await.ok()?.ok()??;
    let ours = before + (wall_ms() - before) / 2;
    // Days will do.
    let offset = (ours - theirs).clamp(i64::from(i32::MIN), i64::from(i32::MAX));
    Some(f64::from(i32::try_from(offset).ok()?) / 1e3)
}

async fn grids(api: &Api, acting: bool) -> Option<Measures> {
    if !acting {
        return None;
    }
    match timeout(LIMIT, api.resources.store.measures()).await {
        Ok(Ok(measures)) => Some(measures),
        Ok(Err(failure)) => {
            tracing::debug!(%failure, "the grids were not measured");
            None
        }
        Err(_) => None,
    }
}
