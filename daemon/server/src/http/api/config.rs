//! The configuration in the database.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::{Nothing, created, ok};
use super::caller::{Caller, Deed};
use super::refused::{Refused, Reply};
use super::resources::is_encrypted;
use super::submitted::{At, Query, Submitted};
use crate::http::Api;

/// What only masters need.
const SALT: &str = "server.salt";
const MASKED: &str = "***";

#[derive(Deserialize)]
pub(super) struct OfKey {
    key: String,
}

pub(super) async fn list(State(api): State<Api>, caller: Caller, query: Query) -> Reply {
    caller.administrates()?;
    let filter = query.text("filter").unwrap_or_default();
    let wanted = |key: &str| match filter.strip_suffix('*') {
        Some(prefix) => key.starts_with(prefix),
        None => key.contains(filter),
    };
    let values = api.resources.configuration().await?;
    let shown: Map<String, Value> =
        values.into_iter().filter(|(key, _)| key != SALT && wanted(key)).collect();
    Ok(ok(shown))
}

pub(super) async fn show(State(api): State<Api>, caller: Caller, At(at): At<OfKey>) -> Reply {
    caller.administrates()?;
    let stored =
        if at.key == SALT { None } else { api.resources.store.configurations().get(&at.key).await? };
    let stored = stored.ok_or_else(|| Refused::Text(StatusCode::NOT_FOUND, "Not found".to_owned()))?;
    let value = api.resources.readable(&at.key, stored)?;
    Ok(ok(Map::from_iter([(at.key, value)])))
}

pub(super) async fn change(State(api): State<Api>, caller: Caller, submitted: Submitted) -> Reply {
    caller.administrates()?;
    set(&api, &caller, submitted.fields).await?;
    Ok(created(Nothing {}))
}

/// Despite its name and like the original this removes nothing: the command line imports single values with it.
pub(super) async fn replace(State(api): State<Api>, caller: Caller, submitted: Submitted) -> Reply {
    caller.administrates()?;
    cleared(&api, &caller).await?;
    set(&api, &caller, submitted.fields).await?;
    Ok(created(Nothing {}))
}

/// Removes nothing either, for the same reason.
pub(super) async fn clear(State(api): State<Api>, caller: Caller) -> Reply {
    caller.administrates()?;
    cleared(&api, &caller).await?;
    Ok(created(Nothing {}))
}

pub(super) async fn remove(State(api): State<Api>, caller: Caller, At(at): At<OfKey>) -> Reply {
    caller.administrates()?;
    set(&api, &caller, Map::from_iter([(at.key, Value::Null)])).await?;
    Ok(created(Nothing {}))
}

async fn cleared(api: &Api, caller: &Caller) -> Result<(), Refused> {
    api.resources.store.users().forget_external_ids().await?;
    let description = Some("Cleared configuration".to_owned());
    let deed = Deed { event: "destroy_all", body: Some(""), description, ..config() };
    caller.did(api, deed).await;
    Ok(())
}

async fn set(api: &Api, caller: &Caller, fields: Map<String, Value>) -> Result<(), Refused> {
    let fields: Vec<(String, Value)> = fields.into_iter().filter(|(key, _)| key != SALT).collect();
    let mut stored = BTreeMap::new();
    for (key, value) in &fields {
        let value = match (value, &api.resources.vault) {
            (Value::Null, _) => Value::Null,
            (value, Some(vault)) if is_encrypted(key) => vault.encrypt(&plain(value), rand::random()).into(),
            (_, None) if is_encrypted(key) => return Err(Refused::NoVault),
            (value, _) => value.clone(),
        };
        stored.insert(key.clone(), value);
    }
    if fields.iter().any(|(key, _)| key.starts_with("oauth2.") || key == "server.root_url") {
        // Another provider may know other users by the same ids.
        api.resources.store.users().forget_external_ids().await?;
    }
    api.resources.store.configurations().set(&stored).await?;
    for (key, value) in fields {
        let shown = match &value {
            Value::Null => String::new(),
            _ if is_encrypted(&key) => MASKED.to_owned(),
            value => plain(value),
        };
        let quoted = if value.is_null() { "nil".to_owned() } else { format!("\"{shown}\"") };
        let body = format!("{{\"{key}\" : \"{quoted}\"}}");
        let description = Some(format!("Changed value of '{key}' to '{shown}'"));
        caller.did(api, Deed { event: "modify", body: Some(&body), description, ..config() }).await;
    }
    Ok(())
}

fn config<'a>() -> Deed<'a> {
    Deed { resource_type: "config", resource_name: Some("config"), ..Deed::default() }
}

/// A value as the audit log tells it.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
