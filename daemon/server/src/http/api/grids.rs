//! Grids.

mod list;

use axum::extract::State;
use axum::http::StatusCode;
use kontena_core::form::Invalid;
use kontena_core::input::{GridChange, LogForwarding, NewGrid, Statsd};
use kontena_core::petname::petname;
use kontena_store::{GridCounts, GridRow, MadeGrid};
use kontena_wire::api;
use serde::Deserialize;

use super::answer::{JSON, Nothing, created, ok, typed};
use super::caller::{Caller, Deed};
use super::notices::grid_changed;
use super::refused::{Refused, Reply};
use super::submitted::{At, Submitted};
use crate::http::Api;

pub(super) use list::{GridList, WhichGrids, ask_for_lists};

/// How often a name is made up for a grid without one.
const NAME_TRIES: usize = 8;

#[derive(Deserialize)]
pub(super) struct InGrid {
    pub(super) grid: String,
}

pub(super) fn stats(statsd: Option<&Statsd>) -> api::Stats {
    let statsd = statsd.map(|Statsd { server, port }| api::Statsd { server: server.clone(), port: *port });
    api::Stats { statsd }
}

pub(super) fn logs(logs: Option<&LogForwarding>) -> Option<api::LogForwarding> {
    let LogForwarding { forwarder, opts } = logs?;
    Some(api::LogForwarding { forwarder: forwarder.clone(), opts: opts.clone() })
}

pub(super) fn body(grid: &GridRow, counts: GridCounts) -> api::Grid {
    let GridCounts { nodes, services, containers } = counts;
    api::Grid {
        id: grid.name.clone(),
        name: grid.name.clone(),
        token: grid.token.clone(),
        initial_size: grid.initial_size,
        stats: stats(grid.statsd.as_ref()),
        default_affinity: grid.default_affinity.clone(),
        trusted_subnets: grid.trusted_subnets.clone(),
        node_count: nodes,
        service_count: services,
        container_count: containers,
        user_count: u64::try_from(grid.members.len()).unwrap_or(u64::MAX),
        subnet: grid.subnet.clone(),
        supernet: grid.supernet.clone(),
        logs: logs(grid.logs.as_ref()),
    }
}

pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Reply {
    Ok(typed(StatusCode::OK, JSON, api.resources.grid_list(&caller).await?))
}

pub(super) async fn show(State(api): State<Api>, caller: Caller, At(at): At<InGrid>) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    Ok(ok(body(&grid, api.resources.counts(grid.id).await?)))
}

pub(super) async fn create(State(api): State<Api>, caller: Caller, submitted: Submitted) -> Reply {
    let wanted = NewGrid::read(&submitted.fields)?;
    if !caller.actor().may_administrate() {
        return Err(Refused::field("user", "Operation not allowed"));
    }
    let grid = make(&api, &caller, &wanted).await?;
    let deed = Deed::new("create", "Grid", grid.id, &grid).named(&grid.name).said(&submitted.raw);
    caller.did(&api, deed).await;
    Ok(created(body(&grid, GridCounts::default())))
}

async fn make(api: &Api, caller: &Caller, wanted: &NewGrid) -> Result<GridRow, Refused> {
    let grids = api.resources.store.grids();
    let token = wanted.token.clone().unwrap_or_else(random_token);
    let mut tries = NAME_TRIES;
    loop {
        let name = wanted.name.clone().unwrap_or_else(|| petname(rand::random()));
        match grids.create(wanted, &name, &token, caller.id()).await? {
            MadeGrid::Made(grid) => return Ok(*grid),
            MadeGrid::NameTaken if wanted.name.is_none() && tries > 1 => tries -= 1,
            MadeGrid::NameTaken => {
                return Err(Refused::field("grid", format!("Grid with name {name} already exists")));
            }
            MadeGrid::TokenTaken => return Err(Refused::field("token", "is already taken")),
        }
    }
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let change = GridChange::read(&submitted.fields)?;
    if !caller.actor().may_update(grid.id) {
        return Err(Refused::field("user", "Operation not allowed"));
    }
    let changed = api.resources.store.grids().update(grid.id, &change).await?;
    let grid = changed.ok_or_else(Refused::not_found)?;
    grid_changed(&api, grid.id);
    let deed = Deed::new("update", "Grid", grid.id, &grid).named(&grid.name).said(&submitted.raw);
    let (counts, ()) = tokio::join!(api.resources.counts(grid.id), caller.did(&api, deed));
    Ok(ok(body(&grid, counts?)))
}

pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let mut faults = Invalid::default();
    if !caller.actor().may_administrate() {
        faults.add("user", "Operation not allowed");
    }
    let counts = api.resources.counts(grid.id).await?;
    if counts.nodes > 0 {
        faults.add("grid", "Grid has nodes");
    } else if counts.services > 0 {
        faults.add("grid", "Grid has services");
    }
    faults.check()?;
    if !api.resources.store.grids().remove(grid.id).await? {
        return Err(Refused::not_found());
    }
    let deed = Deed::new("delete", "Grid", grid.id, &grid).named(&grid.name).said(&submitted.raw);
    caller.did(&api, deed).await;
    Ok(ok(Nothing {}))
}

/// 64 random bytes as text, with which agents join.
pub(super) fn random_token() -> String {
    use base64::Engine;
    let bytes = [rand::random::<[u8; 32]>(), rand::random::<[u8; 32]>()].concat();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
