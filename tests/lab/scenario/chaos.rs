//! Everything breaks at random, under load, for minutes; then it is calm, and all must be as it was wanted.

mod judge;
mod plan;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

use crate::administrators::{self, Clients, Orders, Pace, Secrets};
use crate::grids::Grids;
use crate::report::Report;
use crate::rig::{DATABASE, PATIENCE, Plan, Rig};
use plan::{Deed, Event};
use world::World;

/// After the last fault, before what may have been overtaken is ordered once more: whatever was held back arrives.
const LATE: Duration = Duration::from_secs(5);
#[derive(Debug, Args)]
pub(crate) struct Chaos {
    /// For how long everything breaks.
    #[arg(long, default_value_t = 5)]
    minutes: u64,
    /// Of all that happens; by default a new one each time.
    #[arg(long)]
    seed: Option<u64>,
    /// How many hosts there are at the beginning.
    #[arg(long, default_value_t = 8)]
    agents: usize,
    /// How many clients write through each master.
    #[arg(long, default_value_t = 2)]
    clients: usize,
    /// How long it may take, in seconds, until all is as it was wanted after the last fault.
    #[arg(long, default_value_t = 300)]
    calm: u64,
}

pub(crate) async fn run(arguments: Chaos) -> Result<Report> {
    let Chaos { minutes, seed, agents, clients: each, calm } = arguments;
    let seed = seed.unwrap_or_else(rand::random);
    let settings = json!({
        "minutes": minutes, "seed": seed, "agents": agents, "clients": each, "calm_s": calm,
    });
    let mut report = Report::new("chaos", settings);
    let events = plan::plan(seed, Duration::from_secs(minutes * 60), agents);
    eprintln!("seed {seed}: {} events in {minutes} min", events.len());
    let environment = administrators::environment();
    let rig = Rig::start(&Plan { relays: true, environment, ..Plan::default() }).await?;
    let urls = rig.places.iter().map(|place| place.master.url()).collect();
    let clients = Arc::new(Clients::login(urls).await?);
    let grids = Grids::open(&rig.set, DATABASE).await?;
    let mut world = World::start(rig, grids, agents).await?;
    let mut orders = Orders::new(Arc::clone(&clients));
    let secrets = Secrets::start(&clients, each, Pace::default());

    let begun = Instant::now();
    let faults = happen(&mut world, &mut orders, &events, begun).await?;
    report.sample("faults_made", faults);

    let until = Instant::now() + Duration::from_secs(calm);
    let calm_since = Instant::now();
    tell(begun, "it is calm");
    // A member that was away has much to read.
    world.rig.set.wait_healthy(3 * PATIENCE).await?;
    let (leader, term) = world.rig.settled().await?;
    tell(begun, &format!("master-{} leads under term {term}", leader + 1));
    let fates = orders.conclude(until, LATE).await;
    tell(begun, &format!("{} services and stacks were changed", fates.wanted.len()));
    let wrong = judge::judge(&world, &fates.wanted, until).await.context("the database does not tell")?;
    report.sample("as_wanted_s", calm_since.elapsed().as_secs_f64());
    tell(begun, "judged");
    wrong.tell();
    let found = secrets.conclude().await?;
    report.sample("terms", f64::from(u32::try_from(term)?));
    report.sample("acknowledged_writes", count(found.acknowledged)?);
    report.sample("failed_writes", count(found.failed)?);
    report.sample("failed_stack_deploys", count(fates.failed_deploys)?);
    report.violations("lost_writes", found.lost);
    report.violations("stale_reads", found.stale);
    report.violations("refused_calls", found.refused + fates.refused);
    report.violations("unfinished_orders", fates.unfinished);
    report.violations("stuck_deploys", u64::try_from(wrong.stuck.len())?);
    report.violations("doubled_instances", u64::try_from(wrong.doubled.len())?);
    report.violations("diverged", u64::try_from(wrong.diverged.len())?);
    let faults = world.faults();
    for fault in faults.iter().take(10) {
        eprintln!("an agent: {fault}");
    }
    report.violations("agent_faults", u64::try_from(faults.len())?);
    if !report.is_clean() {
        let kept = world.rig.keep_logs(&format!("kontena-chaos-{seed}"))?;
        eprintln!("the masters' logs are kept in {}", kept.display());
    }
    world.agents.clear();
    world.rig.conclude(&mut report).await?;
    Ok(report)
}

fn count(number: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(number)?))
}

fn tell(begun: Instant, what: &str) {
    eprintln!("{:>8.2} s  {what}", begun.elapsed().as_secs_f64());
}

/// Lets everything happen in its time, and tells it; how many things broke.
async fn happen(world: &mut World, orders: &mut Orders, events: &[Event], begun: Instant) -> Result<f64> {
    let mut faults = 0.0;
    for Event { at, deed } in events {
        sleep_until(begun + *at).await;
        if let Deed::Order(order) = deed {
            tell(begun, &order.to_string());
            orders.give(order.clone());
            continue;
        }
        let what = world.perform(deed).await.with_context(|| format!("{deed:?}"))?;
        tell(begun, &what);
        let ends = matches!(
            deed,
            Deed::Heal { .. } | Deed::RestartMember | Deed::ReturnAgent { .. } | Deed::HealAgent { .. }
        );
        faults += if ends { 0.0 } else { 1.0 };
    }
    Ok(faults)
}
