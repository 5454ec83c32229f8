//! Frames of a real agent, against the documents that the original made of them.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use kontena_testkit::agent::{Connection, Dial, dial};
use kontena_wire::rpc::{Message, Value, loose};
use mongodb::bson::{Bson, Document, doc};

use super::Stage;
use super::pods::{FIXTURES, NODE_ID, original};

const SOON: Duration = Duration::from_secs(10);
/// What differs from row to row for no reason that an agent gives.
const OF_THE_ROW: [&str; 3] = ["_id", "created_at", "updated_at"];

/// The parameters of all recorded requests of one method.
fn recorded(wanted: &str) -> Result<Vec<Vec<Value>>> {
    let mut found = Vec::new();
    for line in fs::read_to_string(format!("{FIXTURES}/agent/frames.jsonl"))?.lines() {
        let row: serde_json::Value = serde_json::from_str(line)?;
        if row["from"] != "agent" || row["method"] != wanted {
            continue;
        }
        let hex = row["hex"].as_str().context("no bytes")?;
        let bytes: Result<Vec<u8>, _> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16)).collect();
        if let Message::Request { method: _, params, id: _ } = Message::decode(&bytes?)? {
            found.push(params);
        }
    }
    anyhow::ensure!(!found.is_empty(), "no frame of {wanted}");
    Ok(found)
}

async fn connected(stage: &Stage) -> Result<Connection> {
    let dialed = Dial::agent(&stage.agent(1), &super::address(&stage.master), 0.0)
        .with("Kontena-Node-Id", NODE_ID)
        .with("Kontena-Grid-Token", "maingridtoken00");
    let mut connection = dial(&dialed).await?;
    connection.expect(SOON).await?;
    Ok(connection)
}

/// Without the ids that embedded documents have of their own.
fn bare(value: &Bson) -> Bson {
    match value {
        Bson::Document(document) => {
            let fields = document.iter().filter(|(key, _)| *key != "_id");
            Bson::Document(fields.map(|(key, value)| (key.clone(), bare(value))).collect())
        }
        Bson::Array(items) => Bson::Array(items.iter().map(bare).collect()),
        other => other.clone(),
    }
}

fn compare(found: &Document, wanted: &Document, fields: impl Iterator<Item = String>) {
    for field in fields {
        let value = |row: &Document| row.get(&field).map(bare).filter(|value| *value != Bson::Null);
        assert_eq!(value(found), value(wanted), "{field}");
    }
}

#[tokio::test]
async fn what_a_real_agent_reports_of_its_host_is_stored_as_the_original_stored_it() -> Result<()> {
    let stage = Stage::set().await?;
    original(&stage).await?;
    let nodes = stage.outside.collection("host_nodes");
    let wanted = stage.outside.one("host_nodes", doc! { "node_id": NODE_ID }).await?;
    let reported = [
        "os",
        "docker_root_dir",
        "driver",
        "execution_driver",
        "ipv4_forwarding",
        "kernel_version",
        "mem_total",
        "mem_limit",
        "cpus",
        "swap_limit",
        "public_ip",
        "private_ip",
        "agent_version",
        "docker_version",
        "volume_drivers",
        "network_drivers",
    ];
    let none: Document = reported.iter().map(|field| ((*field).to_owned(), Bson::from(""))).collect();
    nodes.update_one(doc! { "node_id": NODE_ID }, doc! { "$unset": none }).await?;
    let mut agent = connected(&stage).await?;
    let report = recorded("/nodes/update")?.pop().context("no report")?;
    assert_eq!(agent.ask("/nodes/update", report).await?, Ok(Value::from(true)));
    let found = stage.outside.one("host_nodes", doc! { "node_id": NODE_ID }).await?;
    compare(&found, &wanted, reported.iter().map(|field| (*field).to_owned()));
    assert!(found.get_bool("updated")?);
    // It has labels, which a report does not replace.
    assert_eq!(found.get("labels"), wanted.get("labels"));
    Ok(())
}

#[tokio::test]
async fn containers_of_a_real_agent_become_the_rows_of_the_original() -> Result<()> {
    let stage = Stage::set().await?;
    original(&stage).await?;
    let mut agent = connected(&stage).await?;
    let mut compared = 0;
    let rows = fs::read_to_string(format!("{FIXTURES}/database/containers.jsonl"))?;
    for params in recorded("/containers/save")? {
        let container =
            params.first().and_then(|body| loose::get(body, "container")).context("no container")?;
        let id = loose::text_at(container, "Id").context("no id")?;
        let Some(wanted) = rows.lines().find(|row| row.contains(&id)) else { continue };
        let wanted: Document = serde_json::from_str(wanted)?;
        agent.ask("/containers/save", params.clone()).await??;
        let found = stage.outside.one("containers", doc! { "container_id": &id }).await?;
        let fields = wanted.keys().filter(|key| !OF_THE_ROW.contains(&key.as_str())).cloned();
        compare(&found, &wanted, fields);
        compared += 1;
    }
    assert!(compared >= 2, "{compared}");
    Ok(())
}
