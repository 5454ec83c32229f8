//! Nodes that were meant to go are removed with what hangs on them, and no others.

use std::time::Duration;

use anyhow::Result;
use kontena_testkit::mongod::shared;
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};

use super::{Stage, eventually};
use crate::store::{Outside, prepare};

/// How long ago a node was seen that may go, and one that may not.
const LONG: Duration = Duration::from_secs(7 * 3600);
const SHORT: Duration = Duration::from_secs(5 * 3600);

fn node(name: &str, grid: ObjectId, number: i32, seen: Duration, labels: &[&str]) -> Document {
    let seen = i64::try_from(seen.as_millis()).unwrap_or(i64::MAX);
    doc! {
        "name": name, "node_id": name, "grid_id": grid, "node_number": number, "connected": false,
        "labels": labels, "last_seen_at": DateTime::from_millis(DateTime::now().timestamp_millis() - seen),
    }
}

#[tokio::test]
async fn only_ephemeral_nodes_that_are_long_gone_and_hold_nothing_are_removed() -> Result<()> {
    let database = shared().await?.database();
    prepare(&database).await?;
    let outside = Outside::of(&database).await?;
    let (grid, stateful, stateless) = (ObjectId::new(), ObjectId::new(), ObjectId::new());
    outside.collection("grids").insert_one(doc! { "_id": grid, "name": "old", "initial_size": 3 }).await?;
    let service = |id: ObjectId, name: &str, stateful: bool| {
        doc! { "_id": id, "grid_id": grid, "name": name, "stateful": stateful }
    };
    let services = [service(stateful, "db", true), service(stateless, "web", false)];
    outside.collection("grid_services").insert_many(services).await?;
    let ephemeral = ["ephemeral"];
    let mut connected = node("connected", grid, 7, LONG, &ephemeral);
    // Its agent looks for another master just now.
    connected.insert("connected", true);
    connected.insert("session_lost_at", DateTime::now());
    let nodes = [
        node("gone", grid, 4, LONG, &["zone=a", "ephemeral"]),
        node("empty", grid, 5, LONG, &["ephemeral=yes"]),
        node("member", grid, 3, LONG, &ephemeral),
        node("lately", grid, 6, SHORT, &ephemeral),
        connected,
        node("holds", grid, 8, LONG, &ephemeral),
        node("usual", grid, 9, LONG, &["zone=a", "ephemerality", "is=ephemeral"]),
    ];
    let made = outside.collection("host_nodes").insert_many(nodes).await?;
    let id = |index: usize| made.inserted_ids[&index].clone();
    let container = |node: Bson, service: ObjectId| {
        doc! { "container_id": ObjectId::new().to_hex(), "host_node_id": node, "grid_service_id": service }
    };
    let containers = [container(id(0), stateless), container(id(5), stateful)];
    outside.collection("containers").insert_many(containers).await?;
    let instance = doc! { "host_node_id": id(0), "grid_service_id": stateless, "instance_number": 1 };
    outside.collection("grid_service_instances").insert_one(instance).await?;
    let place = doc! { "host_node_id": id(0), "volume_id": ObjectId::new(), "name": "data" };
    outside.collection("volume_instances").insert_one(place).await?;

    let master = crate::process::start("only", &database).await?;
    let stage = Stage::around(master, database).await?;
    let count = async |name: &str, filter: Document| stage.outside.count(name, filter).await;
    eventually("two nodes removed", async || {
        Ok(count("host_nodes", doc! { "name": { "$in": ["gone", "empty"] } }).await? == 0)
    })
    .await?;
    let mut left = Vec::new();
    let mut rows = stage.outside.collection("host_nodes").find(doc! {}).sort(doc! { "name": 1 }).await?;
    while rows.advance().await? {
        left.push(rows.deserialize_current()?.get_str("name")?.to_owned());
    }
    assert_eq!(left, ["connected", "holds", "lately", "member", "usual"]);
    assert_eq!(count("containers", doc! {}).await?, 1, "what the removed node held is gone with it");
    assert_eq!(count("volume_instances", doc! {}).await?, 0);
    let instance = stage.outside.one("grid_service_instances", doc! {}).await?;
    assert_eq!(instance.get("host_node_id"), Some(&Bson::Null), "its instance waits for another place");
    Ok(())
}
