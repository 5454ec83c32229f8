//! Masters that die or stand still in the middle of a deploy.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mongodb::bson::{Bson, Document, doc};
use reqwest::Method;
use serde_json::json;
use tokio::time::sleep;

use super::{PATIENCE, Town};

const INSTANCES: usize = 4;
/// How much longer a deploy may take whose master is lost.
const LATER: Duration = Duration::from_secs(15);

fn settled(deploy: &Document) -> (usize, usize) {
    let steps = deploy.get_array("grid_service_instance_deploys").map(Vec::as_slice).unwrap_or_default();
    let done = |step: &&Bson| {
        step.as_document()
            .and_then(|step| step.get_str("_deploy_state").ok())
            .is_some_and(|state| state == "success")
    };
    (steps.len(), steps.iter().filter(done).count())
}

async fn deploy_row(town: &Town) -> Result<Document> {
    town.rows("grid_service_deploys").await?.pop().context("no deploy")
}

/// Asks the first master for a deploy, and waits until so many of its steps were begun and settled.
async fn begun(town: &Town, step: (usize, usize)) -> Result<String> {
    town.make("web", &json!({ "instances": INSTANCES, "deploy_opts": { "min_health": 1.0 } })).await?;
    let deploy = town.ask(Method::POST, "/v1/services/main/null/web/deploy", &json!({})).await?;
    let deadline = Instant::now() + PATIENCE;
    while settled(&deploy_row(town).await?) < step {
        ensure!(Instant::now() < deadline, "the step {step:?} is not reached");
        sleep(Duration::from_millis(2)).await;
    }
    Ok(deploy["id"].as_str().context("no id")?.to_owned())
}

async fn ends_well(town: &Town, deploy: &str, since: Instant) -> Result<()> {
    let deploy = town.finished(1, "web", deploy).await?;
    ensure!(deploy["state"] == "success", "{deploy:#}");
    ensure!(since.elapsed() < LATER, "took {:?}", since.elapsed());
    let rows = town.rows("grid_service_instances").await?;
    ensure!(rows.len() == INSTANCES, "{rows:#?}");
    for number in 1..=i64::try_from(INSTANCES)? {
        ensure!(
            town.told("web", number).len() == 1,
            "instance {number} was on {:?}",
            town.told("web", number)
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_goes_on_wherever_the_first_is_killed() -> Result<()> {
    for step in [(0, 0), (1, 0), (1, 1), (2, 1), (3, 2), (4, 3), (4, 4)] {
        let mut town = Town::new(2, INSTANCES).await?;
        let deploy = begun(&town, step).await?;
        town.world.masters[0].kill()?;
        let killed = Instant::now();
        ends_well(&town, &deploy, killed).await.with_context(|| format!("killed at {step:?}"))?;
        println!("killed at {step:?}: ended {:?} later", killed.elapsed());
        town.no_faults()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_that_stood_still_changes_nothing_any_more() -> Result<()> {
    let town = Town::new(2, INSTANCES).await?;
    let deploy = begun(&town, (2, 1)).await?;
    town.world.masters[0].pause()?;
    let paused = Instant::now();
    let taken_over = async |town: &Town| {
        let claim = town.rows("deploy_claims").await?.pop().context("no claim")?;
        Ok(claim.get_i64("epoch")? > 1)
    };
    town.eventually("another claim", taken_over).await?;
    println!("claimed anew after {:?}", paused.elapsed());
    // Agents whose sessions it holds are reached again.
    town.world.masters[0].resume()?;
    ends_well(&town, &deploy, paused).await?;
    let state = async || {
        Ok::<_, anyhow::Error>((deploy_row(&town).await?, town.rows("grid_service_instances").await?))
    };
    let before = state().await?;
    sleep(Duration::from_secs(3)).await;
    let after = state().await?;
    ensure!(before == after, "{before:#?} became {after:#?}");
    let claim = town.rows("deploy_claims").await?.pop().context("no claim")?;
    let epoch = claim.get_i64("epoch")?;
    ensure!(
        epoch >= 2 && after.1.iter().all(|row| row.get_i64("claim_epoch").is_ok_and(|own| own == epoch)),
        "{after:#?}"
    );
    Ok(())
}

#[tokio::test]
async fn deploys_that_were_asked_for_before_any_master_lived_are_carried_out() -> Result<()> {
    let town = Town::new(1, 1).await?;
    town.make("web", &json!({})).await?;
    let service = town.rows("grid_services").await?.pop().context("no service")?;
    let id = service.get_object_id("_id")?;
    town.world
        .collection("grid_services")
        .update_one(doc! { "_id": id }, doc! { "$set": { "state": "running" } })
        .await?;
    // As an original master left it when it died.
    let row = doc! {
        "_deploy_state": Bson::Symbol("created".to_owned()), "grid_service_id": id,
        "created_at": mongodb::bson::DateTime::now(), "updated_at": mongodb::bson::DateTime::now(),
    };
    let made = town.world.collection("grid_service_deploys").insert_one(row).await?;
    let deploy = made.inserted_id.as_object_id().context("no id")?.to_hex();
    let deploy = town.finished(0, "web", &deploy).await?;
    ensure!(deploy["state"] == "success", "{deploy:#}");
    Ok(())
}
