//! What administrators do to services and stacks by the routes of the cluster: carried out by the handlers of the original's API
//! and noted in the audit log as theirs. Who came over the administration socket or with the token for it acts as the
//! local administrator. These routes are all that the token is good for here: it reads no secret and opens no
//! container, so whoever holds it to measure the masters gets no further.

use std::net::{IpAddr, Ipv4Addr};

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Router, middleware};
use kontena_core::access::LOCAL_ADMIN;

use super::caller::{Caller, Client};
use super::refused::Refused;
use super::token_layer::carry_out;
use super::{services, stacks};
use crate::http::access::Administrator;
use crate::http::{Api, refusal};

/// The routes, for administrators who were let in already.
pub(in crate::http) fn operations(api: &Api) -> Router<Api> {
    let service = |path: &str| format!("/v1/cluster/services/{{grid}}/{{stack}}/{{service}}/{path}");
    let stack = |path: &str| format!("/v1/cluster/stacks/{{grid}}/{{stack}}/{path}");
    Router::new()
        .route(&service("deploy"), post(services::deploy))
        .route(&service("scale"), post(services::scale))
        .route(&service("restart"), post(services::restart))
        .route(&service("stop"), post(services::stop))
        .route(&service("start"), post(services::start))
        .route(&service("container_logs"), get(services::lines))
        .route(&stack("deploy"), post(stacks::deploy))
        .route(&stack("restart"), post(stacks::restart))
        .route(&stack("stop"), post(stacks::stop))
        .route(&stack("container_logs"), get(stacks::lines))
        .layer(middleware::from_fn_with_state(api.clone(), act))
}

async fn act(
    State(api): State<Api>,
    administrator: Administrator,
    mut request: Request,
    next: Next,
) -> Response {
    let Administrator { user, address, user_agent, way } = administrator;
    let name = user.map_or_else(|| LOCAL_ADMIN.to_owned(), |(_, email)| email);
    let user = match api.resources.store.users().by_email(&name).await {
        Ok(Some(user)) => user,
        Ok(None) => return refusal(StatusCode::CONFLICT, format!("the database has no user {name:?}")),
        Err(failure) => return Refused::Database(failure).into_response(),
    };
    let address = address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let caller = Caller::new(user, None, address, user_agent).who_came(way);
    request.extensions_mut().insert(Client { caller: Some(caller) });
    carry_out(&api, request, next).await
}
