//! Each duty, on a leader that stops between its plan and its commit, or is killed there: nothing of the earlier term
//! takes effect, and the successor does the work once.
//!
//! One table has, for each duty, how its work is made and by which change it shows. Every commit of a leader carries
//! the name of the duty, so a relay can hold back exactly the first command of one; and every change in a transaction
//! names its session in the database's change stream, so it is known whose it was.

mod table;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::shared;
use kontena_testkit::relay::{Hold, Relay};
use mongodb::bson::{Bson, Document, doc};
use mongodb::change_stream::ChangeStream;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::process::acting;
use crate::store::Outside;
use table::{DUTIES, Row, Start};

const PATIENCE: Duration = Duration::from_secs(30);
/// How long the successor is watched for work that was done already, and the one that was stopped for what it still
/// tries.
const QUIET: Duration = Duration::from_millis(1200);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Paused,
    Killed,
}

/// Two masters, of which one can be held back at an exact point.
struct Pair {
    relay: Relay,
    first: Master,
    second: Master,
    outside: Outside,
    changes: ChangeStream<Document>,
    /// What happened so far: collection, kind, id, session.
    seen: Vec<Change>,
}

#[derive(Clone, Debug)]
struct Change {
    collection: String,
    kind: String,
    id: Bson,
    lsid: Option<Bson>,
}

impl Pair {
    async fn start(number: u8) -> Result<Self> {
        let database = shared().await?.database();
        let relay = Relay::start(shared().await?.set(), number)?;
        let short = |name: &str, uri: String| {
            let mut settings = Settings::new(name, uri);
            settings.configuration = "[election]\nlease_ttl = \"1s\"\n".into();
            settings
        };
        let first = Master::start(short("first", relay.uri(&database.name))).await?;
        acting(&[&first], 1).await?;
        // A new database is completed by its first leader: that is no round's work.
        rests(&first, "seeding").await?;
        let second = Master::start(short("second", database.uri.clone())).await?;
        let outside = Outside::of(&database).await?;
        let client = mongodb::Client::with_uri_str(&database.uri).await?;
        let watched = client.database(&database.name);
        let changes = watched.watch().max_await_time(Duration::from_millis(100)).await?.with_type();
        Ok(Self { relay, first, second, outside, changes, seen: Vec::new() })
    }

    /// Makes `first` or `second` the leader, and returns its term.
    async fn lead(&self, first: bool) -> Result<u64> {
        let (to, from) = if first { (&self.first, &self.second) } else { (&self.second, &self.first) };
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(term) = to.acting_term().await {
                return Ok(term);
            }
            // The successor must have been heard of, and somebody must lead.
            let _stepped_down = from.run(&["step-down"])?;
            ensure!(Instant::now() < deadline, "{} does not lead:\n{}", to.name(), from.log_tail());
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Reads what has changed since, for so long.
    async fn watch(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        while let Ok(Some(event)) =
            timeout(until.saturating_duration_since(Instant::now()), self.changes.next()).await
        {
            let event = event?;
            let text = |key: &str| event.get_str(key).unwrap_or_default().to_owned();
            let collection = event.get_document("ns").and_then(|ns| ns.get_str("coll")).unwrap_or_default();
            let id = event.get_document("documentKey").ok().and_then(|key| key.get("_id")).cloned();
            let lsid = event.get_document("lsid").ok().and_then(|lsid| lsid.get("id")).cloned();
            self.seen.push(Change {
                collection: collection.to_owned(),
                kind: text("operationType"),
                id: id.unwrap_or(Bson::Null),
                lsid,
            });
        }
        Ok(())
    }

    /// Reads everything that has happened until now.
    async fn catch_up(&mut self) -> Result<()> {
        let mark = self.outside.collection("marks").insert_one(doc! {}).await?.inserted_id;
        let deadline = Instant::now() + PATIENCE;
        while !self.seen.iter().any(|change| change.collection == "marks" && change.id == mark) {
            ensure!(Instant::now() < deadline, "the stream is behind");
            self.watch(Duration::from_millis(20)).await?;
        }
        Ok(())
    }

    /// How often the work shows among what was seen from `begin` on.
    fn times(&self, row: &Row, id: &Bson, begin: usize) -> usize {
        let shows = |change: &&Change| {
            change.collection == row.shows.0 && change.kind == row.shows.1 && row.shows.2.is(&change.id, id)
        };
        self.seen.iter().skip(begin).filter(shows).count()
    }

    /// Waits until the work of a duty shows.
    async fn done(&mut self, row: &Row, id: &Bson, begin: usize) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.times(row, id, begin) == 0 {
            ensure!(
                Instant::now() < deadline,
                "{}: the successor did not do it: {:#?}\n{}",
                row.duty,
                self.second.get("/v1/cluster").await?["duties"],
                self.second.log_tail()
            );
            self.watch(Duration::from_millis(50)).await?;
        }
        Ok(())
    }

    async fn round(&mut self, row: &Row, end: End) -> Result<()> {
        let duty = row.duty;
        self.catch_up().await?;
        let begin = self.seen.len();
        // A duty that runs seldom is caught as it begins its reign, the others while it lasts.
        let (id, term) = match row.start {
            Start::Reign => {
                self.lead(false).await?;
                rests(&self.second, duty).await?;
                let id = (row.make)(&self.outside).await?;
                self.arm(duty);
                self.relinquish().await?;
                (id, None)
            }
            Start::Change => {
                let term = self.lead(true).await?;
                self.arm(duty);
                ((row.make)(&self.outside).await?, Some(term))
            }
        };
        let caught = timeout(PATIENCE, self.relay.was_cut()).await;
        caught.with_context(|| format!("{duty} did not begin a commit:\n{}", self.first.log_tail()))?;
        // It is cut off: whatever it has done is told by now.
        self.catch_up().await?;
        let fence = self.outside.one("fences", doc! { "_id": "leader" }).await?;
        let old = u64::try_from(fence.get_i64("term")?)?;
        ensure!(term.is_none_or(|term| term == old), "{duty}: another term");
        let session = fence.get_str("lsid").context("no session")?.to_owned();
        let caught_at = self.seen.len();
        match end {
            End::Paused => self.first.pause()?,
            End::Killed => self.first.kill()?,
        }
        acting(&[&self.second], old + 1).await?;
        self.done(row, &id, caught_at).await?;
        self.relay.heal();
        match end {
            End::Paused => self.first.resume()?,
            End::Killed => self.first.launch().await?,
        }
        self.watch(QUIET).await?;
        self.catch_up().await?;
        let stale: Vec<&Change> =
            self.seen.iter().skip(caught_at).filter(|change| is_session(change, &session)).collect();
        ensure!(stale.is_empty(), "{duty}: effects of term {old} after its end: {stale:#?}");
        ensure!(self.first.acting_term().await != Some(old), "{duty}: it still acts");
        let times = self.times(row, &id, begin);
        ensure!(times == 1 || row.repeats, "{duty}: done {times} times");
        Ok(())
    }

    fn arm(&self, duty: &str) {
        self.relay.cut_at(&format!("duty {duty}\0"), Hold::Request);
    }

    async fn relinquish(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !self.second.run(&["step-down"])?.status.success() {
            ensure!(Instant::now() < deadline, "it does not step down:\n{}", self.second.log_tail());
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}

/// Waits until a master that leads has done what there was to do for a duty.
async fn rests(master: &Master, duty: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let cluster = master.get("/v1/cluster").await?;
        let found = cluster["duties"].as_array().into_iter().flatten().find(|row| row["name"] == duty);
        if found.is_some_and(|row| row["state"] == "waiting") {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "{duty} does not come to rest: {found:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The fence has a session's id as text.
fn is_session(change: &Change, session: &str) -> bool {
    matches!(&change.lsid, Some(Bson::Binary(id)) if hex::encode(&id.bytes) == session)
}

async fn all(number: u8, end: End) -> Result<()> {
    let mut pair = Pair::start(number).await?;
    let names = pair.first.get("/v1/cluster").await?;
    let mut known: Vec<&str> =
        names["duties"].as_array().into_iter().flatten().filter_map(|duty| duty["name"].as_str()).collect();
    let mut listed: Vec<&str> = DUTIES.iter().map(|row| row.duty).collect();
    known.sort_unstable();
    listed.sort_unstable();
    ensure!(known == listed, "the table is not complete");
    for row in DUTIES {
        let began = Instant::now();
        pair.round(row, end).await?;
        println!("{} {end:?}: {:?}", row.duty, began.elapsed());
    }
    // The stream does tell whose changes are: else nothing could have been found above.
    let own = pair.seen.iter().filter(|change| change.lsid.is_some()).count();
    ensure!(own > DUTIES.len(), "the stream names no sessions");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_duty_of_a_stopped_leader_takes_effect_later() -> Result<()> {
    all(44, End::Paused).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_successor_of_a_killed_leader_does_its_work_once() -> Result<()> {
    all(45, End::Killed).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hourly_duty_runs_each_hour_whoever_leads() -> Result<()> {
    let pair = Pair::start(46).await?;
    let schedules = pair.outside.collection("duty_schedules");
    let duty = || doc! { "_id": "certificates" };
    let last = async || -> Result<i64> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(row) = schedules.find_one(duty()).await? {
                return Ok(row.get_datetime("last_run_at")?.timestamp_millis());
            }
            ensure!(Instant::now() < deadline, "it never ran");
            sleep(Duration::from_millis(20)).await;
        }
    };
    let ran = last().await?;
    // Others lead, and the first again: nobody runs it before its time.
    for first in [false, true, false] {
        pair.lead(first).await?;
        let report = async |master: &Master| -> Result<Value> {
            let duties = master.get("/v1/cluster").await?["duties"].clone();
            let found = duties.as_array().into_iter().flatten().find(|duty| duty["name"] == "certificates");
            Ok(found.cloned().unwrap_or_default())
        };
        let leader = if first { &pair.first } else { &pair.second };
        let deadline = Instant::now() + PATIENCE;
        while !report(leader).await?["last_result"].as_str().is_some_and(|said| said.starts_with("ran ")) {
            ensure!(Instant::now() < deadline, "{}", report(leader).await?);
            sleep(Duration::from_millis(20)).await;
        }
        ensure!(last().await? == ran, "it ran before its time");
    }
    // Three seconds before the hour is over: whoever leads next runs it in time, though not as it begins.
    let back = doc! { "$set": { "last_run_at": { "$subtract": ["$$NOW", 3_597_000] } } };
    schedules.update_one(duty(), vec![back]).await?;
    let due = last().await? + 3_600_000;
    pair.lead(true).await?;
    let deadline = Instant::now() + PATIENCE;
    while last().await? < due {
        ensure!(Instant::now() < deadline, "it did not run when its hour had passed");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
