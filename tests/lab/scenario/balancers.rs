//! Real load balancers with the shipped files before three masters: what do command lines and agents notice when a
//! master is drained, when one is killed, and when all are restarted one after the other?

mod exec;

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use kontena_testkit::agent::{Fleet, Grid, Record};
use kontena_testkit::tls::{Authority, Trust};
use kontena_wire::cluster::Cluster;
use reqwest::{Client, Method, StatusCode};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::balancer::{self, Callers, Calls, Failure, Kind, Proxy};
use crate::grids::Grids;
use crate::login::{CODE, login};
use crate::report::Report;
use crate::rig::{DATABASE, PATIENCE, Plan, Rig};
use exec::Shell;

const POLL: Duration = Duration::from_millis(5);
/// The masters' own default: load balancers notice meanwhile.
const DRAIN_GRACE: Duration = Duration::from_secs(5);
const STOP_WITHIN: Duration = Duration::from_secs(60);
/// After each blow, for what comes late of it.
const AFTERMATH: Duration = Duration::from_secs(3);
/// From the end of an agent's connection until another one has its greetings.
const BACK_WITHIN: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(crate) struct Balancers {
    /// Which load balancer; by default all, one after the other.
    #[arg(long, value_enum)]
    only: Vec<Kind>,
    /// How many agents.
    #[arg(long, default_value_t = 60)]
    agents: usize,
    /// How many seconds everything stays as it is before anything is broken: longer than the usual time-outs of load
    /// balancers.
    #[arg(long, default_value_t = 75)]
    hold: u64,
    /// How often each blow is struck.
    #[arg(long, default_value_t = 1)]
    rounds: usize,
}

pub(crate) async fn run(arguments: Balancers) -> Result<Report> {
    let Balancers { only, agents, hold, rounds } = arguments;
    let kinds = if only.is_empty() { Kind::ALL.to_vec() } else { only };
    let settings = json!({ "only": kinds, "agents": agents, "hold_s": hold, "rounds": rounds, "masters": 3 });
    let mut report = Report::new("balancers", settings);
    let plan = Plan {
        probe: false,
        balanced: true,
        drain_grace: Some(DRAIN_GRACE),
        environment: vec![("INITIAL_ADMIN_CODE", CODE.to_owned())],
        ..Plan::default()
    };
    let mut rig = Rig::start(&plan).await?;
    rig.pause_polls();
    let authority = Authority::new()?;
    let http = balancer::client(&authority, PATIENCE)?;
    let master = rig.places.first().context("no masters")?.master.url();
    let token = login(&http, &master).await?;
    let grids = Grids::open(&rig.set, DATABASE).await?.create(agents).await?;
    let (trust, hold) = (authority.trust()?, Duration::from_secs(hold));
    for kind in kinds {
        let addresses: Vec<String> =
            rig.places.iter().map(|place| place.master.url().replace("http://", "")).collect();
        let proxy = Proxy::start(kind, &addresses, &authority, &http).await?;
        let client = Ways { http: &http, trust: &trust, token: &token };
        let trial = Trial::begin(kind, &proxy, &client, &grids, agents).await?;
        let tried = trial.run(&mut rig, hold, rounds, &mut report).await;
        tried.with_context(|| format!("behind {}:\n{}", kind.name(), proxy.log()))?;
    }
    rig.conclude(&mut report).await?;
    Ok(report)
}

/// What clients come with.
struct Ways<'a> {
    http: &'a Client,
    trust: &'a Trust,
    token: &'a str,
}

/// Agents and clients behind one load balancer.
struct Trial<'a> {
    kind: Kind,
    fleet: Fleet,
    calls: Calls,
    shell: Shell<'a>,
    all: u64,
}

impl<'a> Trial<'a> {
    async fn begin(
        kind: Kind,
        proxy: &Proxy,
        ways: &Ways<'a>,
        grids: &[Grid],
        agents: usize,
    ) -> Result<Self> {
        let all = u64::try_from(agents)?;
        let address = [proxy.address()];
        let fleet = Fleet::start_with(&address, grids, agents, Duration::from_secs(2), |settings| {
            settings.trust = Some(ways.trust.clone());
        });
        let took = fleet.wait_connected(all, PATIENCE).await?;
        eprintln!("{}: {agents} agents are connected after {:.1} s", kind.name(), took.as_secs_f64());
        let shell = Shell { address: proxy.address(), trust: ways.trust, token: ways.token };
        shell.echo().await?;
        let calls = Calls::start(ways.http, &proxy.url(), ways.token, Callers::default());
        Ok(Self { kind, fleet, calls, shell, all })
    }

    async fn run(&self, rig: &mut Rig, hold: Duration, rounds: usize, report: &mut Report) -> Result<()> {
        self.hold(hold, report).await?;
        for _ in 0..rounds {
            self.phase("drain", report, self.drain(rig)).await?;
            self.phase("kill", report, self.kill(rig)).await?;
            self.phase("rolling", report, self.restart_all(rig)).await?;
        }
        let faults = self.fleet.record().faults();
        for fault in faults.iter().take(5) {
            eprintln!("  {fault}");
        }
        report.violations(self.named("faults"), u64::try_from(faults.len())?);
        report.sample(self.named("calls"), as_f64(self.calls.answered()));
        self.fleet.stop();
        Ok(())
    }

    fn named(&self, what: &str) -> String {
        format!("{}_{what}", self.kind.name())
    }

    /// Nothing happens, for longer than load balancers wait by themselves.
    async fn hold(&self, span: Duration, report: &mut Report) -> Result<()> {
        let closed = |record: &Record| record.closes().values().sum::<u64>();
        let (before, mut cat) = (closed(self.fleet.record()), self.shell.cat().await?);
        cat.try_it().await?;
        cat.idle(span).await?;
        cat.try_it().await?;
        report.violations(self.named("hold_closes"), closed(self.fleet.record()) - before);
        let failed = self.failed(None, report, "hold");
        report.violations(self.named("hold_failed_calls"), failed);
        eprintln!("  nothing ended within {} s of peace", span.as_secs());
        Ok(())
    }

    /// Strikes a blow, and waits until all is well again. Calls that fail are broken promises; if the blow is one that
    /// cannot spare what is in flight, and says when it was struck, only those that began later.
    async fn phase(
        &self,
        name: &str,
        report: &mut Report,
        blow: impl Future<Output = Result<Option<Instant>>>,
    ) -> Result<()> {
        let before = self.fleet.record().connect_ms().len();
        let struck = blow.await?;
        self.shell.echo().await?;
        let failed = self.failed(struck, report, name);
        report.violations(self.named(&format!("{name}_failed_calls")), failed);
        let away = self.fleet.record().connect_ms().split_off(before);
        let late = away.iter().filter(|ms| **ms > BACK_WITHIN.as_secs_f64() * 1e3).count();
        report.violations(self.named(&format!("{name}_late_agents")), u64::try_from(late)?);
        let longest = away.iter().copied().fold(0.0, f64::max);
        eprintln!("  {name}: {} agents moved, each within {longest:.0} ms", away.len());
        for ms in away {
            report.sample(self.named(&format!("{name}_away_ms")), (ms * 10.0).round() / 10.0);
        }
        Ok(())
    }

    /// Tells which calls failed; returns how many of them none should have.
    fn failed(&self, struck: Option<Instant>, report: &mut Report, name: &str) -> u64 {
        let failures = self.calls.failures();
        let excused = |failure: &&Failure| struck.is_some_and(|at| failure.begun < at);
        for failure in &failures {
            let why = if excused(&failure) { "in flight" } else { "for no reason" };
            eprintln!("  {name}: failed {why}: {}", failure.what);
        }
        report.sample(self.named(&format!("{name}_failed_calls")), as_f64(failures.len() as u64));
        failures.iter().filter(|failure| !excused(failure)).count() as u64
    }

    async fn drain(&self, rig: &mut Rig) -> Result<Option<Instant>> {
        let (index, id) = fullest(rig).await?;
        let place = rig.places.get(index).context("no such master")?;
        let name = place.master.name().to_owned();
        let (status, body) =
            place.master.ask(Method::POST, &format!("/v1/cluster/masters/{id}/drain")).await?;
        ensure!(status == StatusCode::ACCEPTED, "{status} {body}");
        self.back(rig, Some(&name)).await?;
        sleep(AFTERMATH).await;
        restart(rig, index).await?;
        self.back(rig, None).await?;
        Ok(None)
    }

    async fn kill(&self, rig: &mut Rig) -> Result<Option<Instant>> {
        let (index, _) = fullest(rig).await?;
        let place = rig.places.get_mut(index).context("no such master")?;
        place.kill()?;
        let at = Instant::now();
        place.master.release_lease()?;
        let name = place.master.name().to_owned();
        self.back(rig, Some(&name)).await?;
        sleep(AFTERMATH).await;
        rig.places.get_mut(index).context("no such master")?.master.launch().await?;
        rig.settled().await?;
        sleep(AFTERMATH).await;
        Ok(Some(at))
    }

    /// One after the other, the leader last.
    async fn restart_all(&self, rig: &mut Rig) -> Result<Option<Instant>> {
        let (leader, _) = rig.settled().await?;
        let mut order: Vec<usize> = (0..rig.places.len()).filter(|index| *index != leader).collect();
        order.push(leader);
        for index in order {
            restart(rig, index).await?;
            self.back(rig, None).await?;
            sleep(AFTERMATH).await;
        }
        Ok(None)
    }

    /// Waits until all agents are connected, and to others than this master.
    async fn back(&self, rig: &Rig, without: Option<&str>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let cluster = cluster(rig).await?;
            let masters = cluster.masters.iter().filter(|master| Some(master.name.as_str()) != without);
            let held: u64 = masters.map(|master| master.agents).sum();
            let connected = self.fleet.record().connected();
            if held == self.all && connected == self.all {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{connected} agents are connected, {held} where they belong");
            }
            sleep(POLL * 10).await;
        }
    }
}

/// Stops a master as planned, and starts it again.
async fn restart(rig: &mut Rig, index: usize) -> Result<()> {
    let place = rig.places.get_mut(index).context("no such master")?;
    place.master.stop(STOP_WITHIN).await?;
    place.kill()?;
    place.master.launch().await?;
    rig.settled().await.map(drop)
}

/// The master with the most agents, and its id.
async fn fullest(rig: &Rig) -> Result<(usize, String)> {
    let cluster = cluster(rig).await?;
    let most = cluster.masters.iter().max_by_key(|master| master.agents).context("no masters")?;
    let index = rig.places.iter().position(|place| place.master.name() == most.name);
    Ok((index.context("an unknown master")?, most.id.clone()))
}

async fn cluster(rig: &Rig) -> Result<Cluster> {
    for place in &rig.places {
        if let Ok(body) = place.master.get("/v1/cluster").await {
            return Ok(serde_json::from_value(body)?);
        }
    }
    bail!("no master answers")
}

fn as_f64(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
