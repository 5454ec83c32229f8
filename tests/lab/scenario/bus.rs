//! A call on an agent whose session another master holds: how long does it take there and back?

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use kontena_testkit::agent::{Fleet, Traffic};
use kontena_wire::cluster::AgentPing;
use mongodb::bson::{Document, doc};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::sleep;

use crate::grids::Grids;
use crate::report::Report;
use crate::rig::{DATABASE, Plan, Rig};

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(crate) struct Bus {
    /// How many calls.
    #[arg(long, default_value_t = 500)]
    count: usize,
    /// From one call to the next, in milliseconds.
    #[arg(long, default_value_t = 20)]
    every: u64,
    /// How many agents the other master holds.
    #[arg(long, default_value_t = 20)]
    agents: usize,
}

pub(crate) async fn run(arguments: Bus) -> Result<Report> {
    let Bus { count, every, agents } = arguments;
    let mut report = Report::new("bus", json!({ "count": count, "every": every, "agents": agents }));
    let rig = Rig::start(&Plan { probe: false, ..Plan::default() }).await?;
    let grids = Grids::open(&rig.set, DATABASE).await?;
    let tokens = grids.create(agents).await?;
    rig.pause_polls();
    let (leader, _) = rig.leader().await.context("nobody leads")?;
    // Neither the owner nor the asked master leads, if there are enough.
    let others: Vec<&crate::rig::Place> =
        rig.places.iter().enumerate().filter(|(index, _)| *index != leader).map(|(_, place)| place).collect();
    let [owner, asked, ..] = others.as_slice() else { anyhow::bail!("too few masters") };
    let address = owner.master.url().trim_start_matches("http://").to_owned();
    let fleet = Fleet::start(&[address], &tokens, agents, Traffic::Full, Duration::from_secs(1));
    fleet.wait_connected(u64::try_from(agents)?, PATIENCE).await?;
    let mut nodes = Vec::new();
    let mut rows = grids.collection("host_nodes").find(doc! { "connected": true }).await?;
    while rows.advance().await? {
        let row: Document = rows.deserialize_current()?;
        nodes.push(row.get_object_id("_id")?.to_hex());
    }
    let mut lost = 0;
    for (number, node) in (0..count).zip(nodes.iter().cycle()) {
        let path = format!("/v1/cluster/agents/{node}/ping");
        match asked.master.ask(Method::POST, &path).await? {
            (StatusCode::OK, body) => {
                let ping: AgentPing = serde_json::from_value(body)?;
                report.sample("round_trip_ms", ping.round_trip_ms);
            }
            (status, body) => {
                eprintln!("call {number}: {status} {body}");
                lost += 1;
            }
        }
        sleep(Duration::from_millis(every)).await;
    }
    let heard = fleet.record().calls().get("/etcd/health").copied().unwrap_or(0);
    report.violations("lost", lost);
    report.violations("doubled", heard.saturating_sub(u64::try_from(count)?));
    fleet.stop();
    rig.conclude(&mut report).await?;
    Ok(report)
}
