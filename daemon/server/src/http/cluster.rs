//! The logical master as one of its masters sees it, and what an administrator may ask of it.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kontena_core::clock::Clock;
use kontena_core::election::{EndReason, SitOut, Timing};
use kontena_store::{HistoryRow, MasterRow, Person};
use kontena_wire::cluster::{self, Cluster, Master, Refusal, StepDown};

use super::access::Administrator;
use super::{Api, refusal};
use crate::clock::SystemClock;
use crate::election::{Request, Standing};
use crate::heartbeat::Picture;

/// The limit of each read from the database.
const READ_LIMIT: Duration = Duration::from_secs(2);
/// How many of the latest terms are told.
const HISTORY: i64 = 20;
/// How long a step-down may take to be acknowledged.
const STEP_DOWN_LIMIT: Duration = Duration::from_secs(5);

pub(super) async fn show(State(api): State<Api>) -> Response {
    let reads = async {
        let nodes = api.resources.store.host_nodes();
        futures_util::try_join!(
            api.history.reign(READ_LIMIT),
            api.history.latest(HISTORY, READ_LIMIT),
            nodes.count(READ_LIMIT),
            crate::cloud::sight(&api.resources.store, READ_LIMIT),
        )
    };
    // Both wait for the same database: together, so that its silence costs one limit and not two.
    let (read, picture) = tokio::join!(tokio::time::timeout(READ_LIMIT, reads), picture(&api));
    // What is known without the database is told without it.
    let ((reign, history, total, cloud), failure) = match read {
        Ok(Ok(read)) => (read, None),
        Ok(Err(failure)) => ((None, Vec::new(), 0, None), Some(failure.to_string())),
        Err(_) => ((None, Vec::new(), 0, None), Some(format!("no answer within {READ_LIMIT:?}"))),
    };
    let now = SystemClock.now().monotonic;
    let own_acting = api.leadership.acting();
    let leader = reign.as_ref().and_then(|reign| {
        let id = reign.holder?;
        let row = picture.rows.iter().find(|row| row.id == id);
        let acting = if id == api.id {
            own_acting == Some(reign.term)
        } else {
            row.is_some_and(|row| {
                row.acting && row.term == Some(reign.term) && !picture.roll.is_lost(now, id)
            })
        };
        Some(cluster::Leader {
            id: id.to_string(),
            name: reign.name.clone(),
            url: row.map(|row| row.url.clone()),
            term: reign.term.0,
            since: rfc3339(reign.since),
            acting,
        })
    });
    let term = reign
        .map_or_else(|| api.leadership.view().seen.map_or(0, |lease| lease.version.term.0), |r| r.term.0);
    let mut rows: Vec<&MasterRow> = picture.shown().collect();
    rows.sort_by_key(|row| (row.started_at, row.id));
    let connected = rows.iter().filter(|row| !row.ended).map(|row| row.agents).sum();
    Json(Cluster {
        version: api.settings.version.clone(),
        compat_version: api.settings.compat_version.clone(),
        term,
        leader,
        lease: lease(&api),
        agents: cluster::Agents { connected, total },
        masters: rows.into_iter().map(|row| master(&api, &picture, now, row)).collect(),
        duties: duties(&api),
        history: history.into_iter().map(reign_body).collect(),
        cloud,
        failure,
    })
    .into_response()
}

pub(super) async fn step_down(
    State(api): State<Api>,
    administrator: Administrator,
    body: Option<Json<StepDown>>,
) -> Response {
    let Json(StepDown { force }) = body.unwrap_or_default();
    let Some(term) = api.leadership.acting() else {
        let leader =
            picture(&api).await.rows.into_iter().find(|row| row.acting && !row.ended).map(|row| row.url);
        let error = "this master does not lead: ask the one that does".to_owned();
        return (StatusCode::CONFLICT, Json(Refusal { error, ask: leader })).into_response();
    };
    if !force && picture(&api).await.successors(SystemClock.now().monotonic, api.id).next().is_none() {
        return refusal(
            StatusCode::CONFLICT,
            "no other master could take over: start one, or step down with force",
        );
    }
    let mut views = api.leadership.watch();
    let request = Request::Renounce { reason: EndReason::SteppedDown, sit_out: SitOut::UntilOtherTerm };
    if !api.requests.send(request) {
        return refusal(StatusCode::SERVICE_UNAVAILABLE, "the election does not take requests: try again");
    }
    let stepped_down = views.wait_for(|view| view.standing == Standing::Following);
    // What was seen must not be held on to while the audit entry is written.
    let in_time = tokio::time::timeout(STEP_DOWN_LIMIT, stepped_down).await.is_ok();
    if !in_time {
        return refusal(
            StatusCode::GATEWAY_TIMEOUT,
            "this master acts no more, but the database did not acknowledge it: the lease ends by itself",
        );
    }
    tracing::info!(%term, "stepped down by request");
    let (id, name) = (api.id.to_string(), api.settings.name.clone());
    administrator.did(&api, "step down", &id, Some(name)).await;
    StatusCode::NO_CONTENT.into_response()
}

/// The leader knows when it sent its last renewal, the others when they saw it arrive.
fn lease(api: &Api) -> Option<cluster::LeaseSight> {
    let now = SystemClock.now();
    if let Some(remaining) = api.leadership.remaining() {
        let ttl = api.tunables.borrow().timing.ttl;
        let renewed = Timing::hold(ttl).saturating_sub(remaining);
        return Some(cluster::LeaseSight { ttl_ms: millis(ttl), renewed_ms_ago: millis(renewed) });
    }
    let sight = (*api.lease_sight.borrow())?;
    sight.lease.holder?;
    Some(cluster::LeaseSight {
        ttl_ms: millis(sight.lease.ttl),
        renewed_ms_ago: millis(now.monotonic.saturating_sub(sight.moved_at)),
    })
}

/// What the last heartbeat showed, with the rows as they stand now if the database answers: who just took over
/// says so at once.
async fn picture(api: &Api) -> Picture {
    let mut picture = api.picture.borrow().clone();
    if let Ok(Ok(rows)) = tokio::time::timeout(READ_LIMIT, api.masters.all(READ_LIMIT)).await {
        picture.rows = rows;
    }
    picture
}

fn master(api: &Api, picture: &Picture, now: Duration, row: &MasterRow) -> Master {
    let mut warnings = row.warnings.clone();
    warnings.extend(row.unfit.clone());
    if row.fingerprint != api.settings.fingerprint {
        warnings.push(format!(
            "its shared settings differ from those of {}: compare their configuration files",
            api.settings.name
        ));
    }
    Master {
        id: row.id.to_string(),
        name: row.name.clone(),
        url: row.url.clone(),
        version: row.version.clone(),
        state: picture.state(now, row, api.id, &api.leadership),
        started_at: rfc3339(row.started_at),
        last_seen_ms: picture.roll.silent_for(now, row.id).map(millis),
        agents: row.agents,
        mongo_rtt_ms: row.mongo_rtt.map(|rtt| (rtt.as_secs_f64() * 1e6).round() / 1e3),
        fingerprint: row.fingerprint.clone(),
        warnings,
    }
}

fn duties(api: &Api) -> Vec<cluster::Duty> {
    let duty = |(name, status): (&str, crate::duties::DutyStatus)| cluster::Duty {
        name: name.to_owned(),
        state: status.state,
        last_run_at: status.last_run_at.map(rfc3339),
        last_result: status.last_result,
        next_run_at: status.next_run_at.map(rfc3339),
        runs: status.runs,
        failures: status.failures,
    };
    api.statuses.all().into_iter().map(duty).collect()
}

pub(crate) fn reign_body(row: HistoryRow) -> cluster::Reign {
    let HistoryRow { term, from, to, reason, gap, at } = row;
    let person = |Person { id, name }: Person| cluster::Person { id, name };
    cluster::Reign {
        term: term.0,
        from: from.map(person),
        to: person(to),
        reason: reason.map(|reason| reason.name().to_owned()),
        gap_ms: gap.map(millis),
        at: rfc3339(at),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970 as people read them.
pub(crate) fn rfc3339(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| "unknown".to_owned(), |at| format!("{at:.3}"))
}
