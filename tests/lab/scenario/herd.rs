//! Many agents on three masters, and one of the masters dies: how long until all are back, and what was lost?

use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use kontena_testkit::agent::{Fleet, Traffic};
use kontena_wire::cluster::Cluster;
use mongodb::bson::{Document, doc, oid::ObjectId};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::grids::Grids;
use crate::offline::Offline;
use crate::report::Report;
use crate::rig::{DATABASE, Plan, Rig};

const PATIENCE: Duration = Duration::from_secs(300);
const POLL: Duration = Duration::from_millis(50);
/// Longer than an agent may take before its node counts as offline.
const AFTERMATH: Duration = Duration::from_secs(30);
/// From the return of the last agent until the database says what is true.
const CONVERGED_WITHIN: Duration = Duration::from_secs(45);
/// Containers of each agent that are nobody's pods.
const OWN_CONTAINERS: u64 = 2;

#[derive(Debug, Args)]
pub(crate) struct Herd {
    /// How many agents.
    #[arg(long, alias = "agents", default_value_t = 3000)]
    count: usize,
    /// How many masters.
    #[arg(long, default_value_t = 3)]
    masters: usize,
    /// How many deaths; each time the master with the most agents.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// Nobody gives back the dead master's lease, as when its host is lost with it.
    #[arg(long)]
    host_lost: bool,
    /// Agents that hold a pod of a service.
    #[arg(long, default_value_t = 100)]
    pods: usize,
}

pub(crate) async fn run(arguments: Herd) -> Result<Report> {
    let Herd { count, masters, rounds, host_lost, pods } = arguments;
    let settings = json!({
        "count": count, "masters": masters, "rounds": rounds, "host_lost": host_lost, "pods": pods,
    });
    let mut report = Report::new("herd", settings);
    let mut rig = Rig::start(&Plan { masters, probe: false, ..Plan::default() }).await?;
    let grids = Grids::open(&rig.set, DATABASE).await?;
    let tokens = grids.create(count).await?;
    rig.pause_polls();
    let masters: Vec<String> =
        rig.places.iter().map(|place| place.master.url().trim_start_matches("http://").to_owned()).collect();
    let all = u64::try_from(count)?;
    let fleet = Fleet::start(&masters, &tokens, count, Traffic::Full, Duration::from_secs(5));
    let took = fleet.wait_connected(all, PATIENCE).await?;
    eprintln!("{count} agents are connected after {:.1} s", took.as_secs_f64());
    let pods = place_pods(&grids, pods).await?;
    settle(&rig, &grids, all, &fleet, pods).await?;
    for round in 1..=rounds {
        let index = fullest(&rig).await?;
        let offline = Offline::watch(grids.collection("host_nodes"));
        sleep(Duration::from_millis(500)).await;
        change_pods(&grids, round).await?;
        let killed_at = rig.places.get_mut(index).context("no such master")?.kill()?;
        if !host_lost && let Some(place) = rig.places.get(index) {
            place.master.release_lease()?;
        }
        let living = living(&rig, index).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let connected = fleet.record().connected();
            if connected == all && grids.online(&living).await? == all {
                break;
            }
            if Instant::now() > deadline {
                bail!("only {connected} are back; closes {:?}", fleet.record().closes());
            }
            sleep(POLL).await;
        }
        let returned_at = Instant::now();
        let took = clock::now().saturating_sub(killed_at);
        eprintln!("round {round}: all back after {:.2} s", took.as_secs_f64());
        report.sample("all_back_ms", took.as_secs_f64() * 1e3);
        sleep(AFTERMATH).await;
        judge(&rig, &grids, &fleet, all, pods, &mut report).await?;
        report.violations("diverged", diverged(&grids, &fleet, pods, returned_at + CONVERGED_WITHIN).await?);
        report.violations("reported_offline", offline.end().await);
        let place = rig.places.get_mut(index).context("no such master")?;
        place.master.launch().await?;
        rig.settled().await?;
    }
    for fault in fleet.record().faults().iter().take(5) {
        eprintln!("{fault}");
    }
    report.violations("faults", u64::try_from(fleet.record().faults().len())?);
    fleet.stop();
    rig.conclude(&mut report).await?;
    Ok(report)
}

/// Gives some nodes an instance of a service; returns how many.
async fn place_pods(grids: &Grids, count: usize) -> Result<u64> {
    if count == 0 {
        return Ok(0);
    }
    let nodes: Vec<Document> = {
        let mut found = Vec::new();
        let mut rows = grids.collection("host_nodes").find(doc! {}).limit(i64::try_from(count)?).await?;
        while rows.advance().await? {
            found.push(rows.deserialize_current()?);
        }
        found
    };
    let (mut services, mut instances) = (Vec::new(), Vec::new());
    for (number, node) in nodes.iter().enumerate() {
        let (service, grid) = (ObjectId::new(), node.get_object_id("grid_id")?);
        // Every grid has it from the beginning.
        let stack = grids.collection("stacks").find_one(doc! { "grid_id": grid, "name": "null" }).await?;
        let stack = stack.context("a grid without its stack")?.get_object_id("_id")?;
        services.push(doc! {
            "_id": service, "grid_id": grid, "stack_id": stack, "name": format!("web-{number}"),
            "image_name": "nginx:latest",
            "revision": 1, "stateful": false, "net": "bridge", "stop_grace_period": 10, "container_count": 1,
            "state": "running", "env": [], "updated_at": mongodb::bson::DateTime::now(),
        });
        instances.push(doc! {
            "grid_service_id": service, "host_node_id": node.get_object_id("_id")?, "instance_number": 1,
            "desired_state": "running", "state": "initialized", "deploy_rev": "2026-11-22 18:24:25 UTC",
        });
    }
    if !nodes.is_empty() {
        grids.collection("grid_services").insert_many(services).await?;
        grids.collection("grid_service_instances").insert_many(instances).await?;
    }
    Ok(u64::try_from(nodes.len())?)
}

/// Wants the pods otherwise than before, so that their states are on their way when the master dies.
async fn change_pods(grids: &Grids, round: usize) -> Result<()> {
    let desired = if round % 2 == 1 { "stopped" } else { "running" };
    let deploy = format!("2026-11-22 18:{:02}:00 UTC", 30 + round % 30);
    let change = doc! { "$set": { "desired_state": desired, "deploy_rev": deploy } };
    grids.collection("grid_service_instances").update_many(doc! {}, change).await?;
    Ok(())
}

/// Waits until the database says of each pod what is true of it, and that is what was wanted; how many are wrong
/// in the end.
async fn diverged(grids: &Grids, fleet: &Fleet, pods: u64, until: Instant) -> Result<u64> {
    loop {
        let truth = fleet.record().truth();
        let mut wrong = pods.abs_diff(u64::try_from(truth.len())?);
        for ((service, number), pod) in truth {
            let row = doc! {
                "grid_service_id": service.parse::<ObjectId>()?, "instance_number": number, "state": &pod.state,
                "desired_state": &pod.state,
            };
            wrong += u64::from(grids.count("grid_service_instances", row).await? != 1);
        }
        if wrong == 0 || Instant::now() > until {
            return Ok(wrong);
        }
        sleep(POLL * 10).await;
    }
}

/// Waits until every agent has reported all it has.
async fn settle(rig: &Rig, grids: &Grids, all: u64, fleet: &Fleet, pods: u64) -> Result<()> {
    let masters = living(rig, usize::MAX).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let (deleted, containers) = grids.containers().await?;
        let states = u64::try_from(fleet.record().acknowledged().len())?;
        if grids.online(&masters).await? == all
            && deleted == 0
            && containers == all * OWN_CONTAINERS + pods
            && states == pods
        {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{containers} containers, {deleted} of them deleted, {states} states of {pods} pods");
        }
        sleep(POLL * 4).await;
    }
}

/// The ids of the masters that live.
async fn living(rig: &Rig, dead: usize) -> Result<Vec<String>> {
    let dead = rig.places.get(dead).map(|place| place.master.name().to_owned());
    let cluster = cluster(rig, dead.as_deref()).await?;
    Ok(cluster
        .masters
        .into_iter()
        .filter(|master| Some(&master.name) != dead.as_ref())
        .map(|master| master.id)
        .collect())
}

async fn cluster(rig: &Rig, dead: Option<&str>) -> Result<Cluster> {
    for place in rig.places.iter().filter(|place| Some(place.master.name()) != dead) {
        if let Ok(body) = place.master.get("/v1/cluster").await {
            return Ok(serde_json::from_value(body)?);
        }
    }
    bail!("no master answers")
}

async fn fullest(rig: &Rig) -> Result<usize> {
    let cluster = cluster(rig, None).await?;
    let most = cluster.masters.iter().max_by_key(|master| master.agents).context("no masters")?;
    eprintln!("killing {}, which has {} agents", most.name, most.agents);
    let index = rig.places.iter().position(|place| place.master.name() == most.name);
    index.context("an unknown master")
}

async fn judge(
    rig: &Rig,
    grids: &Grids,
    fleet: &Fleet,
    all: u64,
    pods: u64,
    report: &mut Report,
) -> Result<()> {
    let cluster = cluster(rig, None).await?;
    report.violations("doubled", cluster.agents.connected.saturating_sub(all));
    let rows = grids.count("host_nodes", doc! {}).await?;
    let connected = grids.count("host_nodes", doc! { "connected": true, "updated": true }).await?;
    let (deleted, containers) = grids.containers().await?;
    let wrong = rows.abs_diff(all) + connected.abs_diff(all) + deleted;
    report.violations("diverged", wrong + containers.abs_diff(all * OWN_CONTAINERS + pods));
    let mut lost = 0;
    for ((service, number), told) in fleet.record().acknowledged() {
        // Of the same deploy or a later one: what followed may have been written and not acknowledged.
        let filter = doc! {
            "grid_service_id": service.parse::<ObjectId>()?, "instance_number": number,
            "rev": { "$gte": told.rev },
        };
        lost += u64::from(grids.count("grid_service_instances", filter).await? != 1);
    }
    report.violations("acknowledged_lost", lost);
    Ok(())
}
