//! Services and stacks on real masters with simulated agents: what users do with them, and deploys whose masters die.

mod ends;
mod extremes;
mod fields;
mod lives;
mod losses;
mod reschedule;
mod stack_losses;
mod stacks;
mod stale;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kontena_testkit::agent::{Agent, Settings, Token};
use kontena_testkit::mongod::shared;
use kontena_wire::rpc;
use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::world::{Request, World};

const PATIENCE: Duration = Duration::from_secs(60);
const GRID_TOKEN: &str = "a-grid-token-for-services";

/// Masters, a grid, and agents in it.
struct Town {
    world: World,
    token: String,
    agents: Vec<Agent>,
}

impl Town {
    async fn new(masters: usize, nodes: usize) -> Result<Self> {
        Self::with(masters, nodes, |_| {}).await
    }

    /// With agents that are set up further.
    async fn with(masters: usize, nodes: usize, set_up: impl Fn(&mut Settings)) -> Result<Self> {
        let world = World::on(shared().await?.database(), masters).await?;
        world.seeded().await?;
        if masters > 1 {
            world.sees_masters(masters).await?;
        }
        let token = world.login().await?;
        let mut town = Self { world, token, agents: Vec::new() };
        town.ask(
            Method::POST,
            "/v1/grids",
            &json!({ "name": "main", "token": GRID_TOKEN, "initial_size": 1 }),
        )
        .await?;
        let addresses: Vec<String> = town
            .world
            .masters
            .iter()
            .map(|master| master.url().trim_start_matches("http://").to_owned())
            .collect();
        for number in 1..=nodes {
            let mut settings = Settings::new(addresses.clone(), Token::Grid(GRID_TOKEN.to_owned()), number);
            set_up(&mut settings);
            town.agents.push(Agent::start(settings));
        }
        town.eventually("all nodes online", async |town| {
            let nodes = town.ask(Method::GET, "/v1/grids/main/nodes", &Value::Null).await?;
            let online = |node: &&Value| node["status"] == "online";
            Ok(nodes["nodes"]
                .as_array()
                .is_some_and(|found| found.iter().filter(online).count() == town.agents.len()))
        })
        .await?;
        Ok(town)
    }

    /// Asks the first master; anything but success is an error.
    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        self.ask_of(0, method, path, body).await
    }

    async fn ask_of(&self, master: usize, method: Method, path: &str, body: &Value) -> Result<Value> {
        let mut request = Request::new(method.clone(), path).token(&self.token);
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = self.world.ask_of(master, request).await?;
        ensure!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.text);
        Ok(answer.json())
    }

    /// Makes a service without a stack that has nothing but these fields beside its image.
    async fn make(&self, name: &str, fields: &Value) -> Result<Value> {
        let mut body = json!({ "name": name, "image": "busybox:latest", "stateful": false });
        if let (Some(body), Some(fields)) = (body.as_object_mut(), fields.as_object()) {
            body.extend(fields.clone());
        }
        self.ask(Method::POST, "/v1/grids/main/services", &body).await
    }

    /// Asks for a deploy and waits for its end, through the master of this number.
    async fn deploy_of(&self, master: usize, service: &str) -> Result<Value> {
        let path = format!("/v1/services/main/null/{service}/deploy");
        let deploy = self.ask_of(master, Method::POST, &path, &json!({})).await?;
        self.finished(master, service, deploy["id"].as_str().context("no id")?).await
    }

    async fn deploy(&self, service: &str) -> Result<Value> {
        let deploy = self.deploy_of(0, service).await?;
        ensure!(deploy["state"] == "success", "{deploy:#}");
        Ok(deploy)
    }

    async fn finished(&self, master: usize, service: &str, deploy: &str) -> Result<Value> {
        let path = format!("/v1/services/main/null/{service}/deploys/{deploy}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let deploy = self.ask_of(master, Method::GET, &path, &Value::Null).await?;
            if !deploy["finished_at"].is_null() {
                return Ok(deploy);
            }
            ensure!(Instant::now() < deadline, "not finished: {deploy:#}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits for an event of the deploys of a service. Events follow what they tell of.
    async fn tells(&self, service: &str, severity: i64, message: &str) -> Result<()> {
        let path = format!("/v1/services/main/null/{service}/event_logs");
        self.eventually(message, async |town| {
            let events = town.ask(Method::GET, &path, &Value::Null).await?;
            let is_it = |event: &Value| {
                event["type"] == "service:deploy"
                    && event["severity"] == severity
                    && event["message"] == message
            };
            Ok(events["logs"].as_array().is_some_and(|events| events.iter().any(is_it)))
        })
        .await
    }

    /// Which node has which instance of a service, by number.
    async fn placed(&self, service: &str) -> Result<BTreeMap<i64, String>> {
        let path = format!("/v1/services/main/null/{service}/instances");
        let found = self.ask(Method::GET, &path, &Value::Null).await?;
        let instances = found["instances"].as_array().context("no instances")?;
        let place = |instance: &Value| {
            Some((instance["instance_number"].as_i64()?, instance["node"]["name"].as_str()?.to_owned()))
        };
        Ok(instances.iter().filter_map(place).collect())
    }

    async fn eventually(&self, what: &str, wanted: impl AsyncFn(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = wanted(self).await;
            if matches!(seen, Ok(true)) {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not seen: {what} ({seen:?})");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The pod of an instance as the agent of this node was told it last.
    fn pod(&self, node: &str, service: &str, number: i64) -> Option<Value> {
        let at: usize = node.rsplit('-').next()?.parse().ok()?;
        let pods = self.agents.get(at.checked_sub(1)?)?.record().pods();
        let name = Value::from(service);
        let pods = pods.into_iter().map(|((_, number), pod)| (number, rpc::json(&pod)));
        pods.filter(|(found, pod)| *found == number && pod["service_name"] == name).map(|(_, pod)| pod).next()
    }

    /// On which nodes an instance was ever told to be.
    fn told(&self, service: &str, number: i64) -> BTreeSet<usize> {
        let told = |at: &usize| self.pod(&format!("node-{at}"), service, number).is_some();
        (1..=self.agents.len()).filter(told).collect()
    }

    fn no_faults(&self) -> Result<()> {
        let faults: Vec<String> = self.agents.iter().flat_map(|agent| agent.record().faults()).collect();
        ensure!(faults.is_empty(), "{faults:#?}");
        Ok(())
    }

    async fn rows(&self, collection: &str) -> Result<Vec<Document>> {
        let rows = self.world.collection(collection).find(doc! {}).await?;
        Ok(futures_util::TryStreamExt::try_collect(rows).await?)
    }
}
