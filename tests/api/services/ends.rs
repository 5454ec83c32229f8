//! Deploys come to their end: fast where nothing disturbs them, and with a reason where they cannot be carried out.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kontena_testkit::agent::{Agent, Settings, Token};
use mongodb::bson::{Bson, DateTime, doc, oid::ObjectId};
use reqwest::Method;
use serde_json::{Value, json};

use super::{GRID_TOKEN, Town};

/// With so many, one after the other, looking now and then for what other masters were told would take the longest.
const INSTANCES: usize = 10;
/// Far less than that, and far more than messages between masters take.
const WITHIN: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_whose_agents_are_all_at_another_master_is_not_slow() -> Result<()> {
    let mut town = Town::new(2, 0).await?;
    let elsewhere = town.world.masters[1].url().trim_start_matches("http://").to_owned();
    for number in 1..=2 {
        let settings = Settings::new(vec![elsewhere.clone()], Token::Grid(GRID_TOKEN.to_owned()), number);
        town.agents.push(Agent::start(settings));
    }
    town.eventually("both nodes online", async |town| {
        let nodes = town.ask(Method::GET, "/v1/grids/main/nodes", &Value::Null).await?;
        let online = |node: &&Value| node["status"] == "online";
        Ok(nodes["nodes"].as_array().is_some_and(|nodes| nodes.iter().filter(online).count() == 2))
    })
    .await?;
    town.make("web", &json!({ "instances": INSTANCES, "deploy_opts": { "min_health": 1.0 } })).await?;
    let asked = Instant::now();
    town.deploy("web").await?;
    println!("{INSTANCES} instances one after the other, all at another master: {:?}", asked.elapsed());
    ensure!(asked.elapsed() < WITHIN, "took {:?}", asked.elapsed());

    // Agents learn of what is left out as soon as of what is changed, not with their next look.
    let told = Instant::now();
    let scaled = json!({ "instances": 1 });
    town.ask(Method::POST, "/v1/services/main/null/web/scale", &scaled).await?;
    let left = |town: &Town| town.agents.iter().map(|agent| agent.record().truth().len()).sum::<usize>();
    town.eventually("one instance", async |town| Ok(left(town) == 1)).await?;
    ensure!(told.elapsed() < WITHIN, "told after {:?}", told.elapsed());
    town.no_faults()
}

#[tokio::test]
async fn a_service_that_cannot_be_deployed_as_it_is_or_is_gone_blocks_nothing() -> Result<()> {
    let town = Town::new(1, 1).await?;
    let made = town.make("web", &json!({})).await?;
    let services = town.world.collection("grid_services");
    let row = services.find_one(doc! { "name": "web" }).await?.context("no service")?;
    let own = row.get_array("network_ids")?.clone();
    let networks = |networks: Vec<Bson>| doc! { "$set": { "network_ids": networks } };
    services.update_one(doc! { "name": "web" }, networks(vec![ObjectId::new().into()])).await?;
    let deploy = town.deploy_of(0, "web").await?;
    ensure!(
        deploy["state"] == "error"
            && deploy["reason"].as_str().is_some_and(|why| why.starts_with("service deploy aborted: ")),
        "{made:#} {deploy:#}"
    );
    let reason = deploy["reason"].as_str().unwrap_or_default();
    town.tells("web", 3, &format!("deploy of main/null/web errored: {reason}")).await?;
    // The scheduler does not deploy again what has not changed since.
    let row = services.find_one(doc! { "name": "web" }).await?.context("no service")?;
    ensure!(row.get_datetime("deployed_at")? >= row.get_datetime("updated_at")?, "{row:#?}");
    services.update_one(doc! { "name": "web" }, networks(own)).await?;
    town.deploy("web").await?;

    // As an original master leaves it that was stopped while it removed a service.
    let deploys = town.world.collection("grid_service_deploys");
    let row = doc! {
        "_deploy_state": "created", "grid_service_id": ObjectId::new(), "created_at": DateTime::now(),
    };
    let orphan = deploys.insert_one(row).await?.inserted_id;
    town.eventually("the deploy of a service that is gone has ended", async |_| {
        let row = deploys.find_one(doc! { "_id": &orphan }).await?.context("no deploy")?;
        Ok(row.get_str("reason").is_ok_and(|why| why == "service is gone")
            && row.get_datetime("finished_at").is_ok())
    })
    .await
}
