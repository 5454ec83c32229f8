//! Everything that is usual goes on for hours: agents with all their traffic, services and stacks that change, readers,
//! followers, secrets, and leaders that step down or are killed. Does anything grow that should not, or get lost?

mod followers;
mod plan;
mod sampler;
mod verdict;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use kontena_testkit::agent::{Fleet, Traffic};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep, sleep_until};

use crate::administrators::{self, Clients, GRIDS, Orders, Pace, Secrets};
use crate::grids::Grids;
use crate::report::Report;
use crate::rig::{DATABASE, PATIENCE, Plan, Rig};
use followers::Followers;
use plan::{Deed, Event};
use sampler::Sampler;
use verdict::{Verdict, judge, warm_up};

/// The master that is killed: the others live through all of the run, so that their slopes mean something.
const MORTAL: usize = 0;
/// How long it stays dead.
const DEAD: Duration = Duration::from_secs(3);
/// How many samples a run has, and the least and the most time between two.
const SAMPLES: u32 = 200;
const SAMPLE_EVERY: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(60)];
/// What was begun ends within.
const ENDS_WITHIN: Duration = Duration::from_secs(120);
/// Clients that write secrets do so at this pace, and keep so many of them.
const PACE: Pace = Pace { pause: Duration::from_millis(500), kept: Some(20) };

#[derive(Debug, Args)]
pub(crate) struct Soak {
    /// How long, in hours. Ctrl-C ends it sooner, and what was seen until then is judged.
    #[arg(long, default_value_t = 4.0)]
    hours: f64,
    /// How many agents.
    #[arg(long, default_value_t = 20)]
    agents: usize,
    /// What the last of the three masters runs: another version of the program, as in the midst of an upgrade.
    #[arg(long, value_name = "PROGRAM")]
    beside: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Soak) -> Result<Report> {
    let Soak { hours, agents, beside } = arguments;
    ensure!((0.05..=1000.0).contains(&hours), "--hours must be 0.05 to 1000");
    let settings = json!({ "hours": hours, "agents": agents, "warm_up_h": warm_up(hours), "masters": 3, "beside": beside });
    let mut report = Report::new("soak", settings);
    let environment = administrators::environment();
    let mut rig = Rig::start(&Plan { probe: false, environment, last: beside, ..Plan::default() }).await?;
    rig.pause_polls();
    let urls: Vec<String> = rig.places.iter().map(|place| place.master.url()).collect();
    let addresses: Vec<String> = urls.iter().map(|url| url.replace("http://", "")).collect();
    let clients = Arc::new(Clients::login(urls).await?);
    let tokens = Grids::open(&rig.set, DATABASE).await?.create_many(GRIDS).await?;
    let fleet = Fleet::start(&addresses, &tokens, agents, Traffic::Full, Duration::from_secs(2));
    fleet.wait_connected(u64::try_from(agents)?, PATIENCE).await?;
    let mut orders = Orders::new(Arc::clone(&clients));
    let secrets = Secrets::start(&clients, 1, PACE);
    let followers = Followers::start(&clients)?;
    let mut sampler = Sampler::new(rig.database().await?, rig.places.len());

    let length = Duration::from_secs_f64(hours * 3600.0);
    let begun = Instant::now();
    let false_takeovers = live(&mut rig, &mut orders, &mut sampler, length).await?;
    let hours = begun.elapsed().as_secs_f64() / 3600.0;
    eprintln!("what was begun comes to its end, within {} s", ENDS_WITHIN.as_secs());
    let fates = orders.conclude(Instant::now() + ENDS_WITHIN, Duration::from_secs(5)).await;
    let found = secrets.conclude().await?;
    let (answered, failed, refused) = followers.reads();
    for name in followers.silent() {
        eprintln!("nothing was heard of {name}");
    }
    for fault in fleet.record().faults().iter().take(10) {
        eprintln!("an agent: {fault}");
    }
    report.sample("lived_h", hours);
    report.sample("lists_read", count(answered)?);
    report.sample("lists_not_read", count(failed)?);
    report.sample("acknowledged_writes", count(found.acknowledged)?);
    report.sample("failed_writes", count(found.failed)?);
    report.sample("failed_stack_deploys", count(fates.failed_deploys)?);
    report.violations("false_takeovers", false_takeovers);
    report.violations("lost_writes", found.lost);
    report.violations("stale_reads", found.stale);
    report.violations("refused_calls", found.refused + fates.refused + refused);
    report.violations("unfinished_orders", fates.unfinished);
    report.violations("silent_streams", u64::try_from(followers.silent().len())?);
    report.violations("reported_offline", sampler.nodes_offline);
    report.violations("agent_faults", u64::try_from(fleet.record().faults().len())?);
    slopes(&sampler, warm_up(hours), &mut report);
    if !report.is_clean() {
        eprintln!("the masters' logs are kept in {}", rig.keep_logs("kontena-soak")?.display());
    }
    drop(followers);
    fleet.stop();
    rig.conclude(&mut report).await?;
    Ok(report)
}

fn count(number: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(number)?))
}

/// Lets everything happen in its time, and looks again and again; how often the lease was taken for no reason.
async fn live(rig: &mut Rig, orders: &mut Orders, sampler: &mut Sampler, length: Duration) -> Result<u64> {
    let begun = Instant::now();
    let [least, most] = SAMPLE_EVERY;
    let every = (length / SAMPLES).clamp(least, most);
    let mut events = plan::plan(length).into_iter().peekable();
    let mut interrupts = signal(SignalKind::interrupt())?;
    let (_, mut term) = rig.settled().await?;
    let (mut next_look, mut false_takeovers) = (begun, 0);
    while begun.elapsed() < length {
        let next = events.peek().map_or(begun + length, |event| begun + event.at);
        if next_look < next {
            if is_interrupted_before(next_look, &mut interrupts).await {
                break;
            }
            sampler.masters(rig, MORTAL)?;
            sampler.database().await.context("the database does not tell its sizes")?;
            next_look = (next_look + every).max(Instant::now());
            continue;
        }
        if is_interrupted_before(next, &mut interrupts).await {
            break;
        }
        let Some(Event { at, deed }) = events.next() else { break };
        if let Deed::Order(order) = deed {
            orders.give(order);
            continue;
        }
        let (leader, before) = rig.settled().await?;
        false_takeovers += before.saturating_sub(term);
        let what = hand_over(rig, &deed, leader).await?;
        let moved = deed == Deed::StepDown || leader == MORTAL;
        let (_, after) = rig.settled().await?;
        false_takeovers += after.saturating_sub(before + u64::from(moved));
        term = after;
        eprintln!("{:>7.1} min  {what}, term {before} became {after}", at.as_secs_f64() / 60.0);
    }
    let (_, in_the_end) = rig.settled().await?;
    Ok(false_takeovers + in_the_end.saturating_sub(term))
}

/// Waits for this moment, or for somebody who wants an end.
async fn is_interrupted_before(moment: Instant, interrupts: &mut Signal) -> bool {
    tokio::select! {
        () = sleep_until(moment) => false,
        _ = interrupts.recv() => true,
    }
}

async fn hand_over(rig: &mut Rig, deed: &Deed, leader: usize) -> Result<String> {
    if *deed == Deed::StepDown {
        let place = rig.places.get(leader).context("the leader has no place")?;
        let (status, body) = place.master.ask(Method::POST, "/v1/cluster/step-down").await?;
        ensure!(status == StatusCode::NO_CONTENT, "step-down was answered {status}: {body}");
        return Ok(format!("{} stepped down", place.master.name()));
    }
    let place = rig.places.get_mut(MORTAL).context("no masters")?;
    place.kill()?;
    let released = place.master.release_lease()?;
    let said = String::from_utf8_lossy(&released.stderr);
    ensure!(released.status.success(), "release-lease failed: {said}");
    sleep(DEAD).await;
    place.master.launch().await?;
    let led = if leader == MORTAL { ", which led," } else { "" };
    Ok(format!("{}{led} was killed and started again", place.master.name()))
}

/// Prints how everything moved after the warm-up, and reports what grew that must not.
fn slopes(sampler: &Sampler, warm_up: f64, report: &mut Report) {
    eprintln!(
        "\n{:34} {:>12} {:>12} {:>12} {:>14}  after {:.1} min of warm-up",
        "",
        "first",
        "last",
        "max",
        "an hour",
        warm_up * 60.0
    );
    for name in ["memory_growing", "descriptors_growing", "threads_growing", "collections_growing"] {
        report.violations(name, 0);
    }
    for (name, points, bound) in sampler.series() {
        let found = judge(points, warm_up, bound);
        report.series(name, points, found.map(|found| found.per_hour));
        let Some(found) = found else { continue };
        let said = match found.verdict {
            Verdict::Kept => "",
            Verdict::Broken => "TOO MUCH",
            Verdict::TooShort => "watched too shortly to be judged",
            Verdict::NotJudged(sampler::BY_ROWS) => continue,
            Verdict::NotJudged(why) => why,
        };
        eprintln!(
            "{name:34} {:>12.2} {:>12.2} {:>12.2} {:>+14.2}  {said}",
            found.first, found.last, found.max, found.per_hour
        );
        let kind = [("_rss_mib", "memory"), ("_descriptors", "descriptors"), ("_threads", "threads")];
        let kind = kind.iter().find(|(end, _)| name.ends_with(end)).map_or("collections", |(_, kind)| kind);
        report.violations(format!("{kind}_growing"), u64::from(found.verdict == Verdict::Broken));
    }
}
