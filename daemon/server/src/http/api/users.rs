//! Users and what they were granted.

use axum::extract::State;
use axum::http::StatusCode;
use kontena_core::access::Role;
use kontena_core::form::{Form, Invalid, text};
use kontena_store::{Granted, UserRow};
use kontena_wire::api;
use serde::Deserialize;

use super::answer::{Answer, Nothing, created, ok};
use super::caller::Caller;
use super::refused::{Refused, Reply};
use super::submitted::{At, Submitted};
use crate::http::Api;
use axum::response::IntoResponse;

#[derive(Deserialize)]
pub(super) struct OfUser {
    email: String,
}

#[derive(Deserialize)]
pub(super) struct RoleOfUser {
    email: String,
    role: String,
}

/// A user as clients see it.
pub(super) fn body(user: &UserRow) -> api::User {
    let role =
        |role: &Role| api::Role { name: role.name().to_owned(), description: role.description().to_owned() };
    // In the order in which a new database has them.
    let held = Role::ALL.iter().filter(|role| user.actor.roles.contains(role));
    api::User {
        id: user.id().to_string(),
        email: user.actor.email.clone(),
        name: user.name.clone(),
        roles: held.map(role).collect(),
    }
}

pub(super) async fn own(caller: Caller) -> Reply {
    Ok(ok(body(&caller.user)))
}

pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Reply {
    if !caller.actor().may_manage_users() {
        return Err(Refused::Forbidden("Operation not allowed"));
    }
    let users = api.resources.store.users().all().await?;
    Ok(ok(api::Users { users: users.iter().map(body).collect() }))
}

pub(super) async fn remove(State(api): State<Api>, caller: Caller, At(at): At<OfUser>) -> Reply {
    let user = find(&api, &at.email).await?;
    let refuse = |why| Refused::InvalidAs(StatusCode::BAD_REQUEST, Invalid::of("user", why));
    if !caller.actor().may_manage_users() {
        return Err(refuse("Operation not allowed"));
    }
    if user.id() == caller.id() {
        return Err(refuse("Cannot remove itself"));
    }
    // Who may not make administrators must not unmake them either.
    if user.actor.is_master_admin() && !caller.actor().may_administrate() {
        return Err(refuse("Operation not allowed"));
    }
    if !api.resources.store.users().remove(user.id()).await? {
        return Err(Refused::not_found());
    }
    Ok(ok(Nothing {}))
}

pub(super) async fn grant(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<OfUser>,
    submitted: Submitted,
) -> Reply {
    let user = find(&api, &at.email).await?;
    let mut form = Form::new(&submitted.fields);
    let role = form.required("role", &text());
    let name = form.conclude(role)?;
    let role = judge(&caller, &name)?;
    match api.resources.store.users().grant(user.id(), role).await? {
        Granted::Done => Ok(created(body(&find(&api, &at.email).await?))),
        Granted::Missing | Granted::LastHolder => Err(Refused::not_found()),
    }
}

pub(super) async fn revoke(State(api): State<Api>, caller: Caller, At(at): At<RoleOfUser>) -> Reply {
    let user = find(&api, &at.email).await?;
    let role = judge(&caller, &at.role)?;
    match api.resources.store.users().revoke(user.id(), role).await? {
        Granted::Done => Ok(Answer(StatusCode::OK, body(&find(&api, &at.email).await?)).into_response()),
        Granted::Missing => Err(Refused::not_found()),
        Granted::LastHolder => {
            Err(Refused::field("role", "Not allowed to remove last user from Master admin role"))
        }
    }
}

fn judge(caller: &Caller, name: &str) -> Result<Role, Refused> {
    let mut faults = Invalid::default();
    if !caller.actor().may_administrate() {
        faults.add("current_user", "Operation not allowed");
    }
    let role = Role::from_name(name);
    if role.is_none() {
        faults.add("role", format!("Role '{name}' not found"));
    }
    faults.check()?;
    role.ok_or_else(Refused::not_found)
}

async fn find(api: &Api, email: &str) -> Result<UserRow, Refused> {
    api.resources.store.users().by_email(email).await?.ok_or_else(Refused::not_found)
}
