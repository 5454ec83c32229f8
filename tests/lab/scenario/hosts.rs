//! Real systemd hosts: three, each with a master from the package and a member of the database, broken in every way
//! that hosts break.

mod clocks;
mod fault;
mod full;
mod row;
mod rpm;
mod strike;
mod upgrade;

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::hosts::{COUNT, Cluster, Elections, Packages, Script, Town, set_up};
use crate::report::Report;
use fault::{Fault, Way, Whom};
use row::{Row, table};

#[derive(Debug, Args)]
pub(crate) struct Hosts {
    /// Where the packages are.
    #[arg(long, default_value = "target/packages", value_name = "DIR")]
    packages: PathBuf,
    /// How often each fault. Ctrl-C ends with the round that runs, and what was seen until then is judged.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// These faults only.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Fault>,
    /// The table of the documentation: 20 rounds of each fault; those of the database's primary also at the server's
    /// own election settings.
    #[arg(long)]
    full: bool,
    /// What the loss of a leader may cost beyond the ttl, in milliseconds. More than the default is for machines that
    /// do something else as well.
    #[arg(long, default_value_t = 500, value_name = "MS")]
    margin: u64,
    /// The `lease_ttl` of the masters, in milliseconds.
    #[arg(long, default_value_t = 2000, value_name = "MS")]
    ttl: u64,
    /// Of the database's own elections: as the documentation proposes them, or as the server has them.
    #[arg(long, value_enum, default_value = "tuned", conflicts_with = "full")]
    elections: Elections,
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
        Elections::Tuned.begin(&script).await?;
        go_inside(&script, json).await
    }
    .await;
    if !arguments.keep {
        script.run(&["down"]).await?;
    }
    outcome.map(|()| None)
}

async fn go_inside(script: &Script, json: bool) -> Result<()> {
    // Ctrl-C is for the one inside, which brings its round to an end.
    let _ignored = signal(SignalKind::interrupt())?;
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
    let Hosts { packages: _, rounds, only, full, margin, ttl, elections, keep: _, inside: _ } = arguments;
    let margin = Duration::from_millis(margin);
    let access = set_up(&script, packages, Duration::from_millis(ttl)).await?;
    let mut cluster = Cluster::watch(script, access).await?;
    let began = clock::now();
    cluster.settled().await?;
    eprintln!("three masters after {:.1} s", clock::now().saturating_sub(began).as_secs_f64());
    let mut town = Town::settle(&cluster).await?;
    let settings = json!({
        "rounds": rounds, "full": full, "ttl_ms": ttl, "margin_ms": margin.as_millis(), "only": only,
        "elections": elections,
    });
    let mut report = Report::new("hosts", settings);
    let ending = ended_by_interrupt();
    for name in [
        "false_takeovers",
        "too_late",
        "failed_calls",
        "lost_writes",
        "stuck_deploys",
        "unnamed_by_doctor",
        "unseen_in_tui",
    ] {
        report.violations(name, 0);
    }
    let wanted = Fault::value_variants().iter().filter(|fault| only.is_empty() || only.contains(fault));
    let mut rows = Vec::new();
    for (elections, fault) in plan(wanted.copied(), elections, full) {
        if ending.is_cancelled() {
            break;
        }
        elections.set(&cluster.access.root_uri).await?;
        let rounds = if full { 20 } else { rounds };
        let done = match fault {
            Fault::Upgrade => upgrade::upgrade(&mut cluster, &mut town, packages, &mut report).await,
            Fault::Rpm => rpm::rpm(&mut cluster, packages).await,
            Fault::Clocks => clocks::clocks(&mut cluster, &mut report).await,
            _ => {
                let mut row = Row { name: name(fault, elections), rounds: Vec::new() };
                let done =
                    add_rounds(&mut row, &mut cluster, &mut town, fault, rounds, margin, &ending).await;
                rows.push(row);
                done
            }
        };
        if let Err(error) = done {
            eprintln!("\nwhat was seen until then:\n{}", table(&rows));
            return Err(error.context(cluster.logs().await).context(fault.name()));
        }
    }
    drop(town);
    let crossings = cluster.conclude(&mut report).await?;
    for row in &mut rows {
        row.blame(&crossings);
        for round in &row.rounds {
            report.sample(format!("{}_leaderless_ms", row.name), round.leaderless_ms);
            report.sample(format!("{}_own_ms", row.name), round.own_ms());
            report.violations("too_late", u64::from(round.is_late()));
            report.violations("false_takeovers", round.false_takeovers);
            report.violations("lost_writes", round.lost);
            report.violations("stuck_deploys", round.stuck);
            report.violations("unnamed_by_doctor", u64::from(round.unnamed));
            report.violations("unseen_in_tui", u64::from(round.unseen));
        }
    }
    eprintln!("\n{}", table(&rows));
    Ok(report)
}

/// Which faults at which settings, in order.
fn plan(
    wanted: impl Iterator<Item = Fault>,
    first: Elections,
    full: bool,
) -> impl Iterator<Item = (Elections, Fault)> {
    let of_primary = |fault: Fault| {
        fault
            .parts()
            .is_some_and(|(whom, way)| matches!(whom, Whom::Primary | Whom::Both) && way != Way::DiskFull)
    };
    wanted.flat_map(move |fault| {
        let again = (full && of_primary(fault)).then_some((Elections::Default, fault));
        [(first, fault)].into_iter().chain(again)
    })
}

/// What the row of a fault is called.
fn name(fault: Fault, elections: Elections) -> String {
    let suffix = if elections == Elections::Default { ", default elections" } else { "" };
    format!("{}{suffix}", fault.name())
}

/// Is cancelled by Ctrl-C: the round that runs comes to its end, and what was seen is judged.
fn ended_by_interrupt() -> CancellationToken {
    let ending = CancellationToken::new();
    let ended = ending.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            eprintln!("this is the last round");
            ended.cancel();
        }
    });
    ending
}

/// All rounds of a fault; those before one that failed are there.
async fn add_rounds(
    row: &mut Row,
    cluster: &mut Cluster,
    town: &mut Town,
    fault: Fault,
    rounds: usize,
    margin: Duration,
    ending: &CancellationToken,
) -> Result<()> {
    let small = fault == Fault::DiskFullMember;
    if small {
        full::small_disks(cluster).await?;
    }
    for number in 1..=rounds {
        if ending.is_cancelled() {
            break;
        }
        eprintln!("{}, round {number} of {rounds}", row.name);
        let round = strike::round(cluster, town, fault, number, margin).await;
        row.rounds.push(round.with_context(|| format!("round {number}"))?);
    }
    if small {
        full::large_disks(cluster).await?;
    }
    Ok(())
}
