//! Credentials for image registries.

use axum::extract::State;
use axum::http::StatusCode;
use kontena_core::input::NewRegistry;
use kontena_store::{Failure, GridRow, RegistryRow};
use kontena_wire::api;
use serde::Deserialize;

use super::answer::{created, empty, ok};
use super::caller::Caller;
use super::grids::InGrid;
use super::refused::{Refused, Reply};
use super::submitted::{At, Submitted};
use crate::http::Api;

#[derive(Deserialize)]
pub(super) struct RegistryOfGrid {
    grid: String,
    name: String,
}

fn body(grid: &GridRow, row: &RegistryRow) -> api::Registry {
    let RegistryRow { name, url, username, email } = row.clone();
    api::Registry { id: format!("{}/{name}", grid.name), name, url, username, email }
}

pub(super) async fn list(State(api): State<Api>, caller: Caller, At(at): At<InGrid>) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let rows = api.resources.store.registries().of_grid(grid.id).await?;
    Ok(ok(api::Registries { external_registries: rows.iter().map(|row| body(&grid, row)).collect() }))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let registry = NewRegistry::read(&submitted.fields)?;
    match api.resources.store.registries().create(grid.id, &registry).await {
        // The original said it was created, and kept the old credentials.
        Err(Failure::Duplicate) => Err(Refused::field("name", "is already taken")),
        made => Ok(created(body(&grid, &made?))),
    }
}

pub(super) async fn show(State(api): State<Api>, caller: Caller, At(at): At<RegistryOfGrid>) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let row = api.resources.store.registries().by_name(grid.id, &at.name).await?;
    Ok(ok(body(&grid, &row.ok_or_else(Refused::not_found)?)))
}

pub(super) async fn remove(State(api): State<Api>, caller: Caller, At(at): At<RegistryOfGrid>) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    if !api.resources.store.registries().remove(grid.id, &at.name).await? {
        return Err(Refused::not_found());
    }
    Ok(empty(StatusCode::OK))
}
