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
use tokio::time::Instant;

use crate::report::Report;
use client::Connection;
use world::World;

/// Changes a second, and revocations a second.
const WRITES_PER_SECOND: u32 = 20;
/// How many clients share the revocations, each of which takes several requests in turn.
const REVOKERS: u32 = 20;
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
    let mut changes = JoinSet::new();
    changes.spawn(change(Arc::clone(&world), Arc::clone(&truth)));
    let mut revocations = JoinSet::new();
    for _ in 0..REVOKERS {
        revocations.spawn(revoke(Arc::clone(&world), Arc::clone(&truth)));
    }
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
            report.sample(latency, (time.as_secs_f64() * 1e6).round() / 1e3);
        }
    }
    truth.stop.store(true, Ordering::SeqCst);
    while let Some(ended) = changes.join_next().await {
        report.sample("changes_per_s", ended??);
    }
    let mut revoked = 0.0;
    while let Some(ended) = revocations.join_next().await {
        revoked += ended??;
    }
    report.sample("revocations_per_s", revoked);
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

/// Changes a grid through one master, and asks the other at once; returns the rate.
async fn change(world: Arc<World>, truth: Arc<Truth>) -> Result<f64> {
    let mut changing = Connection::open(world.writer(), world.token()).await?;
    let mut pace = Pace::new(WRITES_PER_SECOND);
    let mut version = 0;
    while !truth.stop.load(Ordering::SeqCst) {
        version += 1;
        let body = json!({ "default_affinity": [format!("version=={version}")] });
        changing.send("PUT", "/v1/grids/grid-00", Some(&body)).await?.expect(200)?;
        truth.acknowledged.store(version, Ordering::SeqCst);
        pace.next().await;
    }
    Ok(pace.rate())
}

/// Ends tokens through one master, and uses them on the other at once; returns the rate.
async fn revoke(world: Arc<World>, truth: Arc<Truth>) -> Result<f64> {
    let mut changing = Connection::open(world.writer(), world.token()).await?;
    let mut pace = Pace::new(WRITES_PER_SECOND / REVOKERS);
    while !truth.stop.load(Ordering::SeqCst) {
        let wish = json!({ "response_type": "token", "scope": "user" });
        let made = changing.send("POST", "/oauth2/authorize", Some(&wish)).await?.expect(201)?;
        let (id, token) = (made.text("id")?, made.text("access_token")?);
        let mut revoked = Connection::open(world.reader(), &token).await?;
        revoked.get("/v1/user").await?.expect(200)?;
        changing.send("DELETE", &format!("/oauth2/tokens/{id}"), None).await?.expect(201)?;
        if revoked.get("/v1/user").await?.status != 403 {
            truth.stale.fetch_add(1, Ordering::SeqCst);
        }
        pace.next().await;
    }
    Ok(pace.rate())
}

/// So many turns a second; what was missed is not made up for.
struct Pace {
    every: Duration,
    started: Instant,
    next: Instant,
    turns: u32,
}

impl Pace {
    fn new(per_second: u32) -> Self {
        let now = Instant::now();
        Self { every: Duration::from_secs(1) / per_second, started: now, next: now, turns: 0 }
    }

    async fn next(&mut self) {
        self.turns += 1;
        self.next = (self.next + self.every).max(Instant::now());
        tokio::time::sleep_until(self.next).await;
    }

    fn rate(&self) -> f64 {
        f64::from(self.turns) / self.started.elapsed().as_secs_f64()
    }
}

fn as_f64(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
