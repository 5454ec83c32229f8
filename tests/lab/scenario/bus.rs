//! A call on an agent whose session another master holds: how long does it take there and back, and is any lost
//! when the database's primary changes meanwhile?

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use kontena_testkit::agent::{Fleet, Traffic};
use kontena_testkit::master::Master;
use kontena_wire::cluster::AgentPing;
use mongodb::bson::{Document, doc};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::sleep;

use crate::grids::Grids;
use crate::report::Report;
use crate::rig::{DATABASE, PATIENCE, Place, Plan, Rig};

/// From so many calls on it is about what is lost, not only about how long a call takes.
const MANY: usize = 10_000;
/// From one look at how many calls were made to the next.
const POLL: Duration = Duration::from_millis(20);
/// After a new primary was elected, clients have found it.
const FOUND_WITHIN: Duration = Duration::from_secs(2);
/// How many lost calls are shown.
const SHOWN: usize = 10;

#[derive(Debug, Args)]
pub(crate) struct Bus {
    /// How many calls.
    #[arg(long, default_value_t = 500)]
    count: usize,
    /// How many call at the same time. By default one; two for 10,000 calls and more.
    #[arg(long)]
    callers: Option<usize>,
    /// From one call of a caller to its next, in milliseconds. By default 20; none for 10,000 calls and more.
    #[arg(long)]
    every: Option<u64>,
    /// How often the database's primary is killed meanwhile. By default never; three times for 10,000 calls and
    /// more.
    #[arg(long)]
    primaries: Option<usize>,
    /// How many agents the other master holds.
    #[arg(long, default_value_t = 20)]
    agents: usize,
}

pub(crate) async fn run(arguments: Bus) -> Result<Report> {
    let Bus { count, callers, every, primaries, agents } = arguments;
    let many = count >= MANY;
    let callers = callers.unwrap_or(if many { 2 } else { 1 }).max(1);
    let every = Duration::from_millis(every.unwrap_or(if many { 0 } else { 20 }));
    let primaries = primaries.unwrap_or(if many { 3 } else { 0 });
    let settings = json!({
        "count": count, "callers": callers, "every": every.as_millis(), "primaries": primaries, "agents": agents,
    });
    let mut report = Report::new("bus", settings);
    let rig = Rig::start(&Plan { probe: false, ..Plan::default() }).await?;
    let grids = Grids::open(&rig.set, DATABASE).await?;
    let tokens = grids.create(agents).await?;
    rig.pause_polls();
    let (leader, _) = rig.leader().await.context("nobody leads")?;
    // Neither the owner nor the asked master leads, if there are enough.
    let others: Vec<&Place> =
        rig.places.iter().enumerate().filter(|(index, _)| *index != leader).map(|(_, place)| place).collect();
    let [owner, asked, ..] = others.as_slice() else { anyhow::bail!("too few masters") };
    let address = owner.master.url().trim_start_matches("http://").to_owned();
    let fleet = Fleet::start(&[address], &tokens, agents, Traffic::Full, Duration::from_secs(1));
    fleet.wait_connected(u64::try_from(agents)?, PATIENCE).await?;
    let calls = Calls {
        master: &asked.master,
        nodes: connected(&grids).await?,
        count,
        next: AtomicUsize::new(0),
        changing: AtomicBool::new(false),
    };
    let calling = futures_util::future::join_all((0..callers).map(|_| calls.make(every)));
    let (outcomes, changed) = tokio::join!(calling, change_primaries(&rig, primaries, &calls));
    changed?;
    let mut lost = Vec::new();
    for Outcomes { calm_ms, changing_ms, lost: also } in outcomes {
        for sample in calm_ms {
            report.sample("round_trip_ms", sample);
        }
        for sample in changing_ms {
            report.sample("changing_round_trip_ms", sample);
        }
        lost.extend(also);
    }
    for words in lost.iter().take(SHOWN) {
        eprintln!("{words}");
    }
    let heard = fleet.record().calls().get("/etcd/health").copied().unwrap_or(0);
    report.violations("lost", u64::try_from(lost.len())?);
    report.violations("doubled", heard.saturating_sub(u64::try_from(count)?));
    fleet.stop();
    rig.conclude(&mut report).await?;
    Ok(report)
}

async fn connected(grids: &Grids) -> Result<Vec<String>> {
    let mut nodes = Vec::new();
    let mut rows = grids.collection("host_nodes").find(doc! { "connected": true }).await?;
    while rows.advance().await? {
        let row: Document = rows.deserialize_current()?;
        nodes.push(row.get_object_id("_id")?.to_hex());
    }
    Ok(nodes)
}

/// What the callers share.
struct Calls<'a> {
    master: &'a Master,
    nodes: Vec<String>,
    count: usize,
    next: AtomicUsize,
    /// The database has no primary, or a new one that not everybody has found.
    changing: AtomicBool,
}

/// What one caller found.
#[derive(Default)]
struct Outcomes {
    calm_ms: Vec<f64>,
    changing_ms: Vec<f64>,
    lost: Vec<String>,
}

impl Calls<'_> {
    async fn make(&self, every: Duration) -> Outcomes {
        let mut outcomes = Outcomes::default();
        loop {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            if number >= self.count {
                return outcomes;
            }
            let calm_before = !self.changing.load(Ordering::Relaxed);
            match self.call(number).await {
                Ok(took) if calm_before && !self.changing.load(Ordering::Relaxed) => {
                    outcomes.calm_ms.push(took);
                }
                Ok(took) => outcomes.changing_ms.push(took),
                Err(error) => outcomes.lost.push(format!("call {number}: {error:#}")),
            }
            if !every.is_zero() {
                sleep(every).await;
            }
        }
    }

    async fn call(&self, number: usize) -> Result<f64> {
        let node = self.nodes.get(number % self.nodes.len().max(1)).context("no agents")?;
        let path = format!("/v1/cluster/agents/{node}/ping");
        match self.master.ask(Method::POST, &path).await? {
            (StatusCode::OK, body) => Ok(serde_json::from_value::<AgentPing>(body)?.round_trip_ms),
            (status, body) => anyhow::bail!("{status} {body}"),
        }
    }

    fn made(&self) -> usize {
        self.next.load(Ordering::Relaxed)
    }
}

/// Kills the primary at even distances of the calls, and lets it come back.
async fn change_primaries(rig: &Rig, times: usize, calls: &Calls<'_>) -> Result<()> {
    for time in 1..=times {
        while calls.made() < calls.count * time / (times + 1) {
            sleep(POLL).await;
        }
        let primary = rig.set.wait_for_primary(PATIENCE).await?;
        let member = rig.set.members().get(primary).context("the primary is no member")?;
        calls.changing.store(true, Ordering::Relaxed);
        member.kill()?;
        let next = rig.set.wait_for_primary(PATIENCE).await?;
        sleep(FOUND_WITHIN).await;
        calls.changing.store(false, Ordering::Relaxed);
        eprintln!("after {} calls the primary went from member {primary} to {next}", calls.made());
        member.restart().await?;
        rig.set.wait_healthy(PATIENCE).await?;
    }
    Ok(())
}
