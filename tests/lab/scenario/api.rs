//! How many requests of the command line does a master answer, while another one changes what they read? And does
//! any answer show what was already changed when it was asked for?

mod client;
mod world;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::report::Report;
use client::Connection;
use world::World;

/// Changes and revocations a second.
const WRITES_PER_SECOND: u32 = 20;
/// Before anything is measured.
const WARM_UP: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Api {
    /// How long each kind of request is measured.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many clients ask at the same time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
}

/// What the writer has changed, for those who check that reads show it.
#[derive(Default)]
struct Truth {
    /// The version that was acknowledged last.
    acknowledged: AtomicU64,
    stale: AtomicU64,
    refused: AtomicU64,
    stop: AtomicBool,
}

pub(crate) async fn run(arguments: Api) -> Result<Report> {
    let Api { seconds, connections } = arguments;
    let settings =
        json!({ "seconds": seconds, "connections": connections, "masters": 2, "grids": 20, "nodes": 200 });
    let mut report = Report::new("api", settings);
    let world = Arc::new(World::start().await?);
    let truth = Arc::new(Truth::default());
    let mut writer = JoinSet::new();
    writer.spawn(write(Arc::clone(&world), Arc::clone(&truth)));
    let span = Duration::from_secs(seconds);
    for (path, rate, latency, versioned) in [
        ("/v1/ping", "ping_per_s", "ping_ms", false),
        ("/v1/grids", "grids_per_s", "grids_ms", true),
        ("/v1/grids/grid-00/nodes", "nodes_per_s", "nodes_ms", false),
    ] {
        eprintln!("{path} from {connections} clients for {seconds} s");
        load(&world, &truth, path, connections, WARM_UP, versioned).await?;
        let started = Instant::now();
        let times = load(&world, &truth, path, connections, span, versioned).await?;
        report.sample(rate, as_f64(times.len()) / started.elapsed().as_secs_f64());
        for time in times {
            report.sample_many(latency, (time.as_secs_f64() * 1e6).round() / 1e3);
        }
        report.summarize(latency);
    }
    truth.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = writer.join_next().await {
        report.sample("writes_per_s", ended??);
    }
    report.violations("stale_reads", truth.stale.load(Ordering::SeqCst));
    report.violations("refused_reads", truth.refused.load(Ordering::SeqCst));
    Ok(report)
}

/// Asks for `path` all the time; returns how long each answer took.
async fn load(
    world: &Arc<World>,
    truth: &Arc<Truth>,
    path: &'static str,
    connections: usize,
    span: Duration,
    versioned: bool,
) -> Result<Vec<Duration>> {
    let deadline = Instant::now() + span;
    let mut clients = JoinSet::new();
    for _ in 0..connections {
        let (world, truth) = (Arc::clone(world), Arc::clone(truth));
        clients.spawn(async move {
            let mut connection = Connection::open(world.reader(), world.token()).await?;
            let mut times = Vec::new();
            while Instant::now() < deadline {
                let known = truth.acknowledged.load(Ordering::SeqCst);
                let asked = Instant::now();
                let answer = connection.get(path).await?;
                times.push(asked.elapsed());
                if answer.status != 200 {
                    truth.refused.fetch_add(1, Ordering::SeqCst);
                } else if versioned && answer.version().is_none_or(|seen| seen < known) {
                    truth.stale.fetch_add(1, Ordering::SeqCst);
                }
            }
            Ok::<_, anyhow::Error>(times)
        });
    }
    let mut all = Vec::new();
    while let Some(ended) = clients.join_next().await {
        all.extend(ended??);
    }
    Ok(all)
}

/// Changes a grid and revokes a token through one master, and asks the other at once; returns the rate.
async fn write(world: Arc<World>, truth: Arc<Truth>) -> Result<f64> {
    let mut changing = Connection::open(world.writer(), world.token()).await?;
    let mut reading = Connection::open(world.reader(), world.token()).await?;
    let started = Instant::now();
    let mut next = started;
    let mut version = 0;
    while !truth.stop.load(Ordering::SeqCst) {
        version += 1;
        let body = json!({ "default_affinity": [format!("version=={version}")] });
        changing.send("PUT", "/v1/grids/grid-00", Some(&body)).await?.expect(200)?;
        truth.acknowledged.store(version, Ordering::SeqCst);
        if reading.get("/v1/grids").await?.version() < Some(version) {
            truth.stale.fetch_add(1, Ordering::SeqCst);
        }
        let wish = json!({ "response_type": "token", "scope": "user" });
        let made = changing.send("POST", "/oauth2/authorize", Some(&wish)).await?.expect(201)?;
        let (id, token) = (made.text("id")?, made.text("access_token")?);
        let mut revoked = Connection::open(world.reader(), &token).await?;
        revoked.get("/v1/user").await?.expect(200)?;
        changing.send("DELETE", &format!("/oauth2/tokens/{id}"), None).await?.expect(201)?;
        if revoked.get("/v1/user").await?.status != 403 {
            truth.stale.fetch_add(1, Ordering::SeqCst);
        }
        next += Duration::from_secs(1) / WRITES_PER_SECOND;
        tokio::time::sleep_until(next.max(Instant::now())).await;
        // After a pause the rate is kept, not made up for.
        next = next.max(Instant::now());
    }
    // The readers end first.
    sleep(Duration::from_millis(10)).await;
    Ok(f64::from(u32::try_from(version).unwrap_or(u32::MAX)) / started.elapsed().as_secs_f64())
}

fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
