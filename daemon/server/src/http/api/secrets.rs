//! The vault.

use axum::extract::State;
use axum::http::StatusCode;
use kontena_core::input::{NewSecret, SecretChange};
use kontena_store::{Failure, GridRow, SecretRow, ServiceReference, Used};
use kontena_wire::api;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::{Nothing, created, empty, ok, time};
use super::caller::{Caller, Deed};
use super::grids::InGrid;
use super::refused::{Refused, Reply};
use super::submitted::{At, Submitted};
use crate::http::Api;

/// How often a value that others change at the same time is read again.
const TRIES: usize = 5;

#[derive(Deserialize)]
pub(super) struct InVault {
    grid: String,
    name: String,
}

pub(super) async fn list(State(api): State<Api>, caller: Caller, At(at): At<InGrid>) -> Reply {
    api.resources.vault()?;
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let rows = api.resources.store.grid_secrets().of_grid(grid.id).await?;
    let users = api.resources.store.service_references().of(grid.id, Used::Secret, None).await?;
    let summary = |row: &SecretRow| api::SecretSummary {
        id: format!("{}/{}", grid.name, row.name),
        name: row.name.clone(),
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
        services: services(&grid, &users, &row.name),
    };
    Ok(ok(api::Secrets { secrets: rows.iter().map(summary).collect() }))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    api.resources.vault()?;
    let grid = api.resources.grid(&caller, &at.grid).await?;
    make(&api, &caller, &grid, &submitted.fields).await
}

pub(super) async fn show(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InVault>,
    submitted: Submitted,
) -> Reply {
    api.resources.vault()?;
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let row = find(&api, &grid, &at.name).await?.ok_or_else(Refused::not_found)?;
    note(&api, &caller, "show", &row, &grid, Some(&submitted.raw)).await;
    Ok(ok(secret(&api, &grid, &row).await?))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InVault>,
    submitted: Submitted,
) -> Reply {
    let vault = api.resources.vault()?;
    let grid = api.resources.grid(&caller, &at.grid).await?;
    for _ in 0..TRIES {
        let Some(row) = find(&api, &grid, &at.name).await? else {
            if SecretChange::creates(&submitted.fields) {
                return make(&api, &caller, &grid, &submitted.fields).await;
            }
            return Ok(empty(StatusCode::NOT_FOUND));
        };
        let SecretChange { value } = SecretChange::read(&submitted.fields)?;
        let changed = if vault.decrypt(&row.value).is_ok_and(|old| old == value) {
            row
        } else {
            let encrypted = vault.encrypt(&value, rand::random());
            match api.resources.store.grid_secrets().update(grid.id, &row, &encrypted).await? {
                Some(changed) => changed,
                // Somebody else changed or removed it meanwhile.
                None => continue,
            }
        };
        note(&api, &caller, "update", &changed, &grid, None).await;
        return Ok(ok(secret(&api, &grid, &changed).await?));
    }
    Err(Refused::Busy)
}

pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InVault>,
    submitted: Submitted,
) -> Reply {
    api.resources.vault()?;
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let removed = api.resources.store.grid_secrets().remove(grid.id, &at.name).await?;
    let row = removed.ok_or_else(Refused::not_found)?;
    note(&api, &caller, "delete", &row, &grid, Some(&submitted.raw)).await;
    Ok(ok(Nothing {}))
}

async fn make(api: &Api, caller: &Caller, grid: &GridRow, fields: &Map<String, Value>) -> Reply {
    let NewSecret { name, value } = NewSecret::read(fields)?;
    let encrypted = api.resources.vault()?.encrypt(&value, rand::random());
    let row = match api.resources.store.grid_secrets().create(grid.id, &name, &encrypted).await {
        Err(Failure::Duplicate) => return Err(Refused::field("name", "is already taken")),
        made => made?,
    };
    note(api, caller, "create", &row, grid, None).await;
    Ok(created(secret(api, grid, &row).await?))
}

async fn find(api: &Api, grid: &GridRow, name: &str) -> Result<Option<SecretRow>, Refused> {
    Ok(api.resources.store.grid_secrets().by_name(grid.id, name).await?)
}

async fn secret(api: &Api, grid: &GridRow, row: &SecretRow) -> Result<api::Secret, Refused> {
    let users = api.resources.store.service_references().of(grid.id, Used::Secret, Some(&row.name)).await?;
    Ok(api::Secret {
        id: format!("{}/{}", grid.name, row.name),
        name: row.name.clone(),
        created_at: time(row.created_at),
        value: api.resources.vault()?.decrypt(&row.value)?,
        services: services(grid, &users, &row.name),
    })
}

fn services(grid: &GridRow, users: &[ServiceReference], name: &str) -> Vec<api::Named> {
    let concerned = |service: &&ServiceReference| service.uses.iter().any(|used| used == name);
    let named = |service: &ServiceReference| api::Named {
        id: format!("{}/{}", grid.name, service.path),
        name: service.name.clone(),
    };
    users.iter().filter(concerned).map(named).collect()
}

async fn note(
    api: &Api,
    caller: &Caller,
    event: &'static str,
    row: &SecretRow,
    grid: &GridRow,
    body: Option<&str>,
) {
    let deed = Deed { body, ..Deed::new(event, "GridSecret", row.id, grid).named(&row.name) };
    caller.did(api, deed).await;
}
