//! Stacks of all grids, and one of them in full.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use kontena_store::{RevisionGlance, ServiceOfDeploy, StackDeploySight, StackGlance, StackSight};
use kontena_wire::stacks::{self as wire, Revision, Stack, StackDeploy, StackList};

use super::{LISTED, deploy, read, unless_known};
use crate::http::cluster::rfc3339;
use crate::http::{Api, refusal};

pub(in crate::http) async fn list(State(api): State<Api>, headers: HeaderMap) -> Response {
    let overview = api.resources.store.overview();
    match read(overview.stacks(LISTED + 1)).await {
        Ok(mut rows) => {
            let most = usize::try_from(LISTED).unwrap_or(usize::MAX);
            let truncated = rows.len() > most;
            rows.truncate(most);
            let stacks = rows.into_iter().map(stack).collect();
            unless_known(&headers, &StackList { stacks, truncated })
        }
        Err(response) => *response,
    }
}

fn stack(glance: StackGlance) -> Stack {
    let StackGlance { id, grid, name, parent, labels, revision: newest, deploy: latest } = glance;
    Stack {
        id: id.to_string(),
        grid,
        name,
        parent,
        labels,
        revision: newest.map(revision),
        deploy: latest.map(deploy),
    }
}

fn revision(row: RevisionGlance) -> Revision {
    let RevisionGlance { revision, version, file, registry, expose, created_at } = row;
    Revision { revision, version, file, registry, expose, created_at: created_at.map(rfc3339) }
}

pub(in crate::http) async fn show(
    State(api): State<Api>,
    Path((grid, stack)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let overview = api.resources.store.overview();
    match read(overview.stack(&grid, &stack)).await {
        Ok(Some(StackSight { revisions, deploys })) => {
            let sight = wire::StackSight {
                revisions: revisions.into_iter().map(revision).collect(),
                deploys: deploys.into_iter().map(stack_deploy).collect(),
            };
            unless_known(&headers, &sight)
        }
        Ok(None) => refusal(StatusCode::NOT_FOUND, "there is no such stack"),
        Err(response) => *response,
    }
}

fn stack_deploy(row: StackDeploySight) -> StackDeploy {
    let StackDeploySight { deploy: whole, services } = row;
    let service = |part: ServiceOfDeploy| {
        let ServiceOfDeploy { service, state, reason } = part;
        wire::ServiceOfDeploy { service, state, reason }
    };
    StackDeploy { deploy: deploy(whole), services: services.into_iter().map(service).collect() }
}
