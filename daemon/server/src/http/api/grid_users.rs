//! The users of a grid.

use axum::extract::State;
use kontena_core::form::{Form, text};
use kontena_core::id::Id;
use kontena_store::{GridRow, Unassigned};
use kontena_wire::api;
use serde::Deserialize;

use super::answer::{created, ok};
use super::caller::{Caller, Deed};
use super::grids::InGrid;
use super::refused::{Refused, Reply};
use super::submitted::{At, Submitted};
use super::users::body;
use crate::http::Api;

#[derive(Deserialize)]
pub(super) struct UserOfGrid {
    grid: String,
    email: String,
}

pub(super) async fn list(State(api): State<Api>, caller: Caller, At(at): At<InGrid>) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    Ok(ok(members(&api, &grid).await?))
}

pub(super) async fn assign(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let mut form = Form::new(&submitted.fields);
    let email = form.required("email", &text());
    let email = form.conclude(email)?;
    let user = api.resources.store.users().by_email(&email).await?.ok_or_else(unknown)?;
    may_assign(&caller, &grid)?;
    if !api.resources.store.users().assign(user.id(), grid.id).await? {
        return Err(Refused::not_found());
    }
    note(&api, &caller, "assign user", user.id(), &grid, &submitted.raw).await;
    Ok(created(members(&api, &current(&api, &grid).await?).await?))
}

pub(super) async fn unassign(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<UserOfGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let user = api.resources.store.users().by_email(&at.email).await?.ok_or_else(unknown)?;
    may_assign(&caller, &grid)?;
    match api.resources.store.users().unassign(user.id(), grid.id).await? {
        Unassigned::Done => {}
        Unassigned::NoMember => return Err(Refused::field("user", "Invalid user")),
        Unassigned::LastMember => return Err(Refused::field("grid", "Cannot remove last user")),
    }
    note(&api, &caller, "unassign user", user.id(), &grid, &submitted.raw).await;
    Ok(ok(members(&api, &current(&api, &grid).await?).await?))
}

fn unknown() -> Refused {
    Refused::Missing("User not found".to_owned())
}

fn may_assign(caller: &Caller, grid: &GridRow) -> Result<(), Refused> {
    if caller.actor().may_assign(grid.id) {
        Ok(())
    } else {
        Err(Refused::field("grid", "Operation not allowed"))
    }
}

async fn current(api: &Api, grid: &GridRow) -> Result<GridRow, Refused> {
    api.resources.store.grids().by_name(&grid.name).await?.ok_or_else(Refused::not_found)
}

async fn members(api: &Api, grid: &GridRow) -> Result<api::Users, Refused> {
    let users = api.resources.store.users().of_grid(&grid.members).await?;
    Ok(api::Users { users: users.iter().map(body).collect() })
}

async fn note(api: &Api, caller: &Caller, event: &'static str, user: Id, grid: &GridRow, raw: &str) {
    let deed = Deed::new(event, "User", user, grid).said(raw);
    caller.did(api, deed).await;
}
