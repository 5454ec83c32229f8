//! Who led when: `leader_history {_id: term, from, to, reason, gap_ms, at}`, one document per term.
//!
//! All times are the database's own, and for people only.

use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::election::{EndReason, HolderId, Term};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::command::{Failure, counter, find_first, stored};
use crate::effect::{Effect, Statement};
use crate::lease::{LEADER, LEASES};

const HISTORY: &str = "leader_history";

/// How many terms are kept.
pub const HISTORY_MAX: u64 = 1_000;

/// A master as it is named to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// The start of its process.
    pub id: String,
    /// Its host's name.
    pub name: String,
}

/// How a term began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryRow {
    /// The term.
    pub term: Term,
    /// Who led before. None for the first term ever.
    pub from: Option<Person>,
    /// Who leads.
    pub to: Person,
    /// Why the earlier term ended.
    pub reason: Option<EndReason>,
    /// From the last renewal or the release of the earlier lease to the taking of this one.
    pub gap: Option<Duration>,
    /// Milliseconds since 1970.
    pub at: i64,
}

/// The lease as it is told to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reign {
    /// The current or last term.
    pub term: Term,
    /// Who holds it.
    pub holder: Option<HolderId>,
    /// Its host's name.
    pub name: String,
    /// When the term began, in milliseconds since 1970.
    pub since: i64,
    /// How the term before ended.
    row: Option<HistoryRow>,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct LeaderHistory {
    database: Database,
}

impl LeaderHistory {
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    /// The lease as it stands, for people.
    pub async fn reign(&self, limit: Duration) -> Result<Option<Reign>, Failure> {
        let lease = find_first(&self.database, LEASES, doc! { "_id": LEADER }, "majority", limit).await?;
        Ok(lease.as_ref().and_then(parse_lease))
    }

    /// The latest rows, the newest first.
    pub async fn latest(&self, count: i64, limit: Duration) -> Result<Vec<HistoryRow>, Failure> {
        let collection = self.database.collection::<Document>(HISTORY);
        let rows = collection.find(doc! {}).sort(doc! { "_id": -1 }).limit(count).max_time(limit).await?;
        let rows: Vec<Document> = rows.try_collect().await?;
        Ok(rows.iter().filter_map(parse).collect())
    }

    /// Whether the row of a term is written.
    pub async fn has(&self, term: Term, limit: Duration) -> Result<bool, Failure> {
        let filter = doc! { "_id": stored(term.0) };
        Ok(find_first(&self.database, HISTORY, filter, "majority", limit).await?.is_some())
    }

    /// Writes how the term of a reign began, and forgets the terms that are too old to be kept.
    #[must_use]
    pub fn record(reign: &Reign) -> Vec<Effect> {
        let Some(row) = &reign.row else { return Vec::new() };
        let HistoryRow { term, from, to, reason, gap, at } = row;
        let person = |person: &Person| doc! { "id": &person.id, "name": &person.name };
        let document = doc! {
            "_id": stored(term.0),
            "from": from.as_ref().map(person),
            "to": person(to),
            "reason": reason.map(EndReason::name),
            "gap_ms": gap.map_or(Bson::Null, |gap| stored(u64::try_from(gap.as_millis()).unwrap_or(u64::MAX))),
            "at": mongodb::bson::DateTime::from_millis(*at),
        };
        let oldest = doc! { "_id": { "$lte": stored(term.0.saturating_sub(HISTORY_MAX)) } };
        vec![
            Effect { collection: HISTORY, statement: Statement::Insert(document) },
            Effect { collection: HISTORY, statement: Statement::Delete { filter: oldest } },
        ]
    }
}

fn parse_lease(lease: &Document) -> Option<Reign> {
    let term = Term(counter(lease, "term")?);
    let since = lease.get_datetime("acquired_at").ok()?.timestamp_millis();
    let name = lease.get_str("name").unwrap_or_default().to_owned();
    let holder: Option<HolderId> = lease.get_str("holder").ok().and_then(|id| id.parse().ok());
    let previous = lease.get_document("previous").ok();
    let row = holder.map(|holder| HistoryRow {
        term,
        from: previous.and_then(person),
        to: Person { id: holder.to_string(), name: name.clone() },
        reason: previous.and_then(|previous| EndReason::from_name(previous.get_str("reason").ok()?)),
        gap: previous.and_then(|previous| {
            let ended = previous.get_datetime("at").ok()?.timestamp_millis();
            u64::try_from(since.saturating_sub(ended)).ok().map(Duration::from_millis)
        }),
        at: since,
    });
    Some(Reign { term, holder, name, since, row })
}

fn parse(row: &Document) -> Option<HistoryRow> {
    Some(HistoryRow {
        term: Term(counter(row, "_id")?),
        from: row.get_document("from").ok().and_then(parse_person),
        to: row.get_document("to").ok().and_then(parse_person)?,
        reason: row.get_str("reason").ok().and_then(EndReason::from_name),
        gap: counter(row, "gap_ms").map(Duration::from_millis),
        at: row.get_datetime("at").ok()?.timestamp_millis(),
    })
}

fn parse_person(person: &Document) -> Option<Person> {
    Some(Person { id: person.get_str("id").ok()?.to_owned(), name: person.get_str("name").ok()?.to_owned() })
}

fn person(previous: &Document) -> Option<Person> {
    let id = previous.get_str("holder").ok()?.to_owned();
    Some(Person { id, name: previous.get_str("name").unwrap_or_default().to_owned() })
}
