//! Life for the demo: services on the simulated agents, and things that happen to them, so that there is something to
//! see: deploys, scaling, updates, a node that is lost and comes back, and a service that fits nowhere.

use std::time::Duration;

use anyhow::{Result, ensure};
use kontena_testkit::administrator::Administrator;
use kontena_testkit::agent::{Agent, Settings};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

/// Between two things that happen.
const PACE: Duration = Duration::from_secs(6);
/// How many nodes a grid must have before anything is placed, and how long that may take.
const NODES: usize = 6;
const PATIENCE: Duration = Duration::from_secs(60);
/// What runs, by grid.
const SERVICES: [(&str, &str, &str, usize); 7] = [
    ("grid-1", "shop-web", "registry.example/shop/web:2.1", 4),
    ("grid-1", "shop-api", "registry.example/shop/api:1.8", 3),
    ("grid-1", "shop-db", "postgres:16", 1),
    ("grid-1", "cache", "redis:7", 2),
    ("grid-2", "blog", "registry.example/blog:0.9", 2),
    ("grid-2", "mailer", "registry.example/mailer:3.0", 1),
    ("grid-2", "search", "registry.example/search:5.2", 3),
];

/// Services and who changes them.
pub(super) struct Town {
    administrator: Administrator,
    /// The host that is lost now and then.
    wanderer: (Settings, Option<Agent>),
    round: usize,
}

impl Town {
    /// A town whose services will be on the agents of two grids, and on one more that is lost now and then.
    pub(super) fn new(administrator: Administrator, wanderer: Settings) -> Self {
        let agent = Agent::start(wanderer.clone());
        Self { administrator, wanderer: (wanderer, Some(agent)), round: 0 }
    }

    /// Lives until it is dropped, and tells what happens.
    pub(super) async fn live(mut self, tell: impl Fn(&str)) {
        if let Err(error) = self.settle(&tell).await {
            return tell(&format!("the services could not be made: {error:#}"));
        }
        loop {
            sleep(PACE).await;
            match self.happen().await {
                Ok(what) => tell(&what),
                // A master may be dead right now; the next thing goes to another.
                Err(error) => tell(&format!("not done, and left at that: {error:#}")),
            }
        }
    }

    /// Waits until the grids have nodes, and makes the services.
    async fn settle(&self, tell: &impl Fn(&str)) -> Result<()> {
        for grid in ["grid-1", "grid-2"] {
            self.peopled(grid).await?;
        }
        for (grid, name, image, instances) in SERVICES {
            let fields = json!({ "image": image, "instances": instances, "stateful": name == "shop-db" });
            self.administrator.make_service(grid, name, &fields).await?;
        }
        let everywhere = json!({ "image": "registry.example/monitor:1.0", "strategy": "daemon" });
        self.administrator.make_service("grid-1", "monitor", &everywhere).await?;
        let nowhere = json!({ "image": "registry.example/gpu:1.0", "affinity": ["label==gpu"] });
        self.administrator.make_service("grid-2", "gpu-job", &nowhere).await?;
        tell("nine services are made in two grids; one of them fits on no node");
        for (grid, name) in [("grid-1", "monitor"), ("grid-2", "gpu-job")] {
            self.post(grid, name, "deploy", json!({})).await?;
        }
        for (grid, name, ..) in SERVICES {
            self.post(grid, name, "deploy", json!({})).await?;
        }
        Ok(())
    }

    async fn peopled(&self, grid: &str) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let online = |node: &&Value| node["connected"] == true;
        loop {
            let found =
                self.administrator.ask(Method::GET, &format!("/v1/grids/{grid}/nodes"), &Value::Null).await?;
            let nodes = found["nodes"].as_array().map_or(0, |nodes| nodes.iter().filter(online).count());
            if nodes >= NODES {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "{grid} has {nodes} nodes after {PATIENCE:?}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn post(&self, grid: &str, name: &str, verb: &str, body: Value) -> Result<()> {
        let path = format!("/v1/services/{grid}/null/{name}/{verb}");
        self.administrator.ask(Method::POST, &path, &body).await.map(drop)
    }

    /// Lets the next thing happen, and says what it was.
    async fn happen(&mut self) -> Result<String> {
        self.round += 1;
        let turn = self.round / 7;
        let (settings, agent) = &mut self.wanderer;
        match self.round % 7 {
            1 => {
                let instances = if turn.is_multiple_of(2) { 7 } else { 4 };
                self.post("grid-1", "shop-web", "scale", json!({ "instances": instances })).await?;
                Ok(format!("shop-web is scaled to {instances}"))
            }
            2 => {
                let image = format!("registry.example/shop/api:1.{}", 9 + turn);
                let path = "/v1/services/grid-1/null/shop-api";
                self.administrator.ask(Method::PUT, path, &json!({ "image": image })).await?;
                self.post("grid-1", "shop-api", "deploy", json!({})).await?;
                Ok(format!("shop-api is updated to {image}"))
            }
            3 => {
                *agent = None;
                Ok(format!("{} is lost", settings.name))
            }
            4 => {
                self.post("grid-2", "search", "restart", json!({})).await?;
                Ok("search is restarted".to_owned())
            }
            5 => {
                *agent = Some(Agent::start(settings.clone()));
                Ok(format!("{} is back", settings.name))
            }
            6 => {
                self.post("grid-2", "gpu-job", "deploy", json!({})).await?;
                Ok("gpu-job is tried again, and there is still no node for it".to_owned())
            }
            _ => {
                let verb = if turn.is_multiple_of(2) { "start" } else { "stop" };
                self.post("grid-2", "mailer", verb, json!({})).await?;
                Ok(format!("mailer: {verb}"))
            }
        }
    }
}
