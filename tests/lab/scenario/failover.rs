//! The leader is lost: how long is nobody in charge, and does anything of it take effect afterwards?

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use kontena_core::election::TTL_DEFAULT;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;

use crate::clock;
use crate::report::Report;
use crate::rig::{Place, Plan, Rig};

/// How the leader is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// SIGKILL, and nobody gives its lease back.
    Kill,
    /// SIGKILL, and its lease is given back as the service manager does.
    KillWithRelease,
    /// SIGSTOP for three ttl at a random point, then SIGCONT.
    Pause,
    /// It cannot reach the database, while the others can.
    CutDatabase,
}

#[derive(Debug, Args)]
pub(crate) struct Failover {
    /// How the leader is lost.
    #[arg(long, value_enum, default_value = "kill-with-release")]
    mode: Mode,
    /// How often.
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Of the random moments; by default a new one each time.
    #[arg(long)]
    seed: Option<u64>,
}

/// When the fault happened.
struct Fault {
    at: Duration,
}

pub(crate) async fn run(arguments: Failover) -> Result<Report> {
    let Failover { mode, rounds, seed } = arguments;
    let seed = seed.unwrap_or_else(rand::random);
    let mut chance = StdRng::seed_from_u64(seed);
    let ttl = TTL_DEFAULT;
    let settings = json!({ "mode": mode, "rounds": rounds, "seed": seed, "ttl_ms": ttl.as_millis() });
    let mut report = Report::new("failover", settings);
    let mut rig = Rig::start(&Plan { relays: mode == Mode::CutDatabase, ..Plan::default() }).await?;
    let mut false_takeovers = 0;
    for round in 1..=rounds {
        let (leader, term) = rig.settled().await?;
        // At any point between two renewals, and within a batch.
        sleep(Duration::from_micros(chance.random_range(0..1_000_000))).await;
        ensure!(rig.judge.latest().term == term, "term {term} ended before the fault of round {round}");
        let place = rig.places.get_mut(leader).context("the leader has no place")?;
        let fault = strike(mode, place)?;
        let next = rig.next_term(term).await?;
        let first = rig.judge.first_of_term(next.term).unwrap_or(next.at);
        let leaderless = clock::millis(first.saturating_sub(fault.at));
        report.sample("leaderless_ms", leaderless);
        eprintln!("round {round:>3}: term {term} lost, term {} acts after {leaderless:.1} ms", next.term);
        if mode == Mode::Pause {
            sleep((fault.at + 3 * ttl).saturating_sub(clock::now())).await;
        }
        let place = rig.places.get_mut(leader).context("the leader has no place")?;
        heal(mode, place).await?;
        let (_, settled_term) = rig.settled().await?;
        false_takeovers += settled_term.saturating_sub(term + 1);
    }
    report.violations("false_takeovers", false_takeovers);
    rig.conclude(&mut report).await?;
    Ok(report)
}

fn strike(mode: Mode, leader: &mut Place) -> Result<Fault> {
    let at = match mode {
        Mode::Kill => leader.kill()?,
        Mode::KillWithRelease => {
            let at = leader.kill()?;
            let released = leader.master.release_lease()?;
            let said = String::from_utf8_lossy(&released.stderr);
            ensure!(released.status.success(), "release-lease failed: {said}");
            at
        }
        Mode::Pause => {
            let at = clock::now();
            leader.master.pause()?;
            at
        }
        Mode::CutDatabase => {
            let at = clock::now();
            leader.relay.as_ref().context("no relay")?.cut();
            at
        }
    };
    Ok(Fault { at })
}

async fn heal(mode: Mode, lost: &mut Place) -> Result<()> {
    match mode {
        Mode::Kill | Mode::KillWithRelease => lost.master.launch().await,
        Mode::Pause => lost.master.resume(),
        Mode::CutDatabase => {
            lost.relay.as_ref().context("no relay")?.heal();
            Ok(())
        }
    }
}
