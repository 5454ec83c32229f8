//! The list of pods: against what the original told a real agent of the same database.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use kontena_testkit::agent::{Agent, Dial, dial};
use kontena_wire::rpc::{Fault, Value, loose};
use mongodb::bson::{Bson, Document, doc};
use serde_json::json;

use super::{Stage, eventually};
use crate::process::start;

const SOON: Duration = Duration::from_secs(10);
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
/// What pods are made of.
const SOURCES: [&str; 10] = [
    "grid_service_instances",
    "grid_services",
    "grids",
    "host_nodes",
    "networks",
    "registries",
    "stack_revisions",
    "stacks",
    "volume_instances",
    "volumes",
];
/// The recorded agent.
const NODE_ID: &str = "3YQO:ZRP6:T6RZ:DDVO:E3BM:KUAC:HEAV:BK6I:TGC4:ADVY:DPIT:24M4";

/// The database of an original master, as it was while the recorded agent was connected.
async fn original(stage: &Stage) -> Result<()> {
    for name in SOURCES {
        let path = format!("{FIXTURES}/database/{name}.jsonl");
        let mut rows = Vec::new();
        for line in fs::read_to_string(&path)?.lines() {
            rows.push(serde_json::from_str::<Document>(line)?);
        }
        let collection = stage.outside.collection(name);
        collection.delete_many(doc! {}).await?;
        if !rows.is_empty() {
            collection.insert_many(rows).await?;
        }
    }
    Ok(())
}

fn as_json(value: &Value) -> serde_json::Value {
    match value {
        Value::Map(_) => {
            loose::entries(Some(value)).map(|(key, value)| (key.into_owned(), as_json(value))).collect()
        }
        Value::Array(elements) => elements.iter().map(as_json).collect(),
        Value::String(_) | Value::Binary(_) => json!(loose::text(value)),
        Value::Integer(_) => json!(loose::integer(value)),
        Value::Boolean(flag) => json!(flag),
        Value::F64(number) => json!(number),
        _ => json!(null),
    }
}

async fn list(stage: &Stage) -> Result<Result<Value, Fault>> {
    let dialed = Dial::agent(&stage.agent(1), &super::address(&stage.master), 0.0)
        .with("Kontena-Node-Id", NODE_ID)
        .with("Kontena-Grid-Token", "maingridtoken00");
    let mut connection = dial(&dialed).await?;
    connection.expect(SOON).await?;
    connection.ask("/node_service_pods/list", vec![Value::from(NODE_ID)]).await
}

#[tokio::test]
async fn an_existing_database_gives_the_pods_that_the_original_gave() -> Result<()> {
    let stage = Stage::set().await?;
    original(&stage).await?;
    // What the vault holds is not part of this.
    let without = doc! { "$unset": { "secrets": "", "certificates": "" } };
    stage.outside.collection("grid_services").update_many(doc! {}, without).await?;
    let answer = list(&stage).await??;
    let listed: Vec<serde_json::Value> =
        loose::elements(loose::get(&answer, "service_pods")).iter().map(as_json).collect();
    let recorded: Vec<serde_json::Value> =
        serde_json::from_str(&fs::read_to_string(format!("{FIXTURES}/agent/pods.json"))?)?;
    assert_eq!(listed.len(), recorded.len());
    let mut compared = 0;
    for mut wanted in recorded {
        wanted["secrets"] = json!([]);
        let found = listed.iter().find(|pod| pod["id"] == wanted["id"]).context("a pod is missing")?;
        // The original told what it had built at the last deploy, whatever was changed since.
        if found["service_revision"] != wanted["service_revision"] {
            continue;
        }
        compared += 1;
        for (field, value) in wanted.as_object().context("an object")? {
            if field != "updated_at" {
                assert_eq!(&found[field], value, "{field} of {}", wanted["id"]);
            }
        }
        assert_eq!(found.as_object().map(serde_json::Map::len), wanted.as_object().map(serde_json::Map::len));
    }
    assert_eq!(compared, 3);
    Ok(())
}

#[tokio::test]
async fn a_list_that_would_not_be_whole_is_not_given() -> Result<()> {
    let stage = Stage::set().await?;
    original(&stage).await?;
    let refused = |listed: Result<Value, Fault>| assert!(listed.is_err_and(|fault| fault.code >= 500));
    refused(list(&stage).await?);
    let services = stage.outside.collection("grid_services");
    services.update_many(doc! {}, doc! { "$unset": { "secrets": "", "certificates": "" } }).await?;
    assert!(list(&stage).await?.is_ok());
    let removed = services.find_one_and_delete(doc! { "name": "cache" }).await?.context("a service")?;
    refused(list(&stage).await?);
    services.insert_one(removed).await?;
    assert!(list(&stage).await?.is_ok());
    let instances = stage.outside.collection("grid_service_instances");
    instances.update_one(doc! {}, doc! { "$set": { "deploy_rev": Bson::Null } }).await?;
    refused(list(&stage).await?);
    eventually("a seeded database", async || {
        Ok(stage.outside.count("schema_migrations", doc! { "version": 31 }).await? == 1)
    })
    .await?;
    let migrations = stage.outside.collection("schema_migrations");
    migrations.delete_many(doc! { "version": { "$gt": 19 } }).await?;
    instances.delete_many(doc! {}).await?;
    refused(list(&stage).await?);
    migrations.insert_one(doc! { "version": 31 }).await?;
    assert!(list(&stage).await?.is_ok());
    Ok(())
}

#[tokio::test]
async fn an_agent_makes_what_is_listed_and_reports_it() -> Result<()> {
    let stage = Stage::set().await?;
    original(&stage).await?;
    let services = stage.outside.collection("grid_services");
    services.update_many(doc! {}, doc! { "$unset": { "secrets": "", "certificates": "" } }).await?;
    let instances = stage.outside.collection("grid_service_instances");
    instances
        .update_many(doc! {}, doc! { "$unset": { "rev": "" }, "$set": { "state": "initialized" } })
        .await?;
    let mut settings = stage.agent(1);
    settings.node_id = NODE_ID.to_owned();
    settings.token = kontena_testkit::agent::Token::Grid("maingridtoken00".to_owned());
    let agent = Agent::start(settings);
    eventually("all pods running", async || {
        Ok(stage
            .outside
            .count("grid_service_instances", doc! { "state": "running", "rev": { "$ne": Bson::Null } })
            .await?
            == 5)
    })
    .await?;
    eventually("their containers", async || {
        Ok(stage
            .outside
            .count("containers", doc! { "name": "shop.cache-2", "deleted_at": Bson::Null })
            .await?
            == 1)
    })
    .await?;
    assert_eq!(agent.record().faults(), Vec::<String>::new());
    // A second master has the same answer.
    let second = start("second", &stage.database).await?;
    super::ready(&second).await?;
    Ok(())
}
