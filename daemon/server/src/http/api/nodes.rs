//! Nodes.

mod body;

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use kontena_core::id::Id;
use kontena_core::input::{NewNode, NodeChange, NodeToken};
use kontena_store::{GridRow, MadeNode, NodeDetails, Store};
use kontena_wire::agent::outbound;
use kontena_wire::api;
use serde::Deserialize;

use super::answer::{JSON, Nothing, created, encode, ok, typed};
use super::caller::{Caller, Deed};
use super::gather::Ask;
use super::grids::{InGrid, random_token};
use super::notices::{grid_changed, pods_changed};
use super::refused::{Refused, Reply};
use super::submitted::{At, Submitted};
use crate::agents::CallError;
use crate::http::Api;
pub(super) use body::{neighbours, node};

const GRID_TOKEN: &str = "kontena-grid-token";

/// Rendered lists of nodes, by grid.
pub(super) type NodeLists = Arc<HashMap<Id, Bytes>>;

#[derive(Deserialize)]
pub(super) struct NodeOfGrid {
    grid: String,
    node: String,
}

#[derive(Deserialize)]
pub(super) struct OfNode {
    grid: String,
}

pub(super) async fn list(State(api): State<Api>, caller: Caller, At(at): At<InGrid>) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    Ok(typed(StatusCode::OK, JSON, api.resources.node_list(grid.id).await?))
}

/// The lists of nodes of grids, rendered: each node names the addresses of all others, so that a list of many is
/// large, and the same for everybody.
pub(super) fn ask_for_lists(store: &Store) -> Ask<Id, NodeLists> {
    let (grids, nodes) = (store.grids(), store.host_nodes());
    Box::new(move |wanted| {
        let (grids, nodes) = (grids.clone(), nodes.clone());
        Box::pin(async move {
            let ids: Vec<Id> = wanted.into_iter().collect();
            let mut lists = HashMap::with_capacity(ids.len());
            for grid in grids.list(Some(&ids)).await? {
                let rows = nodes.of_grid(grid.id).await?;
                let neighbours = neighbours(&rows);
                let body =
                    api::Nodes { nodes: rows.iter().map(|row| node(&grid, row, &neighbours)).collect() };
                if let Ok(bytes) = encode(&body) {
                    lists.insert(grid.id, Bytes::from(bytes));
                }
            }
            Ok(Arc::new(lists))
        })
    })
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    may_update(&caller, &grid)?;
    let wanted = NewNode::read(&submitted.fields)?;
    let token = wanted.token.clone().unwrap_or_else(random_token);
    match api.resources.store.host_nodes().announce(grid.id, &wanted, &token).await? {
        MadeNode::Made(row) if !api.resources.keeps(&grid).await? => {
            api.resources.store.host_nodes().remove(row.id).await?;
            Err(Refused::not_found())
        }
        MadeNode::Made(row) => Ok(created(alone(&api, &grid, &row).await?)),
        MadeNode::NameTaken => {
            Err(Refused::field("name", format!("Node with name {} already exists", wanted.name)))
        }
        MadeNode::TokenTaken => Err(Refused::field("token", "Node with token already exists")),
        MadeNode::Full => Err(Refused::field("grid", "Grid has no free node numbers")),
        MadeNode::Missing => Err(Refused::not_found()),
    }
}

pub(super) async fn show(State(api): State<Api>, caller: Caller, At(at): At<NodeOfGrid>) -> Reply {
    let (grid, row) = find(&api, &caller, &at).await?;
    Ok(ok(alone(&api, &grid, &row).await?))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<NodeOfGrid>,
    submitted: Submitted,
) -> Reply {
    let (grid, row) = find(&api, &caller, &at).await?;
    let change = NodeChange::read(&submitted.fields)?;
    let changed = apply(&api, &grid, &row, &change).await?;
    Ok(ok(alone(&api, &grid, &changed).await?))
}

/// Changes a node, with what follows from it for its services and for the agents of its grid.
async fn apply(
    api: &Api,
    grid: &GridRow,
    row: &NodeDetails,
    change: &NodeChange,
) -> Result<NodeDetails, Refused> {
    let host_nodes = api.resources.store.host_nodes();
    let other = change.availability.as_deref().filter(|wanted| *wanted != row.availability);
    let Some(availability) = other else {
        let changed = host_nodes.update(row.id, change).await?.ok_or_else(Refused::not_found)?;
        grid_changed(api, grid.id);
        return Ok(changed);
    };
    let held = host_nodes.change_availability(row.id, change, availability == "drain").await?;
    grid_changed(api, grid.id);
    if held.ok_or_else(Refused::not_found)? {
        pods_changed(api, vec![row.id]);
    }
    host_nodes.named(grid.id, &row.name).await?.ok_or_else(Refused::not_found)
}

pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<NodeOfGrid>,
    submitted: Submitted,
) -> Reply {
    let (grid, row) = find(&api, &caller, &at).await?;
    if !api.resources.store.host_nodes().remove(row.id).await? {
        return Err(Refused::not_found());
    }
    grid_changed(&api, grid.id);
    let deed = Deed::new("remove node", "HostNode", row.id, &grid).named(&row.name).said(&submitted.raw);
    caller.did(&api, deed).await;
    Ok(ok(Nothing {}))
}

pub(super) async fn token(State(api): State<Api>, caller: Caller, At(at): At<NodeOfGrid>) -> Reply {
    let (grid, row) = find(&api, &caller, &at).await?;
    may_update(&caller, &grid)?;
    match row.token {
        Some(token) => Ok(ok(api::NodeToken { id: format!("{}/{}", grid.name, row.name), token })),
        None => Err(Refused::Missing("Host node does not have a node token".to_owned())),
    }
}

pub(super) async fn set_token(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<NodeOfGrid>,
    submitted: Submitted,
) -> Reply {
    let (grid, row) = find(&api, &caller, &at).await?;
    may_update(&caller, &grid)?;
    let NodeToken { token, reset_connection } = NodeToken::read(&submitted.fields)?;
    let token = token.unwrap_or_else(random_token);
    match api.resources.store.host_nodes().set_token(row.id, Some(&token), reset_connection).await? {
        MadeNode::Made(row) => Ok(ok(api::NodeToken { id: format!("{}/{}", grid.name, row.name), token })),
        MadeNode::TokenTaken => Err(Refused::field("token", "Node with token already exists")),
        MadeNode::Missing | MadeNode::NameTaken | MadeNode::Full => Err(Refused::not_found()),
    }
}

pub(super) async fn clear_token(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<NodeOfGrid>,
    submitted: Submitted,
) -> Reply {
    let (grid, row) = find(&api, &caller, &at).await?;
    may_update(&caller, &grid)?;
    let NodeToken { token: _, reset_connection } = NodeToken::read(&submitted.fields)?;
    api.resources.store.host_nodes().set_token(row.id, None, reset_connection).await?;
    Ok(ok(Nothing {}))
}

pub(super) async fn health(State(api): State<Api>, caller: Caller, At(at): At<NodeOfGrid>) -> Reply {
    let (grid, row) = find(&api, &caller, &at).await?;
    if !row.connected {
        return Err(Refused::field("connection", body::disconnection(&row)));
    }
    match api.agents.request(row.id, outbound::etcd_health()).await {
        Ok(answer) => Ok(ok(body::health(&grid, &row, &answer))),
        Err(error @ (CallError::Late(_) | CallError::Lost)) => {
            Err(Refused::field("etcd_health", error.to_string()))
        }
        Err(CallError::NotConnected(_)) => Err(Refused::field("connection", body::disconnection(&row))),
        Err(error) => Err(error.into()),
    }
}

/// The older routes, for agents with the grid's token and no user.
pub(super) async fn show_legacy(State(api): State<Api>, At(at): At<OfNode>, headers: HeaderMap) -> Reply {
    let (grid, row) = find_legacy(&api, &headers, &at.grid).await?;
    Ok(ok(alone(&api, &grid, &row).await?))
}

pub(super) async fn update_legacy(
    State(api): State<Api>,
    At(at): At<OfNode>,
    headers: HeaderMap,
    submitted: Submitted,
) -> Reply {
    let (grid, row) = find_legacy(&api, &headers, &at.grid).await?;
    let change = NodeChange { availability: None, ..NodeChange::read(&submitted.fields)? };
    let changed = apply(&api, &grid, &row, &change).await?;
    Ok(ok(alone(&api, &grid, &changed).await?))
}

async fn find_legacy(api: &Api, headers: &HeaderMap, node: &str) -> Result<(GridRow, NodeDetails), Refused> {
    let token =
        headers.get(GRID_TOKEN).and_then(|token| token.to_str().ok()).ok_or_else(Refused::not_found)?;
    let grid = api.resources.store.grids().by_token(token).await?.ok_or_else(Refused::not_found)?;
    let row = api.resources.store.host_nodes().by_node_id(grid.id, node).await?;
    Ok((grid, row.ok_or_else(|| Refused::Missing("Node not found".to_owned()))?))
}

pub(super) async fn find(
    api: &Api,
    caller: &Caller,
    at: &NodeOfGrid,
) -> Result<(GridRow, NodeDetails), Refused> {
    let grid = api.resources.grid(caller, &at.grid).await?;
    let row = api.resources.store.host_nodes().named(grid.id, &at.node).await?;
    Ok((grid, row.ok_or_else(Refused::not_found)?))
}

fn may_update(caller: &Caller, grid: &GridRow) -> Result<(), Refused> {
    if caller.actor().may_update(grid.id) { Ok(()) } else { Err(Refused::Denied) }
}

/// One node, which is shown with the addresses of the others.
async fn alone(api: &Api, grid: &GridRow, row: &NodeDetails) -> Result<api::Node, Refused> {
    let rows = api.resources.store.host_nodes().of_grid(grid.id).await?;
    Ok(node(grid, row, &neighbours(&rows)))
}
