//! What lives on the masters of the hosts while these are broken: agents, services that are deployed, calls and
//! secrets, all through `HAProxy` with the shipped file.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kontena_testkit::agent::{Fleet, Grid};
use kontena_testkit::tls::Authority;
use mongodb::bson::{Document, doc};
use mongodb::{Client, Collection};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::cluster::{Cluster, address};
use super::setup::administrator;
use super::{COUNT, DATABASE};
use crate::administrators::{Clients, GRIDS, Pace, Secrets};
use crate::balancer::{self, Callers, Calls, Failure, Kind, Proxy};
use crate::offline::Offline;

/// For one call. Longer than any time without a leader that is allowed, but for the database's own elections.
const WITHIN: Duration = Duration::from_secs(5);
/// For what should be quick once all is well.
const PATIENCE: Duration = Duration::from_secs(90);
/// Until a deploy has ended, after everything is mended and settled.
const DEPLOYED_WITHIN: Duration = Duration::from_secs(60);
const AGENTS: u32 = 12;
const CALLERS: Callers = Callers { each: 2, every: Duration::from_millis(50) };
const PACE: Pace = Pace { pause: Duration::from_millis(250), kept: Some(50) };
const SERVICE: &str = "/v1/services/grid-1/null/web";

/// Everybody who lives there.
pub(crate) struct Town {
    proxy: Proxy,
    fleet: Fleet,
    calls: Calls,
    clients: Arc<Clients>,
    secrets: Option<Secrets>,
    database: Client,
    orders: u32,
}

impl Town {
    /// Settles before three masters that are well.
    pub(crate) async fn settle(cluster: &Cluster) -> Result<Self> {
        let authority = Authority::new()?;
        let http = balancer::client(&authority, WITHIN)?;
        let masters: Vec<String> = (1..=COUNT).map(address).collect();
        let proxy = Proxy::start(Kind::Haproxy, &masters, &authority, &http).await?;
        let token = cluster.script.shell(1, "kontena-master token create --admin").await?.trim().to_owned();
        let clients = Arc::new(Clients::new(http.clone(), vec![proxy.url()], token.clone()));
        let mut grids = Vec::new();
        for number in 1..=GRIDS {
            let grid = Grid { token: format!("lab-grid-token-{number}") };
            let wish = json!({ "name": format!("grid-{number}"), "token": grid.token, "initial_size": 1 });
            must(&clients, Method::POST, "/v1/grids", &wish).await?;
            grids.push(grid);
        }
        let trust = authority.trust()?;
        let agents = usize::try_from(AGENTS)?;
        let over = Duration::from_secs(1);
        let fleet = Fleet::start_with(&[proxy.address()], &grids, agents, over, |settings| {
            settings.trust = Some(trust.clone());
        });
        fleet.wait_connected(u64::from(AGENTS), PATIENCE).await.with_context(|| proxy.log())?;
        let service = json!({ "name": "web", "image": "busybox:1", "stateful": false, "instances": 2 });
        must(&clients, Method::POST, "/v1/grids/grid-1/services", &service).await?;
        must(&clients, Method::POST, &format!("{SERVICE}/deploy"), &json!({})).await?;
        let calls = Calls::start(&http, &proxy.url(), &token, CALLERS);
        let secrets = Some(Secrets::start(&clients, 2, PACE));
        let database = administrator(&cluster.access.root_uri).await?;
        let town = Self { proxy, fleet, calls, clients, secrets, database, orders: 0 };
        ensure!(town.stuck().await? == 0, "the first deploy does not end");
        Ok(town)
    }

    fn collection(&self, name: &str) -> Collection<Document> {
        self.database.database(DATABASE).collection(name)
    }

    /// Watches who is reported offline from now on.
    pub(crate) fn watch(&self) -> Offline {
        Offline::watch(self.collection("host_nodes"))
    }

    /// The calls that were answered and that failed since the last question.
    pub(crate) fn calls(&self) -> (u64, Vec<Failure>) {
        self.calls.tally()
    }

    /// An administrator wants another number of instances, in the midst of it all, until it is acknowledged.
    pub(crate) async fn order(&mut self) -> Result<()> {
        self.orders += 1;
        let wish = json!({ "instances": 1 + self.orders % 4 });
        must(&self.clients, Method::POST, &format!("{SERVICE}/scale"), &wish).await.map(drop)
    }

    /// Waits until no deploy is open; how many stay so.
    pub(crate) async fn stuck(&self) -> Result<u64> {
        let open = doc! { "_deploy_state": { "$in": ["created", "ongoing"] } };
        let deploys = self.collection("grid_service_deploys");
        let deadline = Instant::now() + DEPLOYED_WITHIN;
        loop {
            let found = deploys.count_documents(open.clone()).await;
            match found {
                Ok(0) => return Ok(0),
                Ok(stuck) if Instant::now() > deadline => return Ok(stuck),
                Err(error) if Instant::now() > deadline => bail!("the database does not tell: {error}"),
                Ok(_) | Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Waits until all agents are connected. With the next round they may be anywhere again.
    pub(crate) async fn gathered(&self) -> Result<()> {
        self.fleet.wait_connected(u64::from(AGENTS), PATIENCE).await.map(drop)
    }

    /// How many acknowledged writes are not there. To be asked when all is well; others are written from then on.
    pub(crate) async fn lost(&mut self) -> Result<u64> {
        let secrets = self.secrets.take().context("nobody writes")?;
        let found = secrets.conclude().await?;
        for _ in 0..found.refused {
            eprintln!("a write was refused through {}", self.proxy.url());
        }
        self.secrets = Some(Secrets::start(&self.clients, 2, PACE));
        Ok(found.lost + found.stale)
    }
}

/// Asks until it succeeds; that it is there already is a success of an earlier try.
async fn must(clients: &Clients, method: Method, path: &str, body: &Value) -> Result<Value> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = clients.any(method.clone(), path, body).await;
        match answer {
            Ok((status, answer)) if status.is_success() => return Ok(answer),
            Ok((StatusCode::UNPROCESSABLE_ENTITY, answer)) if answer.to_string().contains("already") => {
                return Ok(answer);
            }
            _ if Instant::now() > deadline => bail!("{method} {path}: {answer:?}"),
            _ => sleep(Duration::from_millis(200)).await,
        }
    }
}
