//! The HTTP interface.

mod access;
mod agents;
mod api;
mod cluster;
mod drain;
mod events;
mod health;
mod metrics;

use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, middleware};
use kontena_core::election::HolderId;
use kontena_store::{CommandCounter, LeaderHistory, Masters};
use kontena_wire::cluster::Refusal;
use tokio::sync::watch;

pub use access::Admission;
pub(crate) use api::Resources;

use crate::agents::{Agents, at_root};
use crate::clock::SystemClock;
use crate::duties::Statuses;
use crate::election::{Leadership, Requests};
use crate::feed::{Feed, LeaseSight};
use crate::fitness::Fitness;
use crate::heartbeat::Picture;
use crate::metrics::SharedMetrics;
use crate::settings::{Settings, Tunables};

/// What the handlers work with.
#[derive(Clone)]
pub(crate) struct Api {
    pub(crate) id: HolderId,
    pub(crate) settings: Arc<Settings>,
    pub(crate) leadership: Leadership<SystemClock>,
    pub(crate) requests: Requests,
    pub(crate) history: LeaderHistory,
    pub(crate) masters: Masters,
    pub(crate) fitness: watch::Receiver<Fitness>,
    pub(crate) draining: watch::Sender<bool>,
    pub(crate) tunables: watch::Receiver<Tunables>,
    pub(crate) picture: watch::Receiver<Picture>,
    pub(crate) statuses: Statuses,
    pub(crate) metrics: SharedMetrics,
    pub(crate) commands: CommandCounter,
    pub(crate) feed: Feed,
    pub(crate) lease_sight: watch::Receiver<Option<LeaseSight>>,
    pub(crate) agents: Agents,
    pub(crate) resources: Arc<Resources>,
}

/// The routes for clients that came in by `admission`.
pub(crate) fn router(api: Api, admission: Admission) -> Router {
    let administration = Router::new()
        .route("/v1/cluster", get(cluster::show))
        .route("/v1/cluster/events", get(events::follow))
        .route("/v1/cluster/step-down", post(cluster::step_down))
        .route("/v1/cluster/masters/{id}/drain", post(drain::drain))
        .route("/metrics", get(metrics::show))
        .route("/v1/cluster/agents", get(agents::list))
        .route("/v1/cluster/agents/{node}/ping", post(agents::ping))
        .layer(middleware::from_fn_with_state((api.clone(), admission), access::administrators_only));
    let at_root = middleware::from_fn_with_state(api.agents.clone(), at_root);
    let router = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/leader", get(health::leader))
        .merge(administration)
        .merge(api::router(&api, admission))
        .with_state(api);
    match admission {
        Admission::Network => router.layer(at_root),
        Admission::AdminSocket => router,
    }
}

/// An answer that says what is wrong and what to do.
fn refusal(status: StatusCode, error: impl Into<String>) -> Response {
    (status, Json(Refusal { error: error.into(), ask: None })).into_response()
}
