//! The original's API, as its command line uses it.

mod administrators;
mod answer;
mod break_glass;
mod caller;
mod certificates;
mod cloud;
mod compress;
mod config;
mod container_logs;
mod containers;
mod etcd;
mod exec;
mod follow;
mod gather;
mod grid_users;
mod grids;
mod login;
mod logs;
mod moment;
mod nodes;
mod notices;
mod oauth;
mod provider;
mod refused;
mod registries;
mod resources;
mod root;
mod secrets;
mod services;
mod sessions;
mod stacks;
mod statistics;
mod submitted;
mod token_layer;
mod users;
mod volumes;

use axum::routing::{MethodRouter, any, delete, get, post, put};
use axum::{Router, middleware};

pub(super) use administrators::operations;
pub(super) use break_glass::make_admin_token;
pub(super) use certificates::answer_challenge;
pub(crate) use cloud::{Composed, Composer, RestDesk};
pub(crate) use resources::Resources;
pub(super) use token_layer::{bearer, client_address};

use super::{Admission, Api};
use grids::InGrid;
use nodes::NodeOfGrid;
use services::ServiceAt;

/// A route that also answers below its path, as some of the original's do.
trait Prefix {
    fn prefix(self, path: &str, methods: MethodRouter<Api>) -> Self;
}

impl Prefix for Router<Api> {
    fn prefix(self, path: &str, methods: MethodRouter<Api>) -> Self {
        self.route(path, methods.clone()).route(&format!("{path}/{{*rest}}"), methods)
    }
}

/// The routes of the original, and 404 for everything else.
pub(super) fn router(api: &Api, admission: Admission) -> Router<Api> {
    let layer = middleware::from_fn_with_state((api.clone(), admission), token_layer::authenticate);
    Router::new()
        .merge(access())
        .merge(grids())
        .merge(resources())
        .merge(containers())
        .merge(services())
        .merge(stacks())
        .fallback(root::nothing)
        .method_not_allowed_fallback(root::nothing)
        .layer(layer)
}

fn access() -> Router<Api> {
    Router::new()
        .route("/", get(root::index))
        .route("/code", get(root::code))
        .route("/v1/ping", get(root::ping))
        .prefix("/v1/auth", post(root::no_passwords))
        .route("/oauth2/token", any(oauth::token))
        .route("/oauth2/authorize", post(oauth::authorize))
        .route("/oauth2/tokens", get(oauth::list))
        .prefix("/oauth2/tokens/{token}", get(oauth::show).delete(oauth::remove))
        .prefix("/authenticate", get(login::begin))
        .prefix("/cb", get(login::callback))
        .route("/v1/user", get(users::own))
        .route("/v1/users", get(users::list))
        .route("/v1/users/{email}", delete(users::remove))
        .route("/v1/users/{email}/roles", post(users::grant))
        .route("/v1/users/{email}/roles/{role}", delete(users::revoke))
        .route(
            "/v1/config",
            get(config::list).patch(config::change).put(config::replace).delete(config::clear),
        )
        .prefix("/v1/config/{key}", get(config::show).delete(config::remove))
        .prefix("/v1/audit_logs", get(logs::audit))
}

fn grids() -> Router<Api> {
    let below = |path: &str| format!("/v1/grids/{{grid}}{path}");
    Router::new()
        .route("/v1/grids", get(grids::list).post(grids::create))
        .route(&below(""), get(grids::show).put(grids::update).delete(grids::remove))
        .route(&below("/users"), get(grid_users::list).post(grid_users::assign))
        .route(&below("/users/{email}"), delete(grid_users::unassign).post(grid_users::assign))
        .route(&below("/external_registries"), get(registries::list).post(registries::create))
        .route(&below("/secrets"), get(secrets::list).post(secrets::create))
        .prefix(&below("/secrets/{name}"), put(secrets::update).post(secrets::create))
        .route(&below("/certificates"), get(certificates::list).post(certificates::request))
        .route(&below("/certificates/{*rest}"), post(certificates::request))
        .route(
            &below("/domain_authorizations"),
            get(certificates::authorizations).post(certificates::authorize),
        )
        .route(&below("/domain_authorizations/{*rest}"), post(certificates::authorize))
        .route(&below("/nodes"), get(nodes::list).post(nodes::create))
        .route(&below("/services"), get(services::list).post(services::create))
        .route(&below("/services/{*rest}"), post(services::create))
        .route(&below("/stacks"), get(stacks::list).post(stacks::create))
        .route(&below("/event_logs"), get(logs::events))
        .prefix(&below("/audit_log"), get(logs::audit_of_grid))
        .prefix(&below("/container_logs"), get(container_logs::of_grid))
        .route(&below("/metrics"), get(statistics::metrics::<InGrid>))
        .route(&below("/stats"), get(statistics::containers::<InGrid>))
        .route(&below("/stats/containers"), get(statistics::nothing))
        .route(&below("/stats/memory_usage"), get(statistics::nothing))
        .route(&below("/stats/cpu_usage"), get(statistics::nothing))
        .route(&below("/stats/filesystem_usage"), get(statistics::nothing))
}

fn resources() -> Router<Api> {
    Router::new()
        .route("/v1/secrets/{grid}/{name}", get(secrets::show).put(secrets::update).delete(secrets::remove))
        .route("/v1/nodes/{grid}", get(nodes::show_legacy).put(nodes::update_legacy))
        .route("/v1/nodes/{grid}/{node}", get(nodes::show).put(nodes::update).delete(nodes::remove))
        .route(
            "/v1/nodes/{grid}/{node}/token",
            get(nodes::token).put(nodes::set_token).delete(nodes::clear_token),
        )
        .prefix("/v1/nodes/{grid}/{node}/health", get(nodes::health))
        .prefix("/v1/nodes/{grid}/{node}/stats", get(statistics::containers::<NodeOfGrid>))
        .prefix("/v1/nodes/{grid}/{node}/metrics", get(statistics::metrics::<NodeOfGrid>))
        .route("/v1/volumes/{grid}", get(volumes::list).post(volumes::create))
        .route("/v1/volumes/{grid}/{volume}", get(volumes::show).delete(volumes::remove))
        .route("/v1/external_registries/{grid}/{name}", get(registries::show).delete(registries::remove))
        .route(
            "/v1/certificates/{grid}/{subject}",
            get(certificates::show).put(certificates::import).delete(certificates::remove),
        )
        .route("/v1/certificates/{grid}/{subject}/export", get(certificates::export))
        .route("/v1/certificates/{grid}/register", post(certificates::register))
        .route("/v1/certificates/{grid}/authorize", post(certificates::authorize_legacy))
        .route("/v1/certificates/{grid}/certificate", post(certificates::request_legacy))
        .route(
            "/v1/domain_authorizations/{grid}/{domain}",
            get(certificates::show_authorization).delete(certificates::remove_authorization),
        )
}

fn containers() -> Router<Api> {
    const CONTAINER: &str = "/v1/containers/{grid}/{node}/{name}";
    let below = |path: &str| format!("{CONTAINER}{path}");
    Router::new()
        .route("/v1/containers/{grid}", get(containers::list))
        .route(CONTAINER, get(containers::show))
        .prefix(&below("/top"), get(containers::top))
        .prefix(&below("/logs"), get(containers::logs))
        .prefix(&below("/inspect"), get(containers::inspect))
        .prefix(&below("/exec"), get(exec::open).post(containers::run))
        .route("/v1/etcd/{grid}/{*key}", get(etcd::get).post(etcd::set).delete(etcd::delete))
}

fn services() -> Router<Api> {
    const SERVICE: &str = "/v1/services/{grid}/{stack}/{service}";
    let below = |path: &str| format!("{SERVICE}{path}");
    Router::new()
        .route(SERVICE, get(services::show).put(services::update).delete(services::remove))
        .prefix(&below("/deploy"), post(services::deploy))
        .route(&below("/scale"), post(services::scale))
        .route(&below("/restart"), post(services::restart))
        .route(&below("/stop"), post(services::stop))
        .route(&below("/start"), post(services::start))
        .route(&below("/instances"), get(services::instances))
        .route(&below("/instances/{part}"), get(services::show_instance).delete(services::unschedule))
        .route(&below("/containers"), get(services::containers))
        .route(&below("/stats"), get(statistics::containers::<ServiceAt>))
        .route(&below("/metrics"), get(statistics::metrics::<ServiceAt>))
        .route(&below("/envs"), post(services::add_env))
        .route(&below("/envs/{part}"), delete(services::remove_env))
        .route(&below("/container_logs"), get(services::lines))
        .route(&below("/event_logs"), get(services::events))
        .route(&below("/deploys/{part}"), get(services::show_deploy))
        .route(&below("/deploys/{part}/cancel"), post(services::cancel))
}

fn stacks() -> Router<Api> {
    const STACK: &str = "/v1/stacks/{grid}/{stack}";
    let below = |path: &str| format!("{STACK}{path}");
    Router::new()
        .route(STACK, get(stacks::show).put(stacks::update).patch(stacks::patch).delete(stacks::remove))
        .prefix(&below("/deploy"), post(stacks::deploy))
        .prefix(&below("/stop"), post(stacks::stop))
        .prefix(&below("/restart"), post(stacks::restart))
        .prefix(&below("/deploys/{part}"), get(stacks::show_deploy))
        .route(&below("/container_logs"), get(stacks::lines))
        .route(&below("/event_logs"), get(stacks::events))
}
