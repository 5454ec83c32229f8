//! The masters' heartbeats: `masters {_id, name, url, ..., seq}`.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::election::{HolderId, Term};
use mongodb::Database;
use mongodb::bson::{Bson, DateTime, Document, doc};

use crate::command::{Failure, counter, millis, stored, write};
use crate::effect::{Effect, Statement};

const MASTERS: &str = "masters";

/// What a master says of itself, and what the database noted beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as they stand in the document")]
pub struct MasterRow {
    /// This start of its process.
    pub id: HolderId,
    /// Its host's name.
    pub name: String,
    /// Where its HTTP API is reached.
    pub url: String,
    /// The program's version.
    pub version: String,
    /// The term that it holds, if it does.
    pub term: Option<Term>,
    /// Whether it acts as the leader.
    pub acting: bool,
    /// Agents connected to it.
    pub agents: u64,
    /// The time of its last heartbeat's round trip.
    pub mongo_rtt: Option<Duration>,
    /// Of the settings that all masters must share.
    pub fingerprint: String,
    /// Whether its configuration lets it stand.
    pub eligible: bool,
    /// Whether others leave a free lease to it.
    pub preferred: bool,
    /// What keeps it from standing besides.
    pub unfit: Option<String>,
    /// It takes no new work and does not stand.
    pub draining: bool,
    /// Somebody asked for that. Set through [`Masters::ask_to_drain`].
    pub drain_asked: bool,
    /// It has stopped, or was found dead.
    pub ended: bool,
    /// It was found dead: it did not say that it ends. Set through [`Masters::mark_ended`] and [`Masters::end`].
    pub lost: bool,
    /// What an administrator should know.
    pub warnings: Vec<String>,
    /// Moves with every heartbeat. Set by the database.
    pub seq: u64,
    /// Milliseconds since 1970 at its first heartbeat, by the database's clock.
    pub started_at: i64,
}

impl MasterRow {
    /// Whether it was lost, and nobody of its name has been started since; `all` are the rows that there are.
    #[must_use]
    pub fn is_missing(&self, all: &[Self]) -> bool {
        self.lost && !all.iter().any(|row| row.name == self.name && row.started_at > self.started_at)
    }
}

/// The collection.
#[derive(Clone, Debug)]
pub struct Masters {
    database: Database,
}

impl Masters {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Writes the own row. `seq`, `started_at` and `drain_asked` of `row` are ignored: the database
    /// counts, and others ask.
    pub async fn beat(&self, row: &MasterRow, limit: Duration) -> Result<(), Failure> {
        let MasterRow {
            id,
            name,
            url,
            version,
            term,
            acting,
            agents,
            mongo_rtt,
            fingerprint,
            eligible,
            preferred,
            unfit,
            draining,
            drain_asked: _,
            ended,
            lost: _,
            warnings,
            seq: _,
            started_at: _,
        } = row;
        let set = doc! { "$set": {
            "name": { "$literal": name },
            "url": { "$literal": url },
            "version": { "$literal": version },
            "term": term.map_or(Bson::Null, |term| stored(term.0)),
            "acting": acting,
            "agents": stored(*agents),
            "mongo_rtt_us": mongo_rtt.map_or(Bson::Null, |rtt| {
                stored(u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX))
            }),
            "fingerprint": { "$literal": fingerprint },
            "eligible": eligible,
            "preferred": preferred,
            "unfit": { "$literal": unfit.clone() },
            "draining": draining,
            "ended": ended,
            "lost": false,
            "warnings": { "$literal": warnings.clone() },
            "seq": { "$add": [{ "$ifNull": ["$seq", stored(0)] }, stored(1)] },
            "started_at": { "$ifNull": ["$started_at", "$$NOW"] },
            "seen_at": "$$NOW",
        } };
        let update = doc! { "q": { "_id": id.to_string() }, "u": [set], "upsert": true };
        write(&self.database, doc! { "update": MASTERS, "updates": [update] }, limit).await.map(drop)
    }

    /// All rows, in no order. Rows that make no sense are left out.
    pub async fn all(&self, limit: Duration) -> Result<Vec<MasterRow>, Failure> {
        let collection = self.database.collection::<Document>(MASTERS);
        let rows = collection.find(doc! {}).max_time(limit);
        let rows: Vec<Document> = rows.await?.try_collect().await?;
        Ok(rows.iter().filter_map(parse).collect())
    }

    /// Leaves the wish that a living master drains. Returns false if there is no such master.
    pub async fn ask_to_drain(&self, id: HolderId, limit: Duration) -> Result<bool, Failure> {
        let filter = doc! { "_id": id.to_string(), "ended": false };
        let update = doc! { "q": filter, "u": { "$set": { "drain_asked": true } } };
        Ok(write(&self.database, doc! { "update": MASTERS, "updates": [update] }, limit).await? > 0)
    }

    /// Marks a process that did not say so itself as ended.
    pub async fn mark_ended(&self, id: HolderId, limit: Duration) -> Result<(), Failure> {
        let update = doc! { "q": { "_id": id.to_string(), "ended": false }, "u": found_dead() };
        write(&self.database, doc! { "update": MASTERS, "updates": [update] }, limit).await.map(drop)
    }

    /// Marks a lost master as ended, if it has not moved since `seq` was seen.
    #[must_use]
    pub fn end(id: HolderId, seq: u64) -> Effect {
        let filter = doc! { "_id": id.to_string(), "seq": stored(seq) };
        Effect { collection: MASTERS, statement: Statement::Update { filter, change: found_dead() } }
    }

    /// Removes the rows of masters that ended and were not seen for `age`, by the database's clock. Those of `claimers`
    /// ([`Store::claimers`](crate::Store::claimers)) stay: it is by its row that others know that a master is gone.
    #[must_use]
    pub fn forget(age: Duration, claimers: &BTreeSet<HolderId>) -> Effect {
        let old = doc! { "$lt": ["$seen_at", { "$subtract": ["$$NOW", millis(age)] }] };
        let claimers: Vec<String> = claimers.iter().map(ToString::to_string).collect();
        let filter = doc! { "_id": { "$nin": claimers }, "ended": true, "$expr": old };
        Effect { collection: MASTERS, statement: Statement::Delete { filter } }
    }
}

fn found_dead() -> Document {
    doc! { "$set": { "ended": true, "acting": false, "lost": true } }
}

fn parse(row: &Document) -> Option<MasterRow> {
    let text = |key: &str| row.get_str(key).ok().map(str::to_owned);
    let flag = |key: &str| row.get_bool(key).unwrap_or(false);
    Some(MasterRow {
        id: row.get_str("_id").ok()?.parse().ok()?,
        name: text("name")?,
        url: text("url")?,
        version: text("version")?,
        term: counter(row, "term").map(Term),
        acting: flag("acting"),
        agents: counter(row, "agents").unwrap_or(0),
        mongo_rtt: counter(row, "mongo_rtt_us").map(Duration::from_micros),
        fingerprint: text("fingerprint")?,
        eligible: flag("eligible"),
        preferred: flag("preferred"),
        unfit: text("unfit"),
        draining: flag("draining"),
        drain_asked: flag("drain_asked"),
        ended: flag("ended"),
        lost: flag("lost"),
        warnings: row
            .get_array("warnings")
            .map(|warnings| warnings.iter().filter_map(|w| w.as_str().map(str::to_owned)).collect())
            .unwrap_or_default(),
        seq: counter(row, "seq")?,
        started_at: row.get_datetime("started_at").map(|at: &DateTime| at.timestamp_millis()).ok()?,
    })
}
