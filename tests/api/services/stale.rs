//! Of an earlier claimer no write takes effect.

use anyhow::{Context, Result, ensure};
use kontena_core::deploy::Revision;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::{
    Begin, Claim, CommandCounter, DatabaseUri, DeployBatch, InstanceWrite, Progress, Purpose, Store,
};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};
use reqwest::Method;
use secrecy::SecretString;
use serde_json::{Map, json};

use super::Town;

fn holder(byte: u8) -> HolderId {
    HolderId::from_bytes([byte; 16])
}

/// The town's only service.
async fn service(town: &Town) -> Result<Id> {
    let service = town.rows("grid_services").await?.pop().context("no service")?;
    Ok(Id::from_bytes(service.get_object_id("_id")?.bytes()))
}

async fn store(town: &Town) -> Result<Store> {
    let uri = DatabaseUri::from(SecretString::from(town.world.database.uri.clone()));
    Ok(Store::open(&uri, Purpose::Main, &CommandCounter::default()).await?)
}

/// Makes a deploy of a service without anybody being told.
async fn untold_deploy(town: &Town, service: Id) -> Result<Id> {
    let deploy = ObjectId::new();
    let row = doc! {
        "_id": deploy, "_deploy_state": "created", "created_at": DateTime::now(),
        "grid_service_id": ObjectId::from_bytes(service.bytes()),
    };
    town.world.collection("grid_service_deploys").insert_one(row).await?;
    Ok(Id::from_bytes(deploy.bytes()))
}

#[tokio::test]
async fn an_older_epoch_writes_nothing_and_two_of_one_epoch_are_impossible() -> Result<()> {
    let town = Town::new(1, 1).await?;
    town.make("web", &json!({ "instances": 1 })).await?;
    town.deploy("web").await?;
    let store = store(&town).await?;
    let deploys = store.deploys();
    let service = service(&town).await?;
    let (_, seen) = deploys.claimed(service).await?;
    let first = deploys.claim(service, seen, holder(1)).await?.context("not claimed")?;
    ensure!(deploys.claim(service, seen, holder(2)).await?.is_none(), "claimed twice under one epoch");
    let second = deploys.claim(service, first.epoch, holder(2)).await?.context("not claimed")?;
    ensure!(second.epoch > first.epoch);

    // No deploy is open that they could write to.
    let deploy = untold_deploy(&town, service).await?;
    let (number, (id, row)) = deploys.instances(service).await?.into_iter().next().context("no instance")?;
    let instance = InstanceWrite {
        id: Some(id),
        number,
        node: row.node.context("no node")?,
        desired_state: "stopped",
        rev: Revision::after(0, row.deploy_rev.as_deref()),
        frozen: None,
    };
    let progress = Progress { instances: vec![instance], ..Progress::default() };
    let before = town.rows("grid_service_instances").await?;
    let commit = async |claim: Claim| {
        let batch = DeployBatch { claim, deploy, progress: progress.clone() };
        deploys.commit(&[batch]).await.pop().context("no outcome")
    };
    ensure!(!commit(first).await??, "an older epoch wrote");
    ensure!(town.rows("grid_service_instances").await? == before, "an older epoch wrote");
    ensure!(commit(second).await??, "the newest epoch did not write");
    ensure!(deploys.instances(service).await?[&number].1.desired_state == "stopped");

    // A group in which one has lost its claim does not keep the others from being written.
    let batch = |claim: Claim| DeployBatch { claim, deploy, progress: progress.clone() };
    let outcomes = deploys.commit(&[batch(first), batch(second)]).await;
    ensure!(matches!(outcomes.as_slice(), [Ok(false), Ok(true)]), "{outcomes:?}");

    // What was decided before the service was stopped takes no effect after it.
    ensure!(store.services().set_state(service, "stopped").await?);
    ensure!(!commit(second).await??, "written after the service was stopped");
    let (master, epoch) = deploys.claimed(service).await?;
    ensure!(master.is_none() && epoch > second.epoch, "the claim is still held: {master:?}");
    Ok(())
}

/// Changes the one document of a collection and takes no claim from anybody.
async fn change(town: &Town, collection: &str, set: Document) -> Result<()> {
    let changed = town.world.collection(collection).update_one(doc! {}, doc! { "$set": set }).await?;
    ensure!(changed.matched_count == 1, "nothing in {collection}");
    Ok(())
}

/// The first batch of a deploy of this revision. Whether it was written.
async fn begin(store: &Store, claim: Claim, deploy: Id, revision: i64) -> Result<bool> {
    let frozen = Id::from_bytes(ObjectId::new().bytes());
    let begin = Begin { frozen, revision, plan: Vec::new(), report: Map::new(), surplus: false };
    let progress = Progress { begin: Some(begin), ..Progress::default() };
    let mut outcomes = store.deploys().commit(&[DeployBatch { claim, deploy, progress }]).await;
    Ok(outcomes.pop().context("no outcome")??)
}

#[tokio::test]
async fn who_stops_a_service_or_calls_its_deploy_off_before_there_is_a_claim_is_not_missed() -> Result<()> {
    let town = Town::new(1, 1).await?;
    town.make("web", &json!({ "instances": 1 })).await?;
    let store = store(&town).await?;
    let service = service(&town).await?;
    let claim = store.deploys().claim(service, 0, holder(1)).await?.context("not claimed")?;
    let deploy = untold_deploy(&town, service).await?;
    change(&town, "grid_services", doc! { "state": "stopped" }).await?;
    ensure!(!begin(&store, claim, deploy, 1).await?, "begun though the service is stopped");
    change(&town, "grid_services", doc! { "state": "running" }).await?;
    change(&town, "grid_service_deploys", doc! { "cancel_reason": "enough" }).await?;
    ensure!(!begin(&store, claim, deploy, 1).await?, "begun though it is called off");
    change(&town, "grid_service_deploys", doc! { "cancel_reason": Bson::Null }).await?;
    ensure!(begin(&store, claim, deploy, 1).await?, "not begun at all");
    Ok(())
}

#[tokio::test]
async fn what_changes_before_a_deploy_is_begun_is_not_taken_for_deployed() -> Result<()> {
    let town = Town::new(1, 1).await?;
    town.make("web", &json!({ "instances": 1 })).await?;
    let store = store(&town).await?;
    let (deploys, service) = (store.deploys(), service(&town).await?);
    let claim = deploys.claim(service, 0, holder(1)).await?.context("not claimed")?;
    let deploy = untold_deploy(&town, service).await?;
    let read = async || {
        let row = store.services().by_ids(&[service]).await?.remove(&service).context("no service")??;
        anyhow::Ok(row.definition.revision)
    };
    change(&town, "grid_services", doc! { "state": "running" }).await?;
    let seen = read().await?;
    town.ask(Method::PUT, "/v1/services/main/null/web", &json!({ "env": ["CHANGED=yes"] })).await?;
    ensure!(!begin(&store, claim, deploy, seen).await?, "what was read before the change was begun");
    let row = town.rows("grid_services").await?.pop().context("no service")?;
    ensure!(row.get_datetime("deployed_at").is_err(), "the change counts as deployed: {row:#?}");
    ensure!(begin(&store, claim, deploy, read().await?).await?, "what was read after it was not begun");
    Ok(())
}
