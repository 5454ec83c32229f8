//! Of an earlier claimer no write takes effect.

use anyhow::{Context, Result, ensure};
use kontena_core::deploy::Revision;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::{
    Claim, CommandCounter, DatabaseUri, DeployBatch, InstanceWrite, Progress, Purpose, Store,
};
use secrecy::SecretString;
use serde_json::json;

use super::Town;

fn holder(byte: u8) -> HolderId {
    HolderId::from_bytes([byte; 16])
}

#[tokio::test]
async fn an_older_epoch_writes_nothing_and_two_of_one_epoch_are_impossible() -> Result<()> {
    let town = Town::new(1, 1).await?;
    town.make("web", &json!({ "instances": 1 })).await?;
    town.deploy("web").await?;
    let uri = DatabaseUri::from(SecretString::from(town.world.database.uri.clone()));
    let store = Store::open(&uri, Purpose::Main, &CommandCounter::default()).await?;
    let deploys = store.deploys();
    let service = town.rows("grid_services").await?.pop().context("no service")?;
    let service = Id::from_bytes(service.get_object_id("_id")?.bytes());
    let (_, seen) = deploys.claimed(service).await?;
    let first = deploys.claim(service, seen, holder(1)).await?.context("not claimed")?;
    ensure!(deploys.claim(service, seen, holder(2)).await?.is_none(), "claimed twice under one epoch");
    let second = deploys.claim(service, first.epoch, holder(2)).await?.context("not claimed")?;
    ensure!(second.epoch > first.epoch);

    // No deploy is open that they could write to, so one is made without anybody being told.
    let deploy = mongodb::bson::oid::ObjectId::new();
    let row = mongodb::bson::doc! {
        "_id": deploy, "_deploy_state": "created", "created_at": mongodb::bson::DateTime::now(),
        "grid_service_id": mongodb::bson::oid::ObjectId::from_bytes(service.bytes()),
    };
    town.world.collection("grid_service_deploys").insert_one(row).await?;
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
    let deploy = Id::from_bytes(deploy.bytes());
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
