//! The list of pods: against what the original told a real agent of the same database.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};
use kontena_testkit::agent::{Agent, Dial, dial};
use kontena_wire::rpc::{Fault, Value, loose};
use mongodb::bson::{Bson, DateTime, Document, doc};
use serde_json::json;

use super::{Stage, eventually};
use crate::process::start;

const SOON: Duration = Duration::from_secs(10);
pub(super) const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures");
/// What pods are made of.
const SOURCES: [&str; 12] = [
    "certificates",
    "grid_secrets",
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
/// The vault of the recorded master.
const VAULT: &str = "[vault]\nkey = \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\n";
/// The recorded agent.
pub(super) const NODE_ID: &str = "3YQO:ZRP6:T6RZ:DDVO:E3BM:KUAC:HEAV:BK6I:TGC4:ADVY:DPIT:24M4";

/// The database of an original master, as it was while the recorded agent was connected.
pub(super) async fn original(stage: &Stage) -> Result<()> {
    let later = DateTime::from_millis(DateTime::now().timestamp_millis() + 86_400_000);
    for name in SOURCES {
        let path = format!("{FIXTURES}/database/{name}.jsonl");
        let mut rows = Vec::new();
        for line in fs::read_to_string(&path)?.lines() {
            let mut row = serde_json::from_str::<Document>(line)?;
            if name == "grid_services" {
                // Otherwise the leader would deploy them anew, as their intervals want.
                row.insert("deployed_at", later);
            }
            rows.push(row);
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
    let stage = Stage::configured(VAULT).await?;
    original(&stage).await?;
    let answer = list(&stage).await??;
    let listed: Vec<serde_json::Value> =
        loose::elements(loose::get(&answer, "service_pods")).iter().map(as_json).collect();
    let recorded: Vec<serde_json::Value> =
        serde_json::from_str(&fs::read_to_string(format!("{FIXTURES}/agent/pods.json"))?)?;
    assert_eq!(listed.len(), recorded.len());
    let mut compared = 0;
    for wanted in recorded {
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

fn refused(listed: Result<Value, Fault>) {
    assert!(listed.is_err_and(|fault| fault.code >= 500));
}

/// The secrets of an instance of this name, as names and values.
fn secrets_of(listed: &Value, name: &str) -> Result<Vec<(String, Option<String>)>> {
    let pods = loose::elements(loose::get(listed, "service_pods"));
    let named = |pod: &&Value| loose::text_at(pod, "service_name").as_deref() == Some(name);
    let pod = pods.iter().find(named).context("a pod is missing")?;
    let secret = |secret: &Value| {
        let text = |key| loose::text_at(secret, key);
        (text("name").unwrap_or_default(), text("value"))
    };
    Ok(loose::elements(loose::get(pod, "secrets")).iter().map(secret).collect())
}

#[tokio::test]
async fn an_instance_gets_certificates_and_answers_to_challenges_with_its_secrets() -> Result<()> {
    let stage = Stage::configured(VAULT).await?;
    original(&stage).await?;
    let services = stage.outside.collection("grid_services");
    let cache = services.find_one(doc! { "name": "cache" }).await?.context("a service")?;
    let cache = cache.get_object_id("_id")?;
    let uses = doc! { "$set": { "secrets": [
        { "name": "PW", "type": "env", "secret": "shop-db-password" },
        { "name": "NONE", "type": "env", "secret": "not there" },
    ], "certificates": [{ "subject": "shop.example.com", "name": "SSL_CERTS", "type": "env" }] } };
    services.update_one(doc! { "_id": cache }, uses).await?;
    let later = DateTime::from_millis(DateTime::now().timestamp_millis() + 60_000);
    let authorization = |domain: &str, expires_at: DateTime| {
        doc! {
            "domain": domain, "authorization_type": "http-01", "grid_service_id": cache, "_state": "requested",
            "challenge_opts": { "token": domain, "content": "answer" }, "expires_at": expires_at,
        }
    };
    let authorizations =
        [authorization("pending", later), authorization("expired", DateTime::from_millis(0))];
    stage.outside.collection("grid_domain_authorizations").insert_many(authorizations).await?;
    let secrets = secrets_of(&list(&stage).await??, "shop.cache")?;
    let names: Vec<&str> = secrets.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["PW", "NONE", "SSL_CERTS", "ACME_CHALLENGE_pending"]);
    assert_eq!(secrets[0].1.as_deref().map(str::len), Some(16));
    assert_eq!(secrets[1].1, None);
    let bundle = secrets[2].1.clone().context("no certificate")?;
    let blocks: Vec<&str> = bundle.lines().filter(|line| line.starts_with("-----BEGIN")).collect();
    assert_eq!(blocks.len(), 3, "{blocks:?}");
    assert!(blocks[0].contains("CERTIFICATE") && blocks[2].contains("PRIVATE KEY"), "{blocks:?}");
    assert_eq!(secrets[3].1.as_deref(), Some("answer"));
    // A value that cannot be decrypted is not the same as none.
    let damaged = doc! { "$set": { "encrypted_value": "QEVuQwFAEACKU0pnsm7Hy0Tr6J3wEISv" } };
    stage.outside.collection("grid_secrets").update_one(doc! { "name": "shop-db-password" }, damaged).await?;
    refused(list(&stage).await?);
    // Nothing secret stands in the log.
    assert!(!stage.master.log_tail().contains("PRIVATE KEY"));
    Ok(())
}

#[tokio::test]
async fn a_list_that_would_not_be_whole_is_not_given() -> Result<()> {
    let stage = Stage::set().await?;
    original(&stage).await?;
    // Without a vault key, nobody knows what an instance with secrets should get.
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
    let stage = Stage::configured(VAULT).await?;
    original(&stage).await?;
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
