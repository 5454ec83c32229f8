//! Placing and deploying many services: the planner alone, then the whole way to agents and back.

mod cost;
mod pass;
mod planner;

use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use kontena_core::id::Id;
use kontena_core::input::NewService;
use kontena_store::{CommandCounter, DatabaseUri, Inside, Purpose, Store};
use kontena_testkit::agent::{Fleet, Traffic};
use mongodb::bson::{Document, doc};
use reqwest::{Client, StatusCode};
use secrecy::SecretString;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::grids::Grids;
use crate::login::{CODE, login};
use crate::report::Report;
use crate::rig::{DATABASE, PATIENCE, Plan, Rig};

use cost::Cost;

/// How many clients ask for deploys at once.
const CLIENTS: usize = 16;
/// For all deploys together.
const WITHIN: Duration = Duration::from_secs(900);

#[derive(Debug, Args)]
pub(crate) struct Schedule {
    /// How many services.
    #[arg(long, default_value_t = 100)]
    services: usize,
    /// How many nodes; at most 254 are in one grid.
    #[arg(long, default_value_t = 100)]
    nodes: usize,
    /// How many instances each service has.
    #[arg(long, default_value_t = 10)]
    instances: usize,
    /// How many masters.
    #[arg(long, default_value_t = 3)]
    masters: usize,
    /// Only plan, without masters and agents.
    #[arg(long)]
    planner: bool,
}

pub(crate) async fn run(arguments: Schedule) -> Result<Report> {
    let Schedule { services, nodes, instances, masters, planner } = arguments;
    let settings =
        json!({ "services": services, "nodes": nodes, "instances": instances, "masters": masters });
    let mut report = Report::new("schedule", settings);
    planner::measure(services, nodes, instances, &mut report);
    if !planner {
        deploy(&arguments, &mut report).await?;
    }
    Ok(report)
}

/// What asks for deploys.
struct Clients {
    http: Client,
    masters: Vec<String>,
    token: String,
}

async fn deploy(arguments: &Schedule, report: &mut Report) -> Result<()> {
    let Schedule { services, nodes, instances, masters, planner: _ } = arguments;
    let plan = Plan {
        masters: *masters,
        probe: false,
        environment: vec![("INITIAL_ADMIN_CODE", CODE.to_owned())],
        ..Plan::default()
    };
    let rig = Rig::start(&plan).await?;
    rig.pause_polls();
    let urls: Vec<String> = rig.places.iter().map(|place| place.master.url()).collect();
    let clients = Clients::login(urls.clone()).await?;
    let grids = Grids::open(&rig.set, DATABASE).await?;
    let tokens = grids.create(*nodes).await?;
    let addresses: Vec<String> =
        urls.iter().map(|url| url.trim_start_matches("http://").to_owned()).collect();
    let fleet = Fleet::start(&addresses, &tokens, *nodes, Traffic::Full, Duration::from_secs(10));
    fleet.wait_connected(u64::try_from(*nodes)?, PATIENCE * 2).await?;
    let online = doc! { "connected": true, "updated": true };
    let deadline = Instant::now() + PATIENCE;
    while grids.count("host_nodes", online.clone()).await? < u64::try_from(*nodes)? {
        ensure!(Instant::now() < deadline, "not all nodes are online");
        sleep(Duration::from_millis(100)).await;
    }
    let paths = make(&rig, tokens.len(), *services, *instances).await?;
    eprintln!("{nodes} nodes are online, {} services are there", paths.len());

    let (before, started) = (Cost::so_far(&rig).await?, Instant::now());
    let asked = stream::iter(paths.iter().enumerate().map(|(number, path)| clients.deploy(number, path)));
    asked.buffer_unordered(CLIENTS).try_collect::<Vec<()>>().await?;
    // Each service has its deploy by now.
    let open = doc! { "finished_at": null };
    while grids.count("grid_service_deploys", open.clone()).await? > 0 {
        ensure!(started.elapsed() < WITHIN, "not all deploys have ended");
        sleep(Duration::from_millis(100)).await;
    }
    let seconds = started.elapsed().as_secs_f64();
    let total = f64::from(u32::try_from(services * instances)?);
    report.sample("deployed_per_s", total / seconds);
    Cost::so_far(&rig).await?.report(&before, total, report);
    for peak in cost::peaks(&rig)? {
        report.sample("peak_rss_mib", peak);
    }
    let failed = doc! { "_deploy_state": { "$ne": "success" } };
    for deploy in some(&grids, "grid_service_deploys", &failed).await? {
        let steps = deploy.get_array("grid_service_instance_deploys").map(Vec::as_slice).unwrap_or_default();
        let errors = steps.iter().filter_map(|step| step.as_document()?.get_str("error").ok());
        eprintln!("a deploy failed: {:?} {:?}", deploy.get_str("reason"), errors.collect::<Vec<_>>());
    }
    report.violations("failed_deploys", grids.count("grid_service_deploys", failed).await?);
    pass::measure(&rig.set.uri(DATABASE), report).await?;
    let running =
        doc! { "state": "running", "desired_state": "running", "$expr": { "$eq": ["$rev", "$deploy_rev"] } };
    let running = grids.count("grid_service_instances", running).await?;
    report.violations("missing_instances", u64::try_from(services * instances)?.saturating_sub(running));
    eprintln!("connections of agents that ended, by code: {:?}", fleet.record().closes());
    let faults = fleet.record().faults();
    for fault in faults.iter().take(5) {
        eprintln!("an agent: {fault}");
    }
    report.violations("pod_faults", u64::try_from(faults.len())?);
    fleet.stop();
    rig.conclude(report).await
}

/// The first few of a collection.
async fn some(grids: &Grids, collection: &str, filter: &Document) -> Result<Vec<Document>> {
    Ok(grids.collection(collection).find(filter.clone()).limit(5).await?.try_collect().await?)
}

/// Makes the services, spread over the grids. Returns their paths.
async fn make(rig: &Rig, grids: usize, services: usize, instances: usize) -> Result<Vec<String>> {
    let uri = DatabaseUri::from(SecretString::from(rig.set.uri(DATABASE)));
    let store = Store::open(&uri, Purpose::Main, &CommandCounter::default()).await?;
    let mut places: Vec<(String, Id, Id)> = Vec::new();
    for number in 1..=grids {
        let name = format!("grid-{number}");
        let grid = store.grids().by_name(&name).await?.context("no grid")?.id;
        let stack = store.service_references().stacks_named(grid, &["null"]).await?;
        places.push((name, grid, *stack.get("null").context("no stack")?));
    }
    let make = |number: usize| {
        let (name, grid, stack) = &places[number % grids];
        let service = format!("service-{number}");
        let body = json!({
            "name": service, "image": "busybox:latest", "stateful": false, "instances": instances,
            "deploy_opts": { "min_health": 0.5 }, "memory": 1_000_000,
        });
        let store = &store;
        async move {
            let fields = body.as_object().context("no object")?;
            let wanted = NewService::read(fields, "null", name).map_err(|fault| anyhow!("{fault:?}"))?;
            let services = store.services();
            let resolved = services.resolve(*grid, "null", &Inside::default(), &wanted.fields).await?;
            let resolved = resolved.map_err(|fault| anyhow!("{fault:?}"))?;
            services.create(*grid, *stack, &wanted, &resolved).await?;
            Ok::<_, anyhow::Error>(format!("{name}/null/{service}"))
        }
    };
    stream::iter((0..services).map(make)).buffer_unordered(CLIENTS).try_collect().await
}

impl Clients {
    async fn login(masters: Vec<String>) -> Result<Self> {
        // Command lines open a connection for each call too.
        let http = kontena_testkit::http::client().timeout(PATIENCE).pool_max_idle_per_host(0).build()?;
        let token = login(&http, masters.first().context("no masters")?).await?;
        Ok(Self { http, masters, token })
    }

    async fn deploy(&self, number: usize, path: &str) -> Result<()> {
        let master = &self.masters[number % self.masters.len()];
        let request = self.http.post(format!("{master}/v1/services/{path}/deploy"));
        let answer = request.bearer_auth(&self.token).json(&json!({})).send().await?;
        ensure!(answer.status() == StatusCode::OK, "{path}: {}", answer.status());
        Ok(())
    }
}
