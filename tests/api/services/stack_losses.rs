//! Masters that die in the middle of the deploy or the removal of a stack.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mongodb::bson::Document;
use reqwest::Method;
use serde_json::Value;
use tokio::time::sleep;

use super::stacks::{service, stack};
use super::{PATIENCE, Town};

const SERVICES: usize = 4;
/// How much longer it may take when its master is lost.
const LATER: Duration = Duration::from_secs(20);

async fn install(town: &Town) -> Result<()> {
    let services = [
        service("web", &["api"]),
        service("api", &["db", "cache"]),
        service("db", &[]),
        service("cache", &[]),
    ];
    town.install(&stack("shop", "1.0", &services)).await?;
    Ok(())
}

async fn until(what: &str, reached: impl AsyncFn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !reached().await? {
        ensure!(Instant::now() < deadline, "not reached: {what}");
        sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

fn is_over(row: &Document) -> bool {
    row.get_datetime("finished_at").is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_goes_on_with_a_stack_wherever_the_first_is_killed() -> Result<()> {
    // How many services were asked to be deployed, and how many were.
    for step in [(0, 0), (1, 0), (2, 1), (4, 3), (4, 4)] {
        let mut town = Town::new(2, 1).await?;
        install(&town).await?;
        let deploy = town.ask_for_deploy("shop").await?;
        until("the step of the deploy", async || {
            let rows = town.rows("grid_service_deploys").await?;
            Ok((rows.len(), rows.iter().filter(|row| is_over(row)).count()) >= step)
        })
        .await?;
        town.world.masters[0].kill()?;
        let killed = Instant::now();
        let deploy =
            town.deployed(1, "shop", &deploy).await.with_context(|| format!("killed at {step:?}"))?;
        println!("deploy, killed at {step:?}: ended {:?} later", killed.elapsed());
        ensure!(deploy["state"] == "success", "killed at {step:?}: {deploy:#}");
        ensure!(killed.elapsed() < LATER, "took {:?}", killed.elapsed());
        // Each was deployed once.
        let rows = town.rows("grid_service_deploys").await?;
        let services: BTreeSet<_> =
            rows.iter().filter_map(|row| row.get_object_id("grid_service_id").ok()).collect();
        ensure!((rows.len(), services.len()) == (SERVICES, SERVICES), "killed at {step:?}: {rows:#?}");
        let order: Vec<&str> = deploy["service_deploys"]
            .as_array()
            .context("no deploys")?
            .iter()
            .filter_map(|deploy| deploy["service_id"].as_str())
            .collect();
        ensure!(order == ["main/shop/db", "main/shop/cache", "main/shop/api", "main/shop/web"], "{order:?}");
        town.no_faults()?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_removes_a_stack_wherever_the_first_is_killed() -> Result<()> {
    // How many services are left, and whether they were told to stop.
    for (left, stopped) in [(4, false), (4, true), (2, true)] {
        let mut town = Town::new(2, 1).await?;
        install(&town).await?;
        let deploy = town.ask_for_deploy("shop").await?;
        ensure!(town.deployed(0, "shop", &deploy).await?["state"] == "success");
        town.ask(Method::DELETE, "/v1/stacks/main/shop", &Value::Null).await?;
        until("the step of the removal", async || {
            let services = town.rows("grid_services").await?;
            let all = services.iter().all(|row| row.get_str("state").is_ok_and(|state| state == "stopped"));
            Ok(services.len() <= left && (all || !stopped))
        })
        .await?;
        town.world.masters[0].kill()?;
        let killed = Instant::now();
        town.gone(1, "shop").await.with_context(|| format!("killed when {left} were left"))?;
        println!("removal, killed when {left} were left: ended {:?} later", killed.elapsed());
        ensure!(killed.elapsed() < LATER, "took {:?}", killed.elapsed());
        town.nothing_left().await?;
        town.no_faults()?;
    }
    Ok(())
}
