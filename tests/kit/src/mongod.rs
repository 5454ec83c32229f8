//! A replica set of this process's own, whose members a test can kill, freeze and bring back.
//!
//! Nothing in it belongs to the async runtime that started it, so one set can serve many tests.

mod admin;
mod binary;
mod log;
mod member;
mod security;
mod shared;
mod wheel;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use mongodb::bson::{Document, doc};
use tempfile::TempDir;
use tokio::task::JoinSet;
use tokio::time::sleep;

pub use admin::client;
pub use binary::server;
pub use member::Member;
pub use shared::{Database, Shared, shared};

use security::Security;

/// How long a new set may take until it is healthy; generous, for machines busy with other builds.
const START_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at the members.
const POLL: Duration = Duration::from_millis(20);

/// What a replica set is started with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How many members; all vote.
    pub members: usize,
    /// `electionTimeoutMillis`; `None` leaves the server's default of 10 s.
    pub election_timeout: Option<Duration>,
    /// The name of the set, as in `replicaSet=`.
    pub name: String,
    /// The databases that the masters' user may use, if the set takes encrypted connections from known users
    /// only; `None` for a set that is open to everybody.
    pub secured_for: Option<Vec<String>>,
}

impl Settings {
    /// A set of so many members, otherwise as the server would have it.
    #[must_use]
    pub fn members(members: usize) -> Self {
        Self { members, election_timeout: None, name: "kontena".into(), secured_for: None }
    }

    /// The same, with another `electionTimeoutMillis`.
    #[must_use]
    pub fn election_timeout(mut self, timeout: Duration) -> Self {
        self.election_timeout = Some(timeout);
        self
    }

    /// The same, with TLS and authentication, for masters that use this database.
    #[must_use]
    pub fn secured_for(mut self, database: impl Into<String>) -> Self {
        self.secured_for.get_or_insert_default().push(database.into());
        self
    }
}

/// A running replica set. Dropping it kills the members and removes their data.
#[derive(Debug)]
pub struct ReplicaSet {
    name: String,
    // Before the directory, since fields drop in this order and the servers must end before their
    // data.
    members: Vec<Member>,
    _directory: TempDir,
}

impl ReplicaSet {
    /// Starts the members and waits until one is primary and all others are healthy secondaries.
    pub async fn start(settings: Settings) -> Result<Self> {
        ensure!(settings.members > 0, "a replica set has at least one member");
        let server = server().await?;
        let directory = crate::scratch::directory("mongod")?;
        let secured = settings.secured_for.is_some();
        let security = secured.then(|| Security::new(directory.path())).transpose()?.map(Arc::new);
        let mut starting = JoinSet::new();
        for number in 0..settings.members {
            let data = directory.path().join(number.to_string());
            starting.spawn(Member::start(server.clone(), settings.name.clone(), security.clone(), data));
        }
        let members = starting.join_all().await.into_iter().collect::<Result<_>>()?;
        let set = Self { name: settings.name, members, _directory: directory };
        set.initiate(settings.election_timeout)
            .await
            .with_context(|| format!("cannot initiate the replica set{}", set.logs()))?;
        if let Some(databases) = &settings.secured_for {
            set.make_users(databases)
                .await
                .with_context(|| format!("cannot make the users{}", set.logs()))?;
        }
        set.wait_healthy(START_WITHIN).await?;
        Ok(set)
    }

    /// The connection string with all members and this database in its path.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        let hosts: Vec<_> = self.members.iter().map(Member::address).collect();
        let hosts = hosts.join(",");
        match self.members.first().and_then(Member::security) {
            Some(security) => security.uri(&hosts, database, &self.name),
            None => format!("mongodb://{hosts}/{database}?replicaSet={}", self.name),
        }
    }

    /// The members, in an order that does not change.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Asks each running member; the index of the one that takes writes, if there is one now.
    ///
    /// A primary that woke up from a pause can still believe in its old term: the latest election
    /// counts.
    pub async fn primary(&self) -> Option<usize> {
        let mut latest = None;
        for (index, hello) in self.hellos().await.into_iter().enumerate() {
            if says(&hello, "isWritablePrimary") {
                let election = hello.get_object_id("electionId").ok();
                latest = latest.max(Some((election, index)));
            }
        }
        latest.map(|(_, index)| index)
    }

    /// Waits until there is a primary; its index.
    pub async fn wait_for_primary(&self, within: Duration) -> Result<usize> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(primary) = self.primary().await {
                return Ok(primary);
            }
            if Instant::now() > deadline {
                bail!("no primary within {within:?}{}", self.logs());
            }
            sleep(POLL).await;
        }
    }

    /// Waits until one member is primary and all others are secondaries, by their own word and by
    /// the primary's.
    pub async fn wait_healthy(&self, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let Err(unwell) = self.health().await else {
                return Ok(());
            };
            if Instant::now() > deadline {
                bail!("not healthy within {within:?}: {unwell:#}{}", self.logs());
            }
            sleep(POLL).await;
        }
    }

    /// Makes the primary step down and not stand for election for so many seconds.
    ///
    /// Keep them few: a member that stepped down cannot be elected meanwhile, and soon there is no
    /// candidate left.
    pub async fn step_down(&self, seconds: u32) -> Result<()> {
        let primary = self.primary().await.context("there is no primary to step down")?;
        let command = doc! {"replSetStepDown": seconds, "secondaryCatchUpPeriodSecs": seconds.min(10)};
        admin::run(&self.members[primary], command).await?;
        Ok(())
    }

    /// The name that clients must give as `replicaSet=`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    async fn initiate(&self, election_timeout: Option<Duration>) -> Result<()> {
        let members: Vec<_> = (0i32..)
            .zip(&self.members)
            .map(|(id, member)| doc! {"_id": id, "host": member.address()})
            .collect();
        let mut config = doc! {"_id": &self.name, "members": members};
        if let Some(timeout) = election_timeout {
            let millis = i32::try_from(timeout.as_millis())?;
            config.insert("settings", doc! {"electionTimeoutMillis": millis});
        }
        let first = &self.members[0];
        admin::run_as_nobody(first, doc! {"replSetInitiate": config}).await?;
        if self.members.len() == 1 {
            // It elects itself at once.
            return Ok(());
        }
        // Otherwise the first election would wait for the election timeout; refused until the
        // others know the set.
        let deadline = Instant::now() + START_WITHIN;
        while let Err(error) = admin::run(first, doc! {"replSetStepUp": 1}).await {
            ensure!(Instant::now() < deadline, "no first election: {error:#}");
            sleep(POLL).await;
        }
        Ok(())
    }

    /// The administrator first, who may make the other.
    async fn make_users(&self, databases: &[String]) -> Result<()> {
        let primary = self.wait_for_primary(START_WITHIN).await?;
        let primary = &self.members[primary];
        admin::run_as_nobody(primary, Security::create_administrator()).await?;
        let databases: Vec<_> = databases.iter().map(String::as_str).collect();
        admin::run(primary, Security::create_master(&databases)).await?;
        Ok(())
    }

    async fn health(&self) -> Result<()> {
        let hellos = self.hellos().await;
        let mut primary = None;
        for (member, hello) in self.members.iter().zip(&hellos) {
            if says(hello, "isWritablePrimary") {
                ensure!(primary.replace(member).is_none(), "two primaries");
            } else {
                ensure!(says(hello, "secondary"), "{} is not secondary", member.address());
            }
        }
        let primary = primary.ok_or_else(|| anyhow!("no primary"))?;
        let status = admin::run(primary, doc! {"replSetGetStatus": 1}).await?;
        for member in status.get_array("members")?.iter().filter_map(|member| member.as_document()) {
            let (name, state) = (member.get_str("name")?, member.get_str("stateStr")?);
            ensure!(matches!(state, "PRIMARY" | "SECONDARY"), "{name} is {state}");
        }
        Ok(())
    }

    /// What each member says of itself; nothing from one that is killed, paused or does not answer.
    async fn hellos(&self) -> Vec<Document> {
        let mut hellos = Vec::new();
        for member in &self.members {
            let hello = if member.is_running() {
                admin::run_as_nobody(member, doc! {"hello": 1}).await.unwrap_or_default()
            } else {
                Document::new()
            };
            hellos.push(hello);
        }
        hellos
    }

    fn logs(&self) -> String {
        let tail = |member: &Member| format!("\n--- {}\n{}", member.address(), member.log_tail());
        self.members.iter().map(tail).collect::<Vec<_>>().concat()
    }
}

fn says(hello: &Document, what: &str) -> bool {
    hello.get_bool(what).unwrap_or_default()
}
