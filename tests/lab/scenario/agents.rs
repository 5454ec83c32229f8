//! Many agents on one master: how long until all are in, and what they cost while they only keep the connection.
//! With `--master` and `--token`: just the agents, for a master that runs elsewhere.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use kontena_testkit::agent::{Fleet, Grid, Traffic};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::grids::Grids;
use crate::process::{TICKS, rss_mib, ticks};
use crate::report::Report;
use crate::rig::{DATABASE, Plan, Rig};

const LOOK_EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(300);

#[derive(Debug, Args)]
pub(crate) struct Agents {
    /// How many agents.
    #[arg(long, default_value_t = 10_000)]
    count: usize,
    /// How long to watch once all are connected.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Over how many seconds the agents start.
    #[arg(long, default_value_t = 10.0)]
    over: f64,
    /// Do everything that real agents do, not only the pings.
    #[arg(long)]
    full: bool,
    /// Agents for this master, as host:port, and nothing else. Once per master.
    #[arg(long, requires = "token")]
    master: Vec<String>,
    /// The token of their grid.
    #[arg(long, requires = "master")]
    token: Option<String>,
}

pub(crate) async fn run(arguments: Agents) -> Result<Option<Report>> {
    let traffic = if arguments.full { Traffic::Full } else { Traffic::Keepalive };
    let over = Duration::from_secs_f64(arguments.over);
    if let Some(token) = arguments.token {
        let masters: Vec<String> = arguments
            .master
            .iter()
            .map(|url| url.trim_start_matches("http://").trim_end_matches('/').to_owned())
            .collect();
        return serve(&masters, token, arguments.count, traffic, over).await.map(|()| None);
    }
    let Agents { count, seconds, .. } = arguments;
    let settings =
        json!({ "count": count, "seconds": seconds, "over": arguments.over, "full": arguments.full });
    let mut report = Report::new("agents", settings);
    let rig = Rig::start(&Plan { masters: 1, probe: false, ..Plan::default() }).await?;
    let grids = Grids::open(&rig.set, DATABASE).await?;
    let tokens = grids.create(count).await?;
    rig.pause_polls();
    let (_, term) = rig.settled().await?;
    let place = rig.places.first().context("no master")?;
    let pid = place.master.pid().context("the master has ended")?;
    let before = rss_mib(pid)?;
    let address = place.master.url().trim_start_matches("http://").to_owned();
    eprintln!("{count} agents in {} grids; the master has {before:.1} MiB before them", tokens.len());
    let fleet = Fleet::start(&[address], &tokens, count, traffic, over);
    let all = u64::try_from(count)?;
    let took = fleet.wait_connected(all, PATIENCE).await?;
    report.sample("all_connected_ms", took.as_secs_f64() * 1e3);
    eprintln!("all connected after {:.1} s", took.as_secs_f64());
    for sample in fleet.record().connect_ms() {
        report.sample("connect_ms", sample);
    }
    // What belongs to the connects is over by then.
    sleep(Duration::from_secs(10)).await;
    let (from, used) = (clock::now(), ticks(pid)?);
    let deadline = Instant::now() + Duration::from_secs_f64(seconds);
    while Instant::now() < deadline {
        sleep(LOOK_EVERY).await;
        report.sample("rss_mib", rss_mib(pid)?);
    }
    let watched = clock::now().saturating_sub(from).as_secs_f64();
    report.sample("cpu_percent", (ticks(pid)? - used) / TICKS / watched * 100.0);
    for sample in fleet.record().ping_ms() {
        report.sample("ping_ms", sample);
    }
    let record = fleet.record();
    report.violations("late_pings", record.late_pings());
    report.violations("lost_connections", record.closes().values().sum());
    report.violations("faults", u64::try_from(record.faults().len())?);
    report.violations(
        "diverged",
        all.abs_diff(grids.count("host_nodes", mongodb::bson::doc! { "connected": true }).await?),
    );
    let (_, last) = rig.settled().await?;
    report.violations("false_takeovers", last.saturating_sub(term));
    for fault in record.faults().iter().take(5) {
        eprintln!("{fault}");
    }
    fleet.stop();
    Ok(Some(report))
}

/// Agents until Ctrl-C.
async fn serve(
    masters: &[String],
    token: String,
    count: usize,
    traffic: Traffic,
    over: Duration,
) -> Result<()> {
    let fleet = Fleet::start(masters, &[Grid { token }], count, traffic, over);
    let mut shown = String::new();
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => return Ok(()),
            () = sleep(LOOK_EVERY) => {}
        }
        let record = fleet.record();
        let now = format!(
            "{} of {count} connected, {} connects, {} refused, closes {:?}, {} faults",
            record.connected(),
            record.connects(),
            record.refused(),
            record.closes(),
            record.faults().len()
        );
        if now != shown {
            println!("{now}");
            shown = now;
        }
    }
}
