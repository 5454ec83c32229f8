//! Masters with nothing to do: what do they cost, and does the leader stay when the machine is busy?

use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::process::{TICKS, rss_mib, ticks};
use crate::report::Report;
use crate::rig::{Plan, Rig};
use crate::trace::Life;

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Idle {
    /// How long to watch.
    #[arg(long, default_value_t = 1.0)]
    minutes: f64,
    /// Keep both cores busy with another program meanwhile.
    #[arg(long)]
    load: bool,
}

/// Another program that wants all it can get.
struct Load(Vec<Child>);

impl Load {
    fn start() -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        let mut load = Self(Vec::new());
        for _ in 0..cores {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--", "sh", "-c", "while :; do :; done"]);
            load.0.push(command.spawn().context("cannot start the load")?);
        }
        Ok(load)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Should it fail, it ends with this process.
            let _killed = child.kill().and_then(|()| child.wait());
        }
    }
}

pub(crate) async fn run(arguments: Idle) -> Result<Report> {
    let Idle { minutes, load } = arguments;
    let settings = json!({ "minutes": minutes, "load": load, "masters": 3 });
    let mut report = Report::new("idle", settings);
    let rig = Rig::start(&Plan { probe: false, ..Plan::default() }).await?;
    let (_, term) = rig.settled().await?;
    rig.pause_polls();
    // What belongs to the start is over by then.
    sleep(Duration::from_secs(5)).await;
    let _load = load.then(Load::start).transpose()?;
    let from = clock::now();
    let used_before = usage(&rig)?;
    let deadline = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let mut terms = vec![term];
    while Instant::now() < deadline {
        sleep(LOOK_EVERY).await;
        for place in &rig.places {
            let pid = place.master.pid().context("a master has ended")?;
            report.sample("rss_mib", rss_mib(pid)?);
        }
        if let Some((_, term)) = rig.leader().await
            && terms.last() != Some(&term)
        {
            eprintln!("term {term}");
            terms.push(term);
        }
    }
    let seconds = clock::now().saturating_sub(from).as_secs_f64();
    for (before, after) in used_before.iter().zip(usage(&rig)?) {
        report.sample("cpu_percent", (after - before) / TICKS / seconds * 100.0);
    }
    let mut commands = 0.0;
    for place in &rig.places {
        let lives = Life::read(&place.master.trace_file(), &[])?;
        let rate = lives.first().and_then(|life| life.commands_per_second(from, clock::now()));
        commands += rate.context("a master recorded no commands")?;
    }
    report.sample("commands_per_second", commands);
    let (_, last) = rig.settled().await?;
    report.violations("false_takeovers", last.saturating_sub(term));
    rig.conclude(&mut report).await?;
    Ok(report)
}

/// The processor time of each master so far, in ticks.
fn usage(rig: &Rig) -> Result<Vec<f64>> {
    rig.places.iter().map(|place| ticks(place.master.pid().context("a master has ended")?)).collect()
}
