//! Masters with nothing to do: what do they cost, and does the leader stay when the machine is busy?

use std::fs;
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::report::Report;
use crate::rig::{Plan, Rig};
use crate::trace::Life;

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Clock ticks of `/proc/PID/stat` a second, as on every Linux.
const TICKS: f64 = 100.0;

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

fn ticks(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The second field is in parentheses and may hold anything.
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect::<Vec<_>>());
    let Some(&[..]) = fields.as_deref() else { bail!("/proc/{pid}/stat is not understood") };
    let field = |index: usize| -> Result<f64> {
        let text = fields.as_ref().and_then(|fields| fields.get(index)).context("too few fields")?;
        Ok(text.parse()?)
    };
    Ok(field(11)? + field(12)?)
}

fn rss_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: f64 = line.split_whitespace().nth(1).context("no value")?.parse()?;
    Ok(kib / 1024.0)
}
