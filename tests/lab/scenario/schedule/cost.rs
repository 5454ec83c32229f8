//! What deploys cost: commands to the database by kind, processor time by program, memory.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};

use crate::process::{TICKS, ticks};
use crate::report::Report;
use crate::rig::Rig;
use kontena_testkit::master::TOKEN;

/// What was spent so far.
pub(super) struct Cost {
    /// By command and collection.
    commands: BTreeMap<String, f64>,
    /// Seconds of processor time: masters, databases, and the agents with whatever else is in this process.
    cpu: [f64; 3],
}

impl Cost {
    pub(super) async fn so_far(rig: &Rig) -> Result<Self> {
        let http = kontena_testkit::http::client().build()?;
        let mut commands = BTreeMap::new();
        let (mut masters, mut databases) = (0.0, 0.0);
        for place in &rig.places {
            masters += ticks(place.master.pid().context("a master has ended")?)?;
            let asked = http.get(format!("{}/metrics", place.master.url())).bearer_auth(TOKEN);
            for line in asked.send().await?.error_for_status()?.text().await?.lines() {
                let Some(line) = line.strip_prefix("kontena_master_database_commands_total{") else {
                    continue;
                };
                let (kind, count) = line.rsplit_once("} ").context("no count")?;
                *commands.entry(kind.to_owned()).or_default() += count.parse::<f64>()?;
            }
        }
        for member in rig.set.members() {
            databases += ticks(member.pid().context("a member has ended")?)?;
        }
        let cpu = [masters, databases, ticks(std::process::id())?].map(|ticks| ticks / TICKS);
        Ok(Self { commands, cpu })
    }

    /// What was spent between `before` and this, for each of `instances`. The kinds of commands go to the terminal.
    pub(super) fn report(&self, before: &Self, instances: f64, report: &mut Report) {
        let spent = |kind: &String, count: &f64| count - before.commands.get(kind).copied().unwrap_or(0.0);
        let mut kinds: Vec<(f64, &String)> =
            self.commands.iter().map(|(kind, count)| (spent(kind, count) / instances, kind)).collect();
        kinds.sort_by(|one, other| other.0.total_cmp(&one.0));
        for (count, kind) in kinds.iter().filter(|(count, _)| *count >= 0.01) {
            eprintln!("{count:8.2} commands an instance: {kind}");
        }
        report.sample("commands_per_instance", kinds.iter().map(|(count, _)| count).sum());
        let [masters, databases, agents] = [0, 1, 2].map(|at: usize| {
            let (now, then) = (self.cpu.get(at), before.cpu.get(at));
            (now.copied().unwrap_or(0.0) - then.copied().unwrap_or(0.0)) * 1e3 / instances
        });
        report.sample("masters_cpu_ms", masters);
        report.sample("databases_cpu_ms", databases);
        report.sample("agents_cpu_ms", agents);
    }
}

/// The most memory that each master ever had, in MiB.
pub(super) fn peaks(rig: &Rig) -> Result<Vec<f64>> {
    let peak = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).context("no VmHWM")?;
        let kib: f64 = line.split_whitespace().nth(1).context("no value")?.parse()?;
        Ok(kib / 1024.0)
    };
    rig.places.iter().map(|place| peak(place.master.pid().context("a master has ended")?)).collect()
}
