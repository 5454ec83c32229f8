//! The database's own primary is lost: the leader keeps its term, and goes on as soon as the database can.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use mongodb::{Client, Collection};
use serde::Serialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::report::Report;
use crate::rig::{PATIENCE, Plan, Rig};

/// From one try of the outside probe to the next, whatever became of the one before.
const PROBE_EVERY: Duration = Duration::from_millis(10);
/// How long a member that stepped down is barred from election.
const BARRED_SECONDS: u32 = 5;
/// How long one try may take.
const PROBE_LIMIT: Duration = Duration::from_secs(2);

/// How the primary is lost.
#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// SIGKILL.
    Kill,
    /// An administrator's `replSetStepDown`.
    StepDown,
}

/// How soon the members of the replica set elect another primary.
#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Election {
    /// As the server comes: after 10 s.
    Default,
    /// After 2 s.
    Tuned,
}

#[derive(Debug, Args)]
pub(crate) struct MongoFailover {
    /// How the primary is lost.
    #[arg(long, value_enum, default_value = "kill")]
    mode: Mode,
    /// How soon the members elect another one.
    #[arg(long, value_enum, default_value = "tuned")]
    election: Election,
    /// How often.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
}

pub(crate) async fn run(arguments: MongoFailover) -> Result<Report> {
    let MongoFailover { mode, election, rounds } = arguments;
    let settings = json!({ "mode": mode, "election": election, "rounds": rounds });
    let mut report = Report::new("mongo-failover", settings);
    let election_timeout = match election {
        Election::Default => None,
        Election::Tuned => Some(Duration::from_secs(2)),
    };
    let rig = Rig::start(&Plan { election_timeout, ..Plan::default() }).await?;
    let mut changed_leaders = 0;
    for round in 1..=rounds {
        if let Mode::StepDown = mode
            && round > 1
        {
            // Members that stepped down lately would leave no candidate.
            sleep(Duration::from_secs(u64::from(BARRED_SECONDS) + 1)).await;
        }
        let before = rig.settled().await?;
        let primary = rig.set.wait_for_primary(PATIENCE).await?;
        let member = rig.set.members().get(primary).context("the primary is no member")?;
        let fault = clock::now();
        match mode {
            Mode::Kill => member.kill()?,
            Mode::StepDown => rig.set.step_down(BARRED_SECONDS).await?,
        }
        let writable = first_majority_write(&rig, fault).await?;
        let resumed = rig
            .judge
            .wait_for("batch after the change of the primary", PATIENCE, |latest| latest.at > writable)
            .await?;
        // Batches may have been seen while the outside probe was put away.
        let resumed = rig.judge.first_after(writable).unwrap_or(resumed.at);
        let resumed_ms = clock::millis(resumed.saturating_sub(writable));
        report.sample("writable_ms", clock::millis(writable.saturating_sub(fault)));
        report.sample("resumed_ms", resumed_ms);
        if let Mode::Kill = mode {
            member.restart().await?;
        }
        rig.set.wait_healthy(PATIENCE).await?;
        let after = rig.settled().await?;
        eprintln!(
            "round {round:>3}: writable again after {:.0} ms, a batch {resumed_ms:.1} ms later; term {} -> {}",
            clock::millis(writable.saturating_sub(fault)),
            before.1,
            after.1
        );
        changed_leaders += u64::from(before != after);
    }
    report.violations("false_takeovers", changed_leaders);
    rig.conclude(&mut report).await?;
    Ok(report)
}

/// When the first write after the fault was acknowledged by a majority, as somebody outside sees it who tries
/// again and again.
async fn first_majority_write(rig: &Rig, fault: Duration) -> Result<Duration> {
    let mut options = ClientOptions::parse(rig.set.uri("kontena_lab_probe")).await?;
    options.heartbeat_freq = Some(Duration::from_millis(500));
    options.connect_timeout = Some(Duration::from_millis(500));
    options.retry_writes = Some(false);
    options.max_pool_size = Some(300);
    options.write_concern = Some(mongodb::options::WriteConcern::majority());
    let client = Client::with_options(options)?;
    let probe: Collection<Document> = client.database("kontena_lab_probe").collection("probe");
    let first = Arc::new(AtomicU64::new(u64::MAX));
    let mut tries = JoinSet::new();
    let deadline = Instant::now() + PATIENCE;
    while first.load(Ordering::Relaxed) == u64::MAX && Instant::now() < deadline {
        let (probe, first) = (probe.clone(), Arc::clone(&first));
        tries.spawn(async move {
            let sent = clock::now();
            let write = probe.insert_one(doc! {});
            // What was sent before the fault says nothing about after it.
            if let Ok(Ok(_)) = tokio::time::timeout(PROBE_LIMIT, write).await
                && sent > fault
            {
                let at = u64::try_from(clock::now().as_micros()).unwrap_or(u64::MAX);
                first.fetch_min(at, Ordering::Relaxed);
            }
        });
        sleep(PROBE_EVERY).await;
        while tries.try_join_next().is_some() {}
    }
    tries.shutdown().await;
    // Its connections to the lost member may take long to end; nothing waits for them.
    let _ended_in_time = tokio::time::timeout(PROBE_EVERY, client.shutdown().immediate(true)).await;
    match first.load(Ordering::Relaxed) {
        u64::MAX => anyhow::bail!("no majority write within {PATIENCE:?}"),
        micros => Ok(Duration::from_micros(micros)),
    }
}
