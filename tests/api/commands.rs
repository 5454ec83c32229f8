//! What each command of the original's command line sends, outside services, with its headers and on its
//! own connection; and what it needs of the answers.

mod client;
mod lists;

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::host::{Host, Reports};
use crate::routes::Scene;
use crate::world::World;
use client::{Client, Heard};
use lists::{COMMANDS, Step};

/// The statuses that the command line takes for success.
const DONE: [u16; 3] = [200, 201, 204];
/// What the command line iterates over: it must be there, and be a list.
const LISTS: [(&str, &str); 16] = [
    ("/v1/grids", "grids"),
    ("/nodes", "nodes"),
    ("/secrets", "secrets"),
    ("/v1/volumes/main", "volumes"),
    ("/users", "users"),
    ("/oauth2/tokens", "tokens"),
    ("_logs", "logs"),
    ("/audit_log", "logs"),
    ("/stats", "stats"),
    ("/certificates", "certificates"),
    ("/domain_authorizations", "domain_authorizations"),
    ("/external_registries", "external_registries"),
    ("/v1/containers/main", "containers"),
    ("/logs", "logs"),
    ("/stacks", "stacks"),
    ("/services", "services"),
];

#[tokio::test]
async fn every_command_gets_what_it_needs() -> Result<()> {
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let _host = Host::connect(&world, 0, "token-of-main", Reports::All).await?;
    let (mut commands, mut calls) = (0, 0);
    for (command, steps) in COMMANDS {
        // A connection for each command.
        let mut client = Client::open(&world, &scene.admin).await?;
        for Step { method, path, body, expected } in *steps {
            let told = format!("{command}: {method} {path}");
            let body = filled(body, &scene);
            let path = path.replace("{token}", &scene.admin);
            let heard = client.call(method, &path, &body).await.with_context(|| told.clone())?;
            ensure!(heard.status == *expected, "{told}: {} {}", heard.status, heard.text);
            judge(&told, method, &path, &heard)?;
            calls += 1;
        }
        commands += 1;
    }
    println!("{commands} commands were played with {calls} calls");
    ensure!(commands > 60, "only {commands} commands");
    let twice: BTreeSet<&str> = COMMANDS.iter().map(|(command, _)| *command).collect();
    ensure!(twice.len() == COMMANDS.len(), "a command stands twice in the list");
    Ok(())
}

/// What no list can know.
fn filled(body: &str, scene: &Scene) -> String {
    let certificate = scene.certificate.to_string();
    body.replace("{certificate}", &certificate)
        .replace("{code}", &scene.code)
        .replace("{refresh}", &scene.refresh)
}

/// What the command line does with every answer, and what it would stumble over.
fn judge(told: &str, method: &str, path: &str, heard: &Heard) -> Result<()> {
    let Heard { status, reason, headers, text } = heard;
    ensure!(!reason.is_empty(), "{told}: no reason phrase");
    let version = headers.get("x-kontena-version").map(String::as_str).unwrap_or_default();
    let numbers = version.split('.').filter(|part| part.parse::<u32>().is_ok()).count();
    ensure!(numbers >= 3, "{told}: X-Kontena-Version is {version:?}");
    ensure!(
        headers.get("content-type").is_some_and(|kind| kind == "application/json"),
        "{told}: {headers:?}"
    );
    let body: Value = if text.is_empty() {
        Value::Null
    } else {
        serde_json::from_str(text).with_context(|| format!("{told}: {text}"))?
    };
    if !DONE.contains(status) {
        let error = &body["error"];
        let silent = text.is_empty() || (*status == 404 && body == json!({}));
        let readable = error.is_string() || error.is_object() || silent || body.is_string();
        ensure!(readable, "{told}: an error that cannot be shown: {text}");
        return Ok(());
    }
    if method == "GET" {
        let bare = path.split('?').next().unwrap_or_default();
        for (end, key) in LISTS {
            if bare.ends_with(end) {
                ensure!(body[key].is_array(), "{told}: {key} is no list: {text}");
            }
        }
    }
    for grid in of(&body, "grids") {
        ensure!(grid["initial_size"].is_i64() && grid["user_count"].is_i64(), "{told}: {grid}");
    }
    for node in of(&body, "nodes") {
        ensure!(node["node_number"].is_i64() && node["status"].is_string(), "{told}: {node}");
        let since = if node["connected"] == true { "connected_at" } else { "created_at" };
        ensure!(node[since].is_string(), "{told}: {node}");
    }
    for secret in of(&body, "secrets") {
        ensure!(secret["created_at"].is_string() && secret["updated_at"].is_string(), "{told}: {secret}");
        let fresh = secret["name"] == "kept";
        ensure!(!fresh || secret["created_at"] == secret["updated_at"], "{told}: {secret}");
    }
    for token in of(&body, "tokens").iter().chain(body.get("token_type").map(|_| &body)) {
        let objects = token["user"].is_object() && token["server"].is_object();
        ensure!(objects && token["scopes"].is_string(), "{told}: {token}");
    }
    for container in of(&body, "containers") {
        ensure!(container["state"].is_object() && container["created_at"].is_string(), "{told}: {container}");
    }
    for stack in of(&body, "stacks").iter().chain(body.get("variables").map(|_| &body)) {
        let lists =
            stack["children"].is_array() && stack["labels"].is_array() && stack["variables"].is_object();
        ensure!(lists && stack["services"].is_array(), "{told}: {stack}");
        ensure!(of(stack, "services").iter().all(|service| service["ports"].is_array()), "{told}: {stack}");
    }
    for registry in of(&body, "external_registries") {
        ensure!(registry.get("password").is_none(), "{told}: {registry}");
    }
    ensure!(body != json!({ "error": null }), "{told}: {text}");
    Ok(())
}

fn of<'a>(body: &'a Value, key: &str) -> &'a [Value] {
    body[key].as_array().map(Vec::as_slice).unwrap_or_default()
}
