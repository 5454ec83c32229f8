//! Leaders are killed while events flow to Kontena Cloud: does it hear each of them, in order, and only from one?

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use kontena_testkit::administrator::Administrator;
use kontena_testkit::cloud::{Account, Cloud as StandIn, Manner, Traffic};
use kontena_wire::cluster::Cluster;
use mongodb::bson::doc;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::json;
use tokio::time::sleep;

use crate::report::Report;
use crate::rig::{PATIENCE, Plan, Rig};

const VAULT_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// The most events that may come twice when a leader is lost.
const BATCH: u64 = 32;

/// How long the cloud hears nothing before each kill.
const UNHEARD: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub(crate) struct Cloud {
    /// How often the leader is killed.
    #[arg(long, default_value_t = 20)]
    rounds: u64,
    /// How long the cloud takes over each event, in milliseconds.
    #[arg(long, default_value_t = 3)]
    pace: u64,
    /// How many times as fast as usual masters try to reach the cloud: 1 waits 5 s before the first try.
    #[arg(long, default_value_t = 20)]
    hurry: u32,
    /// Of the random moments; by default a new one each time.
    #[arg(long)]
    seed: Option<u64>,
}

pub(crate) async fn run(arguments: Cloud) -> Result<Report> {
    let Cloud { rounds, pace, hurry, seed } = arguments;
    let seed = seed.unwrap_or_else(rand::random);
    let mut chance = StdRng::seed_from_u64(seed);
    let settings = json!({ "rounds": rounds, "pace_ms": pace, "hurry": hurry, "seed": seed });
    let mut report = Report::new("cloud", settings);
    let environment = [("VAULT_KEY", VAULT_KEY), ("VAULT_IV", VAULT_KEY)];
    let environment = environment.map(|(name, value)| (name, value.to_owned())).to_vec();
    let mut rig = Rig::start(&Plan { environment, cloud_hurry: hurry, ..Plan::default() }).await?;
    let cloud = StandIn::start()?;
    let manner = Manner { pace: Duration::from_millis(pace), ..Manner::default() };
    cloud.behave(manner);
    let admin = Administrator::of(rig.places.iter().map(|place| &place.master))?;
    admin.ask(Method::PATCH, "/v1/config", &cloud.configuration()).await?;
    cloud.until("a link", PATIENCE, |cloud| cloud.open() == 1).await?;
    let position = rig.database().await?.collection::<mongodb::bson::Document>("cloud");
    let deadline = Instant::now() + PATIENCE;
    while position.find_one(doc! { "_id": "position" }).await?.is_none() {
        ensure!(Instant::now() < deadline, "events do not begin");
        sleep(Duration::from_millis(20)).await;
    }
    admin.ask(Method::POST, "/v1/grids", &json!({ "name": "cloud" })).await?;
    let traffic = Traffic::start(admin, "cloud");
    for round in 1..=rounds {
        let (leader, term) = rig.settled().await?;
        let heard = cloud.events().len();
        let flow = |cloud: &StandIn| cloud.open() >= 1 && cloud.events().len() > heard + 40;
        cloud.until("events flow", PATIENCE, flow).await?;
        sleep(Duration::from_micros(chance.random_range(0..200_000))).await;
        // What was said lately has not been heard when the leader dies.
        cloud.behave(Manner { deaf: true, ..manner });
        sleep(UNHEARD).await;
        let links = cloud.links().0;
        let place = rig.places.get_mut(leader).context("the leader has no place")?;
        let killed = Instant::now();
        place.kill()?;
        cloud.behave(manner);
        ensure!(place.master.release_lease()?.status.success(), "the lease is not given back");
        cloud.until("another link", PATIENCE, |cloud| cloud.links().0 > links && cloud.open() >= 1).await?;
        let dark = killed.elapsed().as_secs_f64() * 1e3;
        report.sample("unlinked_ms", dark);
        eprintln!("round {round:>3}: term {term} killed, linked again after {dark:.0} ms");
        let place = rig.places.get_mut(leader).context("the leader has no place")?;
        place.master.launch().await?;
    }
    let (leader, _) = rig.settled().await?;
    let made = traffic.stop().await?;
    let complete = |cloud: &StandIn| Account::of(&made, &cloud.events()).lost == 0;
    if let Err(error) = cloud.until("everything is heard", PATIENCE, complete).await {
        eprintln!("{error}");
    }
    let Account { lost, reordered, duplicates } = Account::of(&made, &cloud.events());
    let noted: Cluster = {
        let place = rig.places.get(leader).context("the leader has no place")?;
        serde_json::from_value(place.master.get("/v1/cluster").await?)?
    };
    let noted = noted.cloud.context("no link is noted")?;
    let count = |number: u64| u32::try_from(number).map_or(f64::MAX, f64::from);
    report.sample("services", count(u64::try_from(made.len())?));
    report.sample("events", count(u64::try_from(cloud.events().len())?));
    report.sample("duplicates", count(duplicates));
    report.sample("repeated_noted", count(noted.repeated));
    report.violations("lost", lost);
    report.violations("reordered", reordered);
    report.violations("speaking_links", cloud.overlaps());
    report.violations("duplicates_beyond_bound", duplicates.saturating_sub(BATCH * rounds));
    report.violations("duplicates_not_noted", duplicates.saturating_sub(noted.repeated));
    report.violations("faults", u64::try_from(cloud.faults().len())?);
    rig.conclude(&mut report).await?;
    Ok(report)
}
