//! For load balancers and monitoring: alive, ready, leader.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use kontena_core::clock::Clock;
use kontena_wire::cluster::{LeaderAnswer, Readiness};

use super::Api;
use crate::clock::SystemClock;
use crate::fitness::Fitness;

/// The process runs and answers, whatever the database does.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// Requests should be sent here.
pub(super) async fn readyz(State(api): State<Api>) -> (StatusCode, Json<Readiness>) {
    let reasons = obstacles(&api);
    let ready = reasons.is_empty();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Readiness { ready, reasons }))
}

/// What speaks against sending requests here.
pub(super) fn obstacles(api: &Api) -> Vec<String> {
    let mut reasons = Vec::new();
    if *api.draining.borrow() {
        reasons.push("this master is drained or about to stop".to_owned());
    }
    match &*api.fitness.borrow() {
        Fitness::Fit => {}
        Fitness::Unfit(reason) | Fitness::Unknown(reason) => reasons.push(reason.clone()),
    }
    let picture = api.picture.borrow();
    if !picture.is_fresh(SystemClock.now().monotonic) {
        let failure = picture.failure.as_deref().unwrap_or("no heartbeat was acknowledged yet");
        reasons.push(format!("no answer from the database: {failure}"));
    }
    reasons
}

/// This master leads, at this moment and until its permission ends.
pub(super) async fn leader(State(api): State<Api>) -> (StatusCode, Json<LeaderAnswer>) {
    let term = api.leadership.acting();
    let status = if term.is_some() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let answer =
        LeaderAnswer { acting: term.is_some(), term: term.map(|term| term.0), id: api.id.to_string() };
    (status, Json(answer))
}
