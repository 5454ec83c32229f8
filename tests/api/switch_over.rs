//! From an original master and back, as packaging/SWITCH-OVER.md tells it, with the database that was recorded of one.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kontena_testkit::mongod::shared;
use kontena_testkit::program::program;
use mongodb::bson::{DateTime, Document, doc};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::host::{Host, Reports};
use crate::replay::GRID_TOKEN;
use crate::takeover::{self, ADMIN, dump, recorded_documents};
use crate::way_back;
use crate::world::{CODE, Request, VAULT_IV, VAULT_KEY, World};

const PATIENCE: Duration = Duration::from_secs(30);

/// Runs the program with a configuration of its own, and what an original has in its environment.
fn run(configuration: &std::path::Path, uri: &str, arguments: &[&str]) -> Result<(bool, String)> {
    let mut command = Command::new(program("kontena-master")?);
    command.env_clear().env("VAULT_KEY", VAULT_KEY).env("VAULT_IV", VAULT_IV).env("MONGODB_URI", uri);
    command.env("INITIAL_ADMIN_CODE", CODE).arg("--config").arg(configuration).args(arguments);
    let output = command.output()?;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

/// An original master says something to its like.
async fn sign_of_life(world: &World) -> Result<()> {
    let message = doc! { "channel": "master:leader_elect", "created_at": DateTime::now() };
    world.collection("pubsub_channels").insert_one(message).await?;
    Ok(())
}

#[tokio::test]
async fn an_original_master_is_replaced_and_can_come_back() -> Result<()> {
    let database = shared().await?.database();
    let uri = database.uri.clone();
    let mut world = World::on(database, 0).await?;
    takeover::restore_deployed(world.outside()).await?;
    let before = dump(world.outside()).await?;

    // Over.
    let directory = tempfile::tempdir()?;
    let configuration = directory.path().join("master.toml");
    sign_of_life(&world).await?;
    let (made, said) = run(&configuration, &uri, &["bootstrap"])?;
    ensure!(made, "{said}");
    let text = std::fs::read_to_string(&configuration)?;
    for kept in [VAULT_KEY, VAULT_IV, CODE] {
        assert!(text.contains(kept), "bootstrap did not take over what the original had");
    }
    let (well, said) = run(&configuration, &uri, &["doctor"])?;
    assert!(!well && said.contains("original master: one is running on this database"), "{said}");
    world.collection("pubsub_channels").delete_many(doc! {}).await?;
    let (_, said) = run(&configuration, &uri, &["doctor"])?;
    assert!(said.contains("original master: none is running") && said.contains("vault key"), "{said}");
    world.join("heir").await?;
    world.acting().await?;

    // Everybody goes on with what they had.
    let host = Host::connect(&world, 0, GRID_TOKEN, Reports::All).await?;
    let ask = |method: Method, path: &str, body: &serde_json::Value| {
        world.ask(Request::new(method, path).token(ADMIN).json(body))
    };
    let node = ask(Method::GET, "/v1/nodes/main/core-1", &json!({})).await?;
    assert_eq!((node.status, &node.json()["connected"]), (StatusCode::OK, &json!(true)), "{}", node.text);
    for (path, body) in [
        ("/v1/grids/main/secrets", json!({ "name": "since", "value": "the switch" })),
        ("/v1/grids/main/services", json!({ "name": "since", "image": "busybox:1", "stateful": false })),
        ("/v1/grids", json!({ "name": "since" })),
        ("/v1/services/main/null/since/deploy", json!({})),
    ] {
        let answer = ask(Method::POST, path, &body).await?;
        ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
    }
    drop(host);

    // Back.
    for master in &mut world.masters {
        ensure!(master.stop(PATIENCE).await?.success(), "{}", master.log_tail());
    }
    let after = dump(world.outside()).await?;
    for (name, rows) in &before {
        let ids = |rows: &[Document]| {
            rows.iter().filter_map(|row| row.get("_id").map(ToString::to_string)).collect::<BTreeSet<_>>()
        };
        let gone: Vec<_> = ids(rows).difference(&ids(&after[name])).cloned().collect();
        // What expires does so under the original too.
        assert!(gone.is_empty() || name == "authorization_requests", "{name}: {gone:?} are gone");
    }
    assert_eq!(after["schema_migrations"], before["schema_migrations"]);
    way_back::check(&world, &["grid_services", "grid_service_deploys", "grid_secrets", "grids"]).await?;
    // What the original does when it starts.
    takeover::make_indexes(world.outside()).await?;
    let lock = doc! { "name": "leader_elect" };
    let locks = world.collection("distributed_locks");
    let held = locks.find_one(lock.clone()).await?.context("nobody held the original's lock")?;
    let free_at = held.get_datetime("created_at")?.timestamp_millis();
    let now = DateTime::now().timestamp_millis();
    assert!(free_at - now < 301_000, "the lock is held for longer than the page says");
    assert_eq!(locks.delete_one(lock).await?.deleted_count, 1);
    let connected = doc! { "connected": true };
    assert_eq!(world.collection("host_nodes").count_documents(connected).await?, 0, "nodes without a master");
    Ok(())
}

#[test]
fn the_recorded_database_is_of_the_form_that_it_is_compared_with() -> Result<()> {
    for (name, rows) in recorded_documents()? {
        assert_eq!(way_back::differences(&name, &rows, &rows), [""; 0]);
    }
    Ok(())
}
