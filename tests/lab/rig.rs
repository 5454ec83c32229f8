//! A replica set, masters on it, and a judge: what every measuring scenario works with.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::{self, ReplicaSet};
use kontena_testkit::relay::Relay;
use kontena_wire::cluster::Cluster;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::clock;
use crate::contradictions::Contradictions;
use crate::judge::{Judge, Latest};
use crate::report::Report;
use crate::trace::{Life, overlaps};

/// The database of all scenarios.
pub(crate) const DATABASE: &str = "kontena_lab";
/// How long anything that should be quick may take before the scenario gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at whether the masters have settled.
const POLL: Duration = Duration::from_millis(20);

/// What a rig consists of.
pub(crate) struct Plan {
    pub(crate) masters: usize,
    /// Of the database's own elections. None: the server's default.
    pub(crate) election_timeout: Option<Duration>,
    pub(crate) ttl: Option<Duration>,
    pub(crate) probe: bool,
    /// Whether each master reaches the database through a relay of its own.
    pub(crate) relays: bool,
    /// How long masters serve on when they are stopped, if not as long as in tests.
    pub(crate) drain_grace: Option<Duration>,
    /// Whether the masters stand behind a load balancer on this host.
    pub(crate) balanced: bool,
    /// How many times as fast as usual masters try to reach Kontena Cloud.
    pub(crate) cloud_hurry: u32,
    /// Variables for the environment of the masters.
    pub(crate) environment: Vec<(&'static str, String)>,
    /// What the last of the masters runs, if it is of another version.
    pub(crate) last: Option<PathBuf>,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            masters: 3,
            election_timeout: Some(Duration::from_secs(2)),
            ttl: None,
            probe: true,
            relays: false,
            drain_grace: None,
            balanced: false,
            cloud_hurry: 1,
            environment: Vec::new(),
            last: None,
        }
    }
}

/// One master with what the judge needs to know of it.
pub(crate) struct Place {
    pub(crate) master: Master,
    pub(crate) relay: Option<Relay>,
    deaths: Vec<Duration>,
}

impl Place {
    /// Ends the process as a crash does; returns when that was.
    pub(crate) fn kill(&mut self) -> Result<Duration> {
        let at = clock::now();
        self.master.kill()?;
        self.deaths.push(clock::now());
        Ok(at)
    }
}

/// Everything that runs.
pub(crate) struct Rig {
    pub(crate) set: ReplicaSet,
    pub(crate) places: Vec<Place>,
    pub(crate) judge: Judge,
    contradictions: Contradictions,
}

impl Rig {
    /// Starts everything; returns when a leader acts and the others stand by.
    pub(crate) async fn start(plan: &Plan) -> Result<Self> {
        kontena_testkit::program::program("kontena-master")?;
        eprintln!("starting a replica set of three and {} masters", plan.masters);
        let mut settings = mongod::Settings::members(3);
        if let Some(timeout) = plan.election_timeout {
            settings = settings.election_timeout(timeout);
        }
        let set = ReplicaSet::start(settings).await?;
        let judge = Judge::start(&set.uri(DATABASE), DATABASE).await?;
        let mut places = Vec::new();
        for number in 1..=plan.masters {
            let client = u8::try_from(number).context("too many masters")?;
            let relay = plan.relays.then(|| Relay::start(&set, client)).transpose()?;
            let uri = relay.as_ref().map_or_else(|| set.uri(DATABASE), |relay| relay.uri(DATABASE));
            let mut settings = Settings::new(format!("master-{number}"), uri);
            settings.environment.clone_from(&plan.environment);
            settings.drain_grace = plan.drain_grace.unwrap_or(settings.drain_grace);
            settings.trusted_proxies.extend(plan.balanced.then(|| "127.0.0.1".to_owned()));
            settings.cloud_hurry = plan.cloud_hurry;
            settings.program = plan.last.clone().filter(|_| number == plan.masters);
            settings.probe_every = plan.probe.then_some(Duration::from_millis(5));
            if let Some(ttl) = plan.ttl {
                settings.configuration = format!("[election]\nlease_ttl = \"{}ms\"\n", ttl.as_millis());
            }
            let master = Master::start(settings).await?;
            places.push(Place { master, relay, deaths: Vec::new() });
        }
        let contradictions = Contradictions::watch(places.iter().map(|place| place.master.url()));
        let rig = Self { set, places, judge, contradictions };
        rig.settled().await?;
        Ok(rig)
    }

    /// The database, past the masters.
    pub(crate) async fn database(&self) -> Result<mongodb::Database> {
        Ok(mongodb::Client::with_uri_str(self.set.uri(DATABASE)).await?.database(DATABASE))
    }

    /// Which place acts, and under which term.
    pub(crate) async fn leader(&self) -> Option<(usize, u64)> {
        for (index, place) in self.places.iter().enumerate() {
            if let Some(term) = place.master.acting_term().await {
                return Some((index, term));
            }
        }
        None
    }

    /// Waits until one master acts and all others stand by.
    pub(crate) async fn settled(&self) -> Result<(usize, u64)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some((index, term)) = self.leader().await
                && let Some(place) = self.places.get(index)
                && let Ok(body) = place.master.get("/v1/cluster").await
                && self.complete(body)
            {
                return Ok((index, term));
            }
            if Instant::now() > deadline {
                let logs: Vec<String> = self.places.iter().map(|place| place.master.log_tail()).collect();
                bail!("the masters did not settle within {PATIENCE:?}:\n{}", logs.join("\n--\n"));
            }
            sleep(POLL).await;
        }
    }

    fn complete(&self, body: Value) -> bool {
        use kontena_wire::cluster::MasterState::{Acting, Standby};
        let Ok(cluster) = serde_json::from_value::<Cluster>(body) else { return false };
        let count = |state| cluster.masters.iter().filter(|master| master.state == state).count();
        count(Acting) == 1 && count(Standby) == self.places.len() - 1
    }

    /// Ends asking the masters all the time: measuring what they cost must not add to it.
    pub(crate) fn pause_polls(&self) {
        self.contradictions.stop();
    }

    /// Waits for the first whole probe batch above `term`.
    pub(crate) async fn next_term(&self, term: u64) -> Result<Latest> {
        let next = |latest: &Latest| latest.term > term;
        let seen = self.judge.wait_for("batch of a next term", PATIENCE, next).await;
        let Ok(latest) = seen else {
            let logs: Vec<String> = self.places.iter().map(|place| place.master.log_tail()).collect();
            return seen.with_context(|| logs.join("\n--\n"));
        };
        Ok(latest)
    }

    /// Copies the masters' logs to a directory of this name that outlives the run.
    pub(crate) fn keep_logs(&self, name: &str) -> Result<PathBuf> {
        let directory = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&directory)?;
        for place in &self.places {
            let copy = directory.join(format!("{}.log", place.master.name()));
            std::fs::copy(place.master.log_file(), copy)?;
        }
        Ok(directory)
    }

    /// Stops everything, then adds to the report which promises were broken.
    pub(crate) async fn conclude(mut self, report: &mut Report) -> Result<()> {
        // The judge must see the last batches that anybody wrote.
        for place in &mut self.places {
            place.kill()?;
        }
        sleep(Duration::from_millis(500)).await;
        self.contradictions.stop();
        let mut windows = Vec::new();
        for place in &self.places {
            let mut all = Vec::new();
            let Some((_, deaths)) = place.deaths.split_last() else { continue };
            for (life, end) in Life::read(&place.master.trace_file(), deaths)?.iter().zip(&place.deaths) {
                all.extend(life.windows(*end));
            }
            windows.push(all);
        }
        report.violations("overlapping_leaders", overlaps(&windows) + self.contradictions.count());
        report.violations("stale_effects", self.judge.stale_effects());
        report.violations("torn_batches", self.judge.torn_batches());
        self.judge.stop().await;
        Ok(())
    }
}
