//! Instances of services.

use std::collections::HashMap;

use axum::extract::State;
use axum::http::StatusCode;
use kontena_core::id::Id;
use kontena_store::{InstanceDetails, NodeDetails};
use kontena_wire::api;

use super::{Found, PartOfService, ServiceAt, find, find_of};
use crate::http::Api;
use crate::http::api::answer::{Nothing, empty, ok, time};
use crate::http::api::caller::Caller;
use crate::http::api::notices;
use crate::http::api::refused::{Refused, Reply};
use crate::http::api::submitted::At;

pub(in crate::http::api) async fn list(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<ServiceAt>,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let rows = api.resources.store.service_instances().of_services(&[found.id()]).await?;
    let nodes = nodes(&api, &found).await?;
    Ok(ok(api::ServiceInstances {
        instances: rows.into_iter().map(|row| body(&found, row, &nodes)).collect(),
    }))
}

pub(in crate::http::api) async fn show(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<PartOfService>,
) -> Reply {
    let (found, id) = find_of(&api, &caller, at).await?;
    let Ok(id) = id.parse::<Id>() else { return Ok(empty(StatusCode::NOT_FOUND)) };
    match api.resources.store.service_instances().by_id(found.id(), id).await? {
        None => Ok(empty(StatusCode::NOT_FOUND)),
        Some(row) => Ok(ok(body(&found, row, &nodes(&api, &found).await?))),
    }
}

/// Takes its node from an instance: the next deploy places it anew.
pub(in crate::http::api) async fn unschedule(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<PartOfService>,
) -> Reply {
    let (found, id) = find_of(&api, &caller, at).await?;
    let Ok(id) = id.parse::<Id>() else { return Ok(empty(StatusCode::NOT_FOUND)) };
    match api.resources.store.service_instances().unschedule(found.id(), id).await? {
        None => Ok(empty(StatusCode::NOT_FOUND)),
        Some(node) => {
            notices::pods_changed(&api, node.into_iter().collect());
            Ok(ok(Nothing {}))
        }
    }
}

async fn nodes(api: &Api, found: &Found) -> Result<HashMap<Id, NodeDetails>, Refused> {
    let nodes = api.resources.store.host_nodes().of_grid(found.grid.id).await?;
    Ok(nodes.into_iter().map(|node| (node.id, node)).collect())
}

fn body(found: &Found, row: InstanceDetails, nodes: &HashMap<Id, NodeDetails>) -> api::ServiceInstance {
    let InstanceDetails {
        id,
        service: _,
        created_at,
        updated_at,
        number,
        node,
        desired_state,
        state,
        deploy_rev,
        rev,
        error,
    } = row;
    let node = node.and_then(|node| nodes.get(&node)).map(|node| api::InstanceNode {
        id: format!("{}/{}", found.grid.name, node.name),
        name: node.name.clone(),
        public_ip: node.public_ip.clone(),
    });
    api::ServiceInstance {
        id: id.to_string(),
        created_at: time(created_at),
        updated_at: time(updated_at),
        instance_number: number,
        desired_state,
        state,
        deploy_rev,
        rev,
        error,
        node,
    }
}
