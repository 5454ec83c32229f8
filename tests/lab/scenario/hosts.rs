//! Real systemd hosts: three, each with a master from the package and a member of the database, broken in every way
//! that hosts break.

mod clocks;
mod rpm;
mod upgrade;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use kontena_core::election::TTL_DEFAULT;
use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::sleep;

use crate::clock;
use crate::hosts::{COUNT, Cluster, Packages, Script, UNIT, set_up};
use crate::report::Report;

/// A longer time without a write is one of the database's elections, or worse.
const PACE: Duration = Duration::from_millis(500);
/// `WatchdogSec=` of the unit.
const WATCHDOG: Duration = Duration::from_secs(5);
/// Of the database's own elections: its default costs ten seconds without any leader.
const ELECTION: [&str; 2] = ["electionTimeoutMillis=2000", "heartbeatIntervalMillis=500"];

/// One way to break a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Fault {
    /// SIGKILL to the leader's daemon: the unit gives its lease back.
    Kill,
    /// The leader's lease thread hangs, and nothing else.
    HungLease,
    /// The leader's duties hang, and the lease thread goes on.
    HungDuties,
    /// Power loss of the leader's host.
    PowerLoss,
    /// The leader's host is cut off from everybody.
    Cut,
    /// The leader's daemon cannot reach the database, which its host can.
    CutDatabase,
    /// All of the leader's host stands still, and wakes up later.
    Freeze,
    /// The three are upgraded one by one, and back, under API load.
    Upgrade,
    /// The .rpm is installed, upgraded and erased on one of them.
    Rpm,
    /// One master with a wall clock that jumps, or a clock that is too slow or too fast.
    Clocks,
}

#[derive(Debug, Args)]
pub(crate) struct Hosts {
    /// Where the packages are.
    #[arg(long, default_value = "target/packages", value_name = "DIR")]
    packages: PathBuf,
    /// How often each fault.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// These faults only.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Fault>,
    /// The table of the documentation: 20 kills, 10 rounds of the others.
    #[arg(long)]
    full: bool,
    /// What the loss of a leader may cost beyond the ttl, in milliseconds. More than the default is for machines that
    /// do something else as well.
    #[arg(long, default_value_t = 500, value_name = "MS")]
    margin: u64,
    /// Leave the hosts as they are, to look at them (tests/hosts/hosts help).
    #[arg(long)]
    keep: bool,
    /// Run on the hosts' own switch, where the driver must be.
    #[arg(long, hide = true)]
    inside: bool,
}

/// Boots the hosts and goes on inside of their network, where this program starts itself again.
pub(crate) async fn run(arguments: Hosts, json: bool) -> Result<Option<Report>> {
    let script = Script::find();
    let packages = Packages::find(&arguments.packages)?;
    if arguments.inside {
        return drive(arguments, script, &packages).await.map(Some);
    }
    eprintln!("booting {COUNT} hosts; the first time takes a minute more");
    script.run(&["up", &COUNT.to_string()]).await?;
    let outcome = async {
        script.run(&["mongo", "up"]).await?;
        let [timeout, heartbeat] = ELECTION;
        script.run(&["mongo", "set", timeout, heartbeat]).await?;
        go_inside(&script, json).await
    }
    .await;
    if !arguments.keep {
        script.run(&["down"]).await?;
    }
    outcome.map(|()| None)
}

async fn go_inside(script: &Script, json: bool) -> Result<()> {
    let own = std::env::current_exe()?.display().to_string();
    let mut command = script.command(&["net", &own]);
    command.args(std::env::args_os().skip(1)).arg("--inside");
    ensure!(!json || std::env::args().any(|argument| argument == "--json"), "--json was lost");
    let status =
        command.stdin(Stdio::null()).status().await.context("cannot run inside of the hosts' network")?;
    ensure!(status.success(), "the scenario failed, see above");
    Ok(())
}

async fn drive(arguments: Hosts, script: Script, packages: &Packages) -> Result<Report> {
    let Hosts { packages: _, rounds, only, full, margin, keep: _, inside: _ } = arguments;
    let margin = Duration::from_millis(margin);
    let access = set_up(&script, packages).await?;
    let mut cluster = Cluster::watch(script, access).await?;
    let began = clock::now();
    cluster.settled().await?;
    eprintln!("three masters after {:.1} s", clock::now().saturating_sub(began).as_secs_f64());
    let settings = json!({ "rounds": rounds, "full": full, "ttl_ms": TTL_DEFAULT.as_millis(), "margin_ms": margin.as_millis(), "only": only });
    let mut report = Report::new("hosts", settings);
    for name in ["false_takeovers", "too_late", "failed_calls"] {
        report.violations(name, 0);
    }
    for fault in Fault::value_variants() {
        if !only.is_empty() && !only.contains(fault) {
            continue;
        }
        let rounds = match (full, fault) {
            (_, Fault::Upgrade | Fault::Rpm | Fault::Clocks) => 1,
            (true, Fault::Kill) => 20,
            (true, _) => 10,
            (false, _) => rounds,
        };
        for round in 1..=rounds {
            eprintln!("{fault:?}, round {round} of {rounds}");
            let outcome = match fault {
                Fault::Upgrade => upgrade::upgrade(&mut cluster, packages, &mut report).await,
                Fault::Rpm => rpm::rpm(&mut cluster, packages).await,
                Fault::Clocks => clocks::clocks(&mut cluster, &mut report).await,
                _ => lose_leader(&mut cluster, *fault, margin, &mut report).await,
            };
            if let Err(error) = outcome {
                return Err(error.context(cluster.logs().await).context(format!("{fault:?}, round {round}")));
            }
        }
    }
    cluster.conclude(&mut report).await?;
    Ok(report)
}

/// Breaks the leader, waits for the next one, mends what was broken.
async fn lose_leader(
    cluster: &mut Cluster,
    fault: Fault,
    margin: Duration,
    report: &mut Report,
) -> Result<()> {
    let (host, term) = cluster.settled().await?;
    let script = cluster.script.clone();
    let number = host.to_string();
    let process = cluster.main_process(host).await?;
    let mut hang = None;
    let mut at = clock::now();
    match fault {
        Fault::Kill => {
            kill_process(Pid::from_raw(i32::try_from(process)?).context("no process")?, Signal::KILL)?;
            cluster.died(host, process).await?;
        }
        Fault::HungLease => {
            hang = Some(stop_threads(&script, process, "lease").await?);
            at = clock::now();
        }
        Fault::HungDuties => {
            hang = Some(stop_threads(&script, process, "tokio-rt-worker").await?);
            at = clock::now();
        }
        Fault::PowerLoss => {
            let kill = ["kill", &number];
            let (killed, died) = tokio::join!(script.run(&kill), cluster.died(host, process));
            killed?;
            died?;
        }
        Fault::Cut => script.run(&["cut", &number]).await.map(drop)?,
        Fault::CutDatabase => script.shell(host, CUT_DATABASE).await.map(drop)?,
        Fault::Freeze => script.run(&["freeze", &number]).await.map(drop)?,
        Fault::Upgrade | Fault::Rpm | Fault::Clocks => bail!("{fault:?} loses no leader"),
    }
    let (next, leaderless) = cluster.leaderless(term, at).await?;
    // A gap is one of the database's elections, or it is the ordinary pace of writing.
    let gap = cluster.writable.longest_gap(at, clock::now()).filter(|gap| gap.length > PACE);
    let stopped = gap.map_or(Duration::ZERO, |gap| gap.end.saturating_sub(at));
    report.sample(sample(fault), leaderless);
    let bound = bound(fault, stopped, margin);
    eprintln!(
        "  term {term} of host {host} lost, term {next} acts after {leaderless:.0} ms (the database took no writes \
         until {} ms; allowed {} ms)",
        stopped.as_millis(),
        bound.as_millis()
    );
    report.violations("too_late", u64::from(leaderless > clock::millis(bound)));
    match fault {
        Fault::PowerLoss => script.run(&["start", &number]).await.map(drop)?,
        Fault::Cut => script.run(&["heal", &number]).await.map(drop)?,
        Fault::CutDatabase => script.shell(host, HEAL_DATABASE).await.map(drop)?,
        Fault::Freeze => {
            sleep((at + 3 * TTL_DEFAULT).saturating_sub(clock::now())).await;
            script.run(&["thaw", &number]).await.map(drop)?;
        }
        Fault::Kill | Fault::HungLease | Fault::HungDuties | Fault::Upgrade | Fault::Rpm | Fault::Clocks => {}
    }
    if let Some(mut hang) = hang {
        hang.wait().await?;
    }
    if let Some(wanted) = journal_says(fault) {
        let journal = script.run(&["log", &number, "-u", UNIT, "--since", "-60s", "--no-pager"]).await?;
        ensure!(journal.contains(wanted), "the journal of host {host} does not say {wanted:?}:\n{journal}");
    }
    if fault == Fault::HungDuties {
        // It does not stand for a minute, unless it is restarted.
        script.shell(host, &format!("systemctl restart {UNIT}")).await?;
    }
    let (_, settled) = cluster.settled().await?;
    report.violations("false_takeovers", settled.saturating_sub(next));
    Ok(())
}

/// All packets to the database vanish, but for those of the host's own database member. (A rule for the daemon's
/// packets would let those pass that the kernel sends again after the daemon closed the connection.)
const CUT_DATABASE: &str = "nft add table inet lab; nft 'add chain inet lab out { type filter hook output priority 0; }'; \
     nft add rule inet lab out meta skuid mongodb accept; nft add rule inet lab out tcp dport 27017 drop";
const HEAL_DATABASE: &str = "nft delete table inet lab";

/// Stops the threads of this name for twice the time of the watchdog; returns when they stand still.
async fn stop_threads(script: &Script, process: u32, name: &str) -> Result<Child> {
    let seconds = (WATCHDOG * 2).as_secs_f64().to_string();
    let mut hang = Command::new(script.beside("hang.py"))
        .args([process.to_string(), seconds, name.to_owned()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot run tests/hosts/hang.py (python3)")?;
    let mut line = String::new();
    let output = hang.stdout.as_mut().context("no output")?;
    BufReader::new(output).read_line(&mut line).await?;
    ensure!(line.trim().parse::<u32>().is_ok_and(|count| count > 0), "no thread was stopped");
    Ok(hang)
}

fn sample(fault: Fault) -> &'static str {
    match fault {
        Fault::Kill => "kill_leaderless_ms",
        Fault::HungLease => "hung_lease_leaderless_ms",
        Fault::HungDuties => "hung_duties_leaderless_ms",
        Fault::PowerLoss => "power_loss_leaderless_ms",
        Fault::Cut => "cut_leaderless_ms",
        Fault::CutDatabase => "cut_database_leaderless_ms",
        Fault::Freeze => "freeze_leaderless_ms",
        Fault::Upgrade => "upgrade_leaderless_ms",
        Fault::Rpm => "rpm_leaderless_ms",
        Fault::Clocks => "clocks_leaderless_ms",
    }
}

/// How long nobody may be in charge, if the database took no writes for so long after the fault.
fn bound(fault: Fault, stopped: Duration, margin: Duration) -> Duration {
    let silent = TTL_DEFAULT + margin;
    match fault {
        Fault::Kill | Fault::Upgrade | Fault::Rpm | Fault::Clocks => margin,
        Fault::HungLease => silent.min(WATCHDOG + Duration::from_secs(1)),
        // A runtime that stands still for a ttl, seen at the next look.
        Fault::HungDuties => TTL_DEFAULT + Duration::from_secs(1) + margin,
        // A gap between two looks begins the count of silence anew.
        Fault::PowerLoss | Fault::Cut | Fault::CutDatabase | Fault::Freeze => {
            if stopped > PACE {
                stopped + silent
            } else {
                silent
            }
        }
    }
}

fn journal_says(fault: Fault) -> Option<&'static str> {
    match fault {
        Fault::Kill => Some("released the lease of the dead master"),
        Fault::HungLease => Some("Watchdog timeout"),
        Fault::HungDuties => Some("does not stand for 60s"),
        _ => None,
    }
}
