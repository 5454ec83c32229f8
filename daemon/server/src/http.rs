//! The HTTP interface.

mod access;
mod agents;
mod api;
mod cluster;
mod drain;
mod events;
mod health;
mod metrics;
mod overview;
mod serve;

use std::ops::Deref;
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
pub(crate) use api::{Composed, Composer, Resources, RestDesk};
pub(crate) use cluster::rfc3339;
pub(crate) use serve::serve;

use crate::acme::Acme;
use crate::agents::{Agents, at_root};
use crate::clock::SystemClock;
use crate::deploys::Deployer;
use crate::duties::Statuses;
use crate::election::{Leadership, Requests};
use crate::feed::{Feed, LeaseSight};
use crate::fitness::Fitness;
use crate::heartbeat::Picture;
use crate::metrics::SharedMetrics;
use crate::settings::{Settings, Tunables};

/// What the handlers work with; cloned for each of them.
#[derive(Clone)]
pub(crate) struct Api(Arc<Works>);

/// All that [`Api`] gives access to.
pub(crate) struct Works {
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
    pub(crate) deployer: Deployer,
    pub(crate) resources: Arc<Resources>,
    pub(crate) acme: Arc<Acme>,
}

impl From<Works> for Api {
    fn from(works: Works) -> Self {
        Self(Arc::new(works))
    }
}

impl Deref for Api {
    type Target = Works;

    fn deref(&self) -> &Works {
        &self.0
    }
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
        .route("/v1/cluster/agents/{node}/instances", get(overview::of_node))
        .route("/v1/cluster/services", get(overview::services))
        .route("/v1/cluster/services/{grid}/{stack}/{service}", get(overview::service))
        .route("/v1/cluster/stacks", get(overview::stacks))
        .route("/v1/cluster/stacks/{grid}/{stack}", get(overview::stack))
        .route("/v1/cluster/grid-events", get(overview::grid_events))
        .merge(api::operations(&api));
    // Who holds a token already needs no way around tokens.
    let administration = match admission {
        Admission::AdminSocket => {
            administration.route("/v1/cluster/admin-tokens", post(api::make_admin_token))
        }
        Admission::Network => administration,
    };
    let administration = administration
        .layer(middleware::from_fn_with_state((api.clone(), admission), access::administrators_only));
    let at_root = middleware::from_fn_with_state(api.agents.clone(), at_root);
    let router = Router::new()
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .route("/leader", get(health::leader))
        .route("/.well-known/acme-challenge/{token}", get(api::answer_challenge))
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
