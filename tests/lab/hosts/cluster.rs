//! The masters on the hosts, as a scenario asks, waits for and judges them.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use kontena_wire::cluster::{self, MasterState};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::setup::Access;
use super::{COUNT, DATABASE, Script, TRACE, UNIT, Writable};
use crate::clock;
use crate::contradictions::Contradictions;
use crate::judge::{Judge, Latest};
use crate::report::Report;
use crate::trace::{Life, crossings};

const PATIENCE: Duration = Duration::from_secs(90);
/// Until the leader has told when it was acknowledged.
const DATED_WITHIN: Duration = Duration::from_secs(2);
const POLL: Duration = Duration::from_millis(20);

/// Three masters, and everybody who watches them.
pub(crate) struct Cluster {
    pub(crate) script: Script,
    pub(crate) access: Access,
    pub(crate) judge: Judge,
    pub(crate) writable: Writable,
    http: reqwest::Client,
    deaths: Vec<Vec<Duration>>,
    contradictions: Contradictions,
}

impl Cluster {
    /// Begins to watch.
    pub(crate) async fn watch(script: Script, access: Access) -> Result<Self> {
        let judge = Judge::start(&access.root_uri, DATABASE).await?;
        let writable = Writable::watch(&access.root_uri).await?;
        let contradictions = Contradictions::watch((1..=COUNT).map(url));
        let http = kontena_testkit::http::client().timeout(Duration::from_secs(1)).build()?;
        let deaths = vec![Vec::new(); COUNT];
        Ok(Self { script, access, judge, writable, http, deaths, contradictions })
    }

    /// Waits until one master acts and all others stand by. Which host acts, and under which term.
    pub(crate) async fn settled(&self) -> Result<(usize, u64)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            for host in 1..=COUNT {
                if let Some(term) = self.acting(host).await
                    && self.is_complete(host).await
                {
                    return Ok((host, term));
                }
            }
            if Instant::now() > deadline {
                bail!("the masters did not settle within {PATIENCE:?}:\n{}", self.logs().await);
            }
            sleep(POLL).await;
        }
    }

    /// Under which term the master of a host acts, if it does.
    pub(crate) async fn acting(&self, host: usize) -> Option<u64> {
        let answer = self.http.get(format!("{}/leader", url(host))).send().await.ok()?;
        let acting = answer.status() == StatusCode::OK;
        let body: Value = answer.json().await.ok()?;
        body.get("term")?.as_u64().filter(|_| acting)
    }

    async fn is_complete(&self, host: usize) -> bool {
        let request = self.http.get(format!("{}/v1/cluster", url(host))).bearer_auth(&self.access.token);
        let Ok(answer) = request.send().await else { return false };
        let Ok(seen) = answer.json::<cluster::Cluster>().await else { return false };
        let count = |state| seen.masters.iter().filter(|master| master.state == state).count();
        count(MasterState::Acting) == 1 && count(MasterState::Standby) == COUNT - 1
    }

    /// Waits for the first whole probe batch above `term`; its term, and when it was there.
    pub(crate) async fn successor(&self, term: u64) -> Result<(u64, Duration)> {
        let next = |latest: &Latest| latest.term > term;
        let seen = self.judge.wait_for("batch of a next term", PATIENCE, next).await;
        let latest = match seen {
            Ok(latest) => latest,
            Err(error) => return Err(error.context(self.logs().await)),
        };
        let dated = |seen: &Latest| seen.term > latest.term || seen.batch > latest.batch;
        let _known_less_well = self.judge.wait_for("second batch", DATED_WITHIN, dated).await;
        let first = self.judge.first_of_term(latest.term).unwrap_or(latest.at);
        Ok((latest.term, first))
    }

    /// Waits for the end of the process on a host, notes when it was, and returns it.
    pub(crate) async fn died(&mut self, host: usize, process: u32) -> Result<Duration> {
        let deadline = Instant::now() + PATIENCE;
        while is_running(process) {
            ensure!(Instant::now() < deadline, "process {process} of host {host} does not end");
            sleep(Duration::from_millis(1)).await;
        }
        let at = clock::now();
        self.deaths[host - 1].push(at);
        Ok(at)
    }

    /// The main process of a unit, as seen from outside of the host.
    pub(crate) async fn main_process(&self, host: usize, unit: &str) -> Result<u32> {
        let inside = self.script.shell(host, &format!("systemctl show -P MainPID {unit}")).await?;
        let inside = inside.trim();
        let leader = self.script.shell(host, "readlink /proc/1/ns/pid").await?;
        // All processes of this machine whose number in the host's own namespace is that one.
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let Ok(process) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
            let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let matches = status
                .lines()
                .find_map(|line| line.strip_prefix("NSpid:"))
                .is_some_and(|numbers| numbers.split_whitespace().last() == Some(inside));
            let namespace = std::fs::read_link(format!("/proc/{process}/ns/pid"));
            if matches && namespace.is_ok_and(|namespace| namespace.to_string_lossy() == leader.trim()) {
                return Ok(process);
            }
        }
        bail!("process {inside} of host {host} was not found")
    }

    /// The last lines of all masters' journals.
    pub(crate) async fn logs(&self) -> String {
        let mut logs = String::new();
        for host in 1..=COUNT {
            logs.push_str("--- the next host\n");
            let log =
                self.script.try_run(&["log", &host.to_string(), "-u", UNIT, "-n", "25", "--no-pager"]).await;
            logs.push_str(&log.map(|(_, text)| text).unwrap_or_default());
        }
        logs
    }

    /// Which host has the database's primary.
    pub(crate) async fn primary(&self) -> Result<usize> {
        let said = self.script.run(&["mongo", "wait"]).await?;
        let host = said.split_whitespace().nth(1).and_then(|host| host.parse().ok());
        host.with_context(|| format!("no primary: {said}"))
    }

    /// Leaders step down until this host leads, or does not.
    pub(crate) async fn give_to(&self, host: usize, leads: bool) -> Result<()> {
        const TRIES: usize = 20;
        for _ in 0..TRIES {
            let (leader, _) = self.settled().await?;
            if (leader == host) == leads {
                return Ok(());
            }
            self.script.shell(leader, "kontena-master step-down").await?;
        }
        bail!("host {host} did not come to lead, or to follow, in {TRIES} elections")
    }

    /// Whether the network is slow by intent: who watches must be patient then.
    pub(crate) fn expect_slow(&self, slow: bool) {
        self.judge.expect_slow(slow);
        self.writable.expect_slow(slow);
    }

    /// How often two masters said so far that they lead at once.
    pub(crate) fn contradictions(&self) -> u64 {
        self.contradictions.count()
    }

    /// Stops everything, then adds to the report which promises were broken; when masters might have acted at once.
    pub(crate) async fn conclude(mut self, report: &mut Report) -> Result<Vec<Duration>> {
        for host in 1..=COUNT {
            self.script.shell(host, &format!("systemctl stop {UNIT}")).await?;
            self.deaths[host - 1].push(clock::now());
        }
        sleep(Duration::from_millis(500)).await;
        self.contradictions.stop();
        let mut windows = Vec::new();
        for host in 1..=COUNT {
            let mut all = Vec::new();
            let deaths = &self.deaths[host - 1];
            let Some((_, earlier)) = deaths.split_last() else { continue };
            for (life, end) in Life::read(&self.trace(host).await?, earlier)?.iter().zip(deaths) {
                all.extend(life.windows(*end));
            }
            windows.push(all);
        }
        let crossings = crossings(&windows);
        let overlapping = u64::try_from(crossings.len())? + self.contradictions.count();
        report.violations("overlapping_leaders", overlapping);
        report.violations("stale_effects", self.judge.stale_effects());
        report.violations("torn_batches", self.judge.torn_batches());
        self.judge.stop().await;
        Ok(crossings)
    }

    async fn trace(&self, host: usize) -> Result<PathBuf> {
        let root = self.script.run(&["root", &host.to_string()]).await?;
        Ok(PathBuf::from(format!("{}{TRACE}", root.trim())))
    }
}

/// Neither gone nor waiting to be reaped.
fn is_running(process: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains('Z') && !line.contains('X'))
}

/// Where the master of a host is reached.
pub(crate) fn url(host: usize) -> String {
    format!("http://{}", address(host))
}

/// The same, for a load balancer.
pub(crate) fn address(host: usize) -> String {
    format!("10.77.0.{}:9292", 10 + host)
}
