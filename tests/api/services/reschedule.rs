//! What the leader deploys by itself: services follow their nodes, their conditions and their own changes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kontena_testkit::agent::{Agent, Settings, Token};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{GRID_TOKEN, PATIENCE, Town};

/// How long it is looked whether nothing happens.
const QUIET: Duration = Duration::from_millis(1500);

impl Town {
    async fn id(&self, service: &str) -> Result<ObjectId> {
        let row = self.world.collection("grid_services").find_one(doc! { "name": service }).await?;
        Ok(row.context("no service")?.get_object_id("_id")?)
    }

    /// The deploys of a service that nobody asked for, the oldest first.
    async fn own_deploys(&self, service: &str) -> Result<Vec<Document>> {
        let filter =
            doc! { "grid_service_id": self.id(service).await?, "rescheduled_for": { "$exists": true } };
        let rows = self.world.collection("grid_service_deploys").find(filter).sort(doc! { "_id": 1 }).await?;
        Ok(futures_util::TryStreamExt::try_collect(rows).await?)
    }

    /// Waits until a service is nowhere but on these nodes, and nothing of it is under way.
    async fn comes_to(&self, service: &str, nodes: &[&str]) -> Result<()> {
        let wanted: BTreeSet<String> = nodes.iter().map(|node| (*node).to_owned()).collect();
        let found = self
            .eventually(&format!("{service} on {nodes:?}"), async |town| {
                let placed: BTreeSet<String> = town.placed(service).await?.into_values().collect();
                Ok(placed == wanted && town.is_settled(service).await?)
            })
            .await;
        let placed = self.placed(service).await?;
        found.with_context(|| format!("it is on {placed:?}; {}", self.world.masters[0].log_tail()))
    }

    /// Whether no deploy is open and no instance is without a node.
    async fn is_settled(&self, service: &str) -> Result<bool> {
        let id = self.id(service).await?;
        let none = async |collection: &str, field: &str| -> Result<bool> {
            let found = doc! { "grid_service_id": id, field: Bson::Null };
            Ok(self.world.collection(collection).count_documents(found).await? == 0)
        };
        Ok(none("grid_service_deploys", "finished_at").await?
            && none("grid_service_instances", "host_node_id").await?)
    }

    async fn set_node(&self, node: &str, change: &Value) -> Result<()> {
        self.ask(Method::PUT, &format!("/v1/nodes/main/{node}"), change).await.map(drop)
    }

    /// An agent leaves and stays away: since `ago` seconds, as far as anybody can tell.
    async fn lose(&mut self, number: usize, ago: i64) -> Result<Document> {
        drop(self.agents.remove(number - 1));
        let nodes = self.world.collection("host_nodes");
        let name = doc! { "name": format!("node-{number}") };
        self.eventually("its session lost", async |town| {
            let node =
                town.world.collection("host_nodes").find_one(name.clone()).await?.context("no node")?;
            Ok(node.get_datetime("session_lost_at").is_ok())
        })
        .await?;
        let back = |field: &str, seconds: i64| {
            doc! { "$set": { field: { "$subtract": ["$$NOW", seconds * 1000] } } }
        };
        nodes.update_one(name.clone(), vec![back("last_seen_at", ago), back("session_lost_at", 60)]).await?;
        nodes.find_one(name).await?.context("no node")
    }
}

#[tokio::test]
async fn services_follow_their_nodes_their_conditions_and_their_own_changes() -> Result<()> {
    let mut town = Town::new(1, 3).await?;
    town.make("hopeless", &json!({ "affinity": ["label==nowhere"] })).await?;
    let hopeless = town.deploy_of(0, "hopeless").await?;
    ensure!(hopeless["state"] == "error", "{hopeless:#}");

    town.set_node("node-1", &json!({ "labels": ["disk=fast"] })).await?;
    town.make("pinned", &json!({ "affinity": ["label==disk=fast"] })).await?;
    town.make("web", &json!({ "instances": 4 })).await?;
    town.make("data", &json!({ "stateful": true })).await?;
    town.make("often", &json!({ "deploy_opts": { "interval": 3 } })).await?;
    for service in ["pinned", "web", "data", "often"] {
        town.deploy(service).await?;
    }
    town.comes_to("pinned", &["node-1"]).await?;
    town.comes_to("web", &["node-1", "node-2", "node-3"]).await?;

    // A label goes elsewhere.
    town.set_node("node-2", &json!({ "labels": ["disk=fast"] })).await?;
    sleep(QUIET).await;
    ensure!(town.own_deploys("pinned").await?.is_empty(), "moved without need");
    town.set_node("node-1", &json!({ "labels": [] })).await?;
    town.comes_to("pinned", &["node-2"]).await?;

    // A node is drained, and used again.
    let home = town.placed("data").await?[&1].clone();
    let others: Vec<&str> = ["node-1", "node-2", "node-3"].into_iter().filter(|node| *node != home).collect();
    town.set_node(&home, &json!({ "availability": "drain" })).await?;
    town.comes_to("web", &others).await?;
    let told = |town: &Town, state: &str| {
        town.pod(&home, "data", 1).is_some_and(|pod| pod["desired_state"] == state)
    };
    town.eventually("data stopped", async |town| Ok(told(town, "stopped"))).await?;
    ensure!(town.placed("data").await?[&1] == home, "a stateful service has moved");
    town.set_node(&home, &json!({ "availability": "active" })).await?;
    town.eventually("data started", async |town| Ok(told(town, "running"))).await?;
    town.comes_to("web", &["node-1", "node-2", "node-3"]).await?;

    // A node comes, one is forbidden by the grid, and one goes for good.
    let masters = vec![town.world.masters[0].url().trim_start_matches("http://").to_owned()];
    town.agents.push(Agent::start(Settings::new(masters, Token::Grid(GRID_TOKEN.to_owned()), 4)));
    town.comes_to("web", &["node-1", "node-2", "node-3", "node-4"]).await?;
    town.ask(Method::PUT, "/v1/grids/main", &json!({ "default_affinity": ["node!=node-4"] })).await?;
    town.comes_to("web", &["node-1", "node-2", "node-3"]).await?;
    // Its agent with it: by the grid's token it would come as a new node.
    drop(town.agents.remove(2));
    town.ask(Method::DELETE, "/v1/nodes/main/node-3", &Value::Null).await?;
    town.comes_to("web", &["node-1", "node-2"]).await?;

    // A change reaches agents; that a service is stopped and started is none.
    let before = town.own_deploys("web").await?.len();
    for turn in ["stop", "start"] {
        town.ask(Method::POST, &format!("/v1/services/main/null/web/{turn}"), &json!({})).await?;
    }
    sleep(QUIET).await;
    ensure!(town.own_deploys("web").await?.len() == before, "deployed for being started");
    town.ask(Method::PUT, "/v1/services/main/null/web", &json!({ "env": ["A=1"] })).await?;
    town.eventually("the new environment", async |town| {
        let placed = town.placed("web").await?;
        let env = |(number, node): (&i64, &String)| {
            town.pod(node, "web", *number).is_some_and(|pod| pod["env"][0] == "A=1")
        };
        Ok(placed.iter().all(env))
    })
    .await?;
    let why: BTreeSet<String> = town
        .own_deploys("web")
        .await?
        .iter()
        .filter_map(|row| row.get_str("rescheduled_for").ok().map(str::to_owned))
        .collect();
    ensure!(why == BTreeSet::from(["instances".to_owned(), "outdated".to_owned()]), "{why:?}");
    let events = town.ask(Method::GET, "/v1/services/main/null/web/event_logs", &Value::Null).await?;
    let told = events["logs"].as_array().context("no events")?;
    let told: Vec<&Value> = told.iter().filter(|event| event["type"] == "scheduler").collect();
    let last = told.last().and_then(|event| event["message"].as_str()).unwrap_or_default();
    ensure!(
        last == "service main/null/web is deployed again: an older version of it is running",
        "{told:#?}"
    );

    // One that is deployed at intervals gets a new revision each time, and no storm. It may have had to move, too.
    let often = town.own_deploys("often").await?;
    let interval = |row: &&Document| row.get_str("rescheduled_for").is_ok_and(|why| why == "interval");
    let intervals = often.iter().filter(interval).count();
    ensure!(intervals > 0, "{often:#?}");
    let made: Vec<i64> = often
        .iter()
        .filter_map(|row| Some(row.get_datetime("created_at").ok()?.timestamp_millis()))
        .collect();
    ensure!(made.len() >= 2, "{made:?}");
    ensure!(made.windows(3).all(|three| three[2] - three[0] >= 20_000), "a storm: {made:?}");
    let service = town.ask(Method::GET, "/v1/services/main/null/often", &Value::Null).await?;
    ensure!(service["revision"].as_u64() > Some(u64::try_from(intervals)?), "{service:#}");

    // One that cannot be deployed is tried again, now and then.
    town.eventually("another try", async |town| Ok(!town.own_deploys("hopeless").await?.is_empty())).await?;
    let again = &town.own_deploys("hopeless").await?[0];
    let failed = hopeless["finished_at"].as_str().context("not finished")?;
    let failed = mongodb::bson::DateTime::parse_rfc3339_str(failed)?.timestamp_millis();
    let pause = again.get_datetime("created_at")?.timestamp_millis() - failed;
    ensure!(pause >= 20_000, "tried again after {pause} ms");
    town.no_faults()
}

#[tokio::test]
async fn a_lost_node_keeps_its_instances_for_the_grace_and_no_longer() -> Result<()> {
    let mut town = Town::new(1, 3).await?;
    town.make("web", &json!({ "instances": 3 })).await?;
    town.make("any", &json!({ "instances": 6, "strategy": "random" })).await?;
    town.make("every", &json!({ "instances": 1, "strategy": "daemon" })).await?;
    for service in ["web", "any", "every"] {
        town.deploy(service).await?;
    }
    // Two seconds before the grace of evenly spread services is over.
    let lost = town.lose(3, 118).await?;
    let since = lost.get_datetime("last_seen_at")?.timestamp_millis();
    town.comes_to("any", &["node-1", "node-2"]).await?;
    town.comes_to("web", &["node-1", "node-2"]).await?;
    let moved = town.own_deploys("web").await?;
    let after = moved[0].get_datetime("created_at")?.timestamp_millis() - since;
    ensure!(after >= 120_000, "moved {after} ms after the node was seen");
    println!("moved {} ms after the grace", after - 120_000);
    // That of a daemon is longer.
    sleep(QUIET).await;
    ensure!(town.own_deploys("every").await?.is_empty(), "a daemon was taken from its node too soon");
    let nodes = town.world.collection("host_nodes");
    let long_ago = doc! { "$set": { "last_seen_at": { "$subtract": ["$$NOW", 601_000] } } };
    nodes.update_one(doc! { "name": "node-3" }, vec![long_ago]).await?;
    // Nobody is told of that; whatever changes in the grid makes it seen.
    town.set_node("node-1", &json!({ "labels": ["seen"] })).await?;
    town.comes_to("every", &["node-1", "node-2"]).await?;
    town.no_faults()
}

#[tokio::test]
async fn a_new_leader_finds_what_the_last_one_did_not_see() -> Result<()> {
    let mut town = Town::new(2, 3).await?;
    town.make("web", &json!({ "instances": 3 })).await?;
    town.deploy("web").await?;
    let leader = usize::from(town.world.masters[0].acting_term().await.is_none());
    town.world.masters[leader].kill()?;
    let began = Instant::now();
    // While nobody leads.
    let survivor = 1 - leader;
    let drained = json!({ "availability": "drain" });
    town.ask_of(survivor, Method::PUT, "/v1/nodes/main/node-2", &drained).await?;
    let deadline = began + PATIENCE;
    loop {
        let path = "/v1/services/main/null/web/instances";
        let found = town.ask_of(survivor, Method::GET, path, &Value::Null).await?;
        let instances = found["instances"].as_array().cloned().unwrap_or_default();
        let nodes: BTreeSet<&str> = instances.iter().filter_map(|one| one["node"]["name"].as_str()).collect();
        if nodes == BTreeSet::from(["node-1", "node-3"]) {
            break;
        }
        ensure!(Instant::now() < deadline, "{instances:#?}");
        sleep(Duration::from_millis(20)).await;
    }
    println!("moved {:?} after the leader was killed", began.elapsed());
    ensure!(town.own_deploys("web").await?.len() == 1, "deployed more than once");
    Ok(())
}
