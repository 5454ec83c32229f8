//! Volumes.

use std::collections::HashMap;

use axum::extract::State;
use kontena_core::id::Id;
use kontena_core::input::NewVolume;
use kontena_store::{Failure, GridRow, ServiceReference, Used, VolumeInstance, VolumeRow};
use kontena_wire::api;
use serde::Deserialize;

use super::answer::{Nothing, created, ok, time};
use super::caller::{Caller, Deed};
use super::grids::InGrid;
use super::notices::volumes_changed;
use super::refused::{Refused, Reply};
use super::submitted::{At, Submitted};
use crate::http::Api;

#[derive(Deserialize)]
pub(super) struct VolumeOfGrid {
    grid: String,
    volume: String,
}

/// These routes name the grid that is missing.
async fn grid(api: &Api, caller: &Caller, name: &str) -> Result<GridRow, Refused> {
    match api.resources.grid(caller, name).await {
        Err(Refused::Missing(_)) => Err(Refused::Missing(format!("Grid {name} not found"))),
        found => found,
    }
}

pub(super) async fn list(State(api): State<Api>, caller: Caller, At(at): At<InGrid>) -> Reply {
    let grid = grid(&api, &caller, &at.grid).await?;
    let rows = api.resources.store.volumes().of_grid(grid.id).await?;
    Ok(ok(api::Volumes { volumes: bodies(&api, &grid, &rows).await? }))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = grid(&api, &caller, &at.grid).await?;
    let wanted = NewVolume::read(&submitted.fields)?;
    let row = match api.resources.store.volumes().create(grid.id, &wanted).await {
        Err(Failure::Duplicate) => {
            return Err(Refused::field("name", "Volume with given name already exists"));
        }
        made => made?,
    };
    note(&api, &caller, "create", &row, &grid, &submitted.raw).await;
    Ok(created(body(&grid, &row, &HashMap::new(), &[])))
}

pub(super) async fn show(State(api): State<Api>, caller: Caller, At(at): At<VolumeOfGrid>) -> Reply {
    let grid = grid(&api, &caller, &at.grid).await?;
    let row = find(&api, &grid, &at.volume).await?;
    Ok(ok(bodies(&api, &grid, &[row]).await?.pop()))
}

pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<VolumeOfGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = grid(&api, &caller, &at.grid).await?;
    let row = find(&api, &grid, &at.volume).await?;
    let id = row.id.to_string();
    let users = api.resources.store.service_references().of(grid.id, Used::Volume, Some(&id)).await?;
    if !users.is_empty() {
        let paths: Vec<String> =
            users.iter().map(|user| format!("\"{}/{}\"", grid.name, user.path)).collect();
        let message = format!("Volume still in use in services [{}]", paths.join(", "));
        return Err(Refused::field(&row.name, message));
    }
    let removed = api.resources.store.volumes().remove(row.id).await?;
    volumes_changed(&api, removed.ok_or_else(|| missing(&at.volume))?);
    note(&api, &caller, "delete", &row, &grid, &submitted.raw).await;
    Ok(ok(Nothing {}))
}

fn missing(name: &str) -> Refused {
    Refused::Missing(format!("Volume {name} not found"))
}

async fn find(api: &Api, grid: &GridRow, name: &str) -> Result<VolumeRow, Refused> {
    api.resources.store.volumes().by_name(grid.id, name).await?.ok_or_else(|| missing(name))
}

async fn bodies(api: &Api, grid: &GridRow, rows: &[VolumeRow]) -> Result<Vec<api::Volume>, Refused> {
    let ids: Vec<Id> = rows.iter().map(|row| row.id).collect();
    let places = api.resources.store.volume_instances();
    let references = api.resources.store.service_references();
    let (instances, users) =
        tokio::try_join!(places.of_volumes(&ids), references.of(grid.id, Used::Volume, None))?;
    Ok(rows.iter().map(|row| body(grid, row, &instances, &users)).collect())
}

fn body(
    grid: &GridRow,
    row: &VolumeRow,
    instances: &HashMap<Id, Vec<VolumeInstance>>,
    users: &[ServiceReference],
) -> api::Volume {
    let VolumeRow { id, name, scope, driver, driver_opts, created_at, updated_at } = row;
    let key = id.to_string();
    let here = instances.get(id).map(Vec::as_slice).unwrap_or_default();
    let instance = |VolumeInstance { name, node }: &VolumeInstance| api::VolumeInstance {
        node: node.clone(),
        name: name.clone(),
    };
    let users = users.iter().filter(|user| user.uses.contains(&key));
    api::Volume {
        created_at: time(*created_at),
        updated_at: time(*updated_at),
        id: format!("{}/{name}", grid.name),
        name: name.clone(),
        scope: scope.clone(),
        driver: driver.clone(),
        driver_opts: driver_opts.clone(),
        instances: here.iter().map(instance).collect(),
        services: users.map(|user| api::ServiceId { id: format!("{}/{}", grid.name, user.path) }).collect(),
    }
}

async fn note(api: &Api, caller: &Caller, event: &'static str, row: &VolumeRow, grid: &GridRow, raw: &str) {
    let deed = Deed::new(event, "Volume", row.id, grid).named(&row.name).said(raw);
    caller.did(api, deed).await;
}
