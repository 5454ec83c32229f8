//! A bad day in minutes: agents that are silent, slow, off their time, in a storm of reconnects, half open and
//! hostile, on a database that becomes slow. Faithful agents of the same master must notice nothing.

use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use kontena_testkit::agent::{Fleet, Traffic};
use mongodb::bson::doc;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::grids::Grids;
use crate::process::rss_mib;
use crate::report::Report;
use crate::rig::{DATABASE, PATIENCE, Plan, Rig};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How much later everything arrives while the database is slow, in each direction.
const SLOW: Duration = Duration::from_millis(50);
/// The master's memory may grow by as much after the first third.
const GROWTH_MIB: f64 = 48.0;
/// Faithful agents look more often than real ones whether their master answers.
const PING_EVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(crate) struct Misbehaviour {
    /// How many faithful agents.
    #[arg(long, default_value_t = 500)]
    faithful: usize,
    /// How many that misbehave.
    #[arg(long, default_value_t = 180)]
    unruly: usize,
    /// For how long. In the second third the database is slow.
    #[arg(long, default_value_t = 180.0)]
    seconds: f64,
}

pub(crate) async fn run(arguments: Misbehaviour) -> Result<Report> {
    let Misbehaviour { faithful, unruly, seconds } = arguments;
    let settings = json!({ "faithful": faithful, "unruly": unruly, "seconds": seconds });
    let mut report = Report::new("misbehaviour", settings);
    let rig = Rig::start(&Plan { masters: 1, probe: false, relays: true, ..Plan::default() }).await?;
    let grids = Grids::open(&rig.set, DATABASE).await?;
    let tokens = grids.create(faithful + unruly).await?;
    rig.pause_polls();
    let (_, term) = rig.settled().await?;
    let place = rig.places.first().context("no master")?;
    let relay = place.relay.as_ref().context("no relay")?;
    let address = [place.master.url().trim_start_matches("http://").to_owned()];
    let ramp = Duration::from_secs(5);
    let good = Fleet::start_with(&address, &tokens, faithful, ramp, |settings| {
        settings.traffic = Traffic::Full;
        settings.ping_every = PING_EVERY;
    });
    let all = u64::try_from(faithful)?;
    good.wait_connected(all, PATIENCE).await?;
    let bad = Fleet::start_unruly(&address, &tokens, unruly, ramp);
    let third = Duration::from_secs_f64(seconds / 3.0);
    let begun = Instant::now();
    let (mut early, mut late, mut slow) = (0.0_f64, 0.0_f64, false);
    let mut away = 0;
    while begun.elapsed() < third * 3 {
        sleep(LOOK_EVERY).await;
        let now_slow = begun.elapsed() > third && begun.elapsed() < third * 2;
        if now_slow != slow {
            slow = now_slow;
            relay.delay(if slow { SLOW } else { Duration::ZERO });
            eprintln!("the database is {}", if slow { "slow" } else { "as fast as before" });
        }
        let pid = place.master.pid().context("the master has ended")?;
        let rss = rss_mib(pid)?;
        report.sample("rss_mib", rss);
        let peak = if begun.elapsed() < third { &mut early } else { &mut late };
        *peak = peak.max(rss);
        away = away.max(all.saturating_sub(good.record().connected()));
    }
    for sample in good.record().ping_ms() {
        report.sample("ping_ms", sample);
    }
    eprintln!(
        "unruly agents: {} connections, {} dials refused, ended by {:?}",
        bad.record().connects(),
        bad.record().refused(),
        bad.record().closes()
    );
    bad.stop();
    let record = good.record();
    for fault in record.faults().iter().take(5) {
        eprintln!("{fault}");
    }
    report.violations("disturbed", away + record.late_pings() + record.closes().values().sum::<u64>());
    report.violations("faults", u64::try_from(record.faults().len())?);
    report.violations("memory_grew", u64::from(late - early > GROWTH_MIB));
    let online = doc! { "connected": true, "updated": true, "name": { "$regex": "^node-" } };
    report.violations("diverged", all.abs_diff(grids.count("host_nodes", online).await?));
    let (_, last) = rig.settled().await?;
    report.violations("false_takeovers", last.saturating_sub(term));
    good.stop();
    rig.conclude(&mut report).await?;
    Ok(report)
}
