//! Services of all grids, one of them in full, and the instances on a node.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use kontena_core::id::Id;
use kontena_store::{InstanceDetails, InstanceSight, ServiceGlance, ServiceSight};
use kontena_wire::services::{self as wire, InstanceList, Report, Service, ServiceList, Step};
use serde_json::Value;

use super::{LISTED, deploy, read, unless_known};
use crate::http::{Api, refusal};

pub(in crate::http) async fn list(State(api): State<Api>, headers: HeaderMap) -> Response {
    let overview = api.resources.store.overview();
    match read(overview.services(LISTED + 1)).await {
        Ok(mut rows) => {
            let most = usize::try_from(LISTED).unwrap_or(usize::MAX);
            let truncated = rows.len() > most;
            rows.truncate(most);
            let services = rows.into_iter().map(service).collect();
            unless_known(&headers, &ServiceList { services, truncated })
        }
        Err(response) => *response,
    }
}

fn service(glance: ServiceGlance) -> Service {
    let ServiceGlance {
        id,
        grid,
        stack,
        name,
        state,
        image,
        strategy,
        stateful,
        wanted,
        instances,
        running,
        failing,
        revision,
        stack_revision,
        deploy: latest,
    } = glance;
    Service {
        id: id.to_string(),
        grid,
        stack,
        name,
        state,
        image,
        strategy,
        stateful,
        wanted,
        instances,
        running,
        failing,
        revision,
        stack_revision,
        deploy: latest.map(deploy),
    }
}

pub(in crate::http) async fn show(
    State(api): State<Api>,
    Path((grid, stack, name)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Response {
    let overview = api.resources.store.overview();
    match read(overview.service(&grid, &stack, &name)).await {
        Ok(Some(found)) => unless_known(&headers, &sight(found)),
        Ok(None) => refusal(StatusCode::NOT_FOUND, "there is no such service"),
        Err(response) => *response,
    }
}

fn sight(sight: ServiceSight) -> wire::ServiceSight {
    let ServiceSight { instances, deploys, steps, report } = sight;
    let step = |(number, node, state, error)| Step { number, node, state, error };
    let (report_of, report) = report.map(|(of, report)| (of.to_string(), report)).unzip();
    wire::ServiceSight {
        instances: instances.into_iter().map(instance).collect(),
        deploys: deploys.into_iter().map(deploy).collect(),
        steps: steps.into_iter().map(step).collect(),
        // One of another version, which has another form, is left out.
        report: report.and_then(|report| serde_json::from_value::<Report>(Value::Object(report)).ok()),
        report_of,
    }
}

fn instance(sight: InstanceSight) -> wire::Instance {
    let InstanceSight { service, node, health, details } = sight;
    let InstanceDetails {
        id: _,
        service: _,
        created_at: _,
        updated_at: _,
        number,
        node: _,
        desired_state,
        state,
        deploy_rev,
        rev,
        error,
    } = details;
    wire::Instance { service, number, node, desired_state, state, rev, deploy_rev, health, error }
}

/// The instances on a node, given by its document's id.
pub(in crate::http) async fn of_node(State(api): State<Api>, Path(node): Path<String>) -> Response {
    let Ok(node) = node.parse::<Id>() else {
        return refusal(StatusCode::NOT_FOUND, "there is no such node");
    };
    match read(api.resources.store.overview().instances_of_node(node)).await {
        Ok(found) => {
            Json(InstanceList { instances: found.into_iter().map(instance).collect() }).into_response()
        }
        Err(response) => *response,
    }
}
