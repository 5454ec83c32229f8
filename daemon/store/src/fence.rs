//! The fence: `fences {_id: "leader", term, n, lsid, former}`.
//!
//! Every effect of a leader is a transaction that changes this document under the leader's own term, so that
//! raising the term and committing an effect of an earlier one exclude each other. A read, or a `$set` without
//! change, would not do: under snapshot isolation only real writes conflict.
//!
//! A transaction that a dead or paused leader left open would block the raise, or later writes of its
//! successor, for as long as the server's transaction lifetime. So the session of the last leader that raised
//! the fence stands in it, is ended before the raise, and once more after it, when nothing of it can touch the
//! fence any more. By induction no session of an earlier leader is left.

use std::time::Duration;

use kontena_core::election::{RaiseAnswer, Term};
use mongodb::Database;
use mongodb::bson::{Bson, Document, doc};

use crate::command::{Failure, counter, find_first, stored, write};
use crate::lease::LEADER;
use crate::session::SessionId;

pub(crate) const FENCES: &str = "fences";

/// Raises the fence to `term` on behalf of the leader whose writer uses `session`: up to
/// [`RAISE_STEPS`](kontena_core::election::RAISE_STEPS) calls, each of which gets `limit`. A database that is far away answers
/// each in time, where it would not answer all of them together.
pub(crate) async fn raise(
    database: &Database,
    term: Term,
    session: SessionId,
    limit: Duration,
) -> Result<RaiseAnswer, Failure> {
    let found = within(limit, find_first(database, FENCES, doc! { "_id": LEADER }, "local", limit)).await?;
    let Some(fence) = found else {
        return within(limit, create(database, term, session, limit)).await;
    };
    let standing = Term(counter(&fence, "term").ok_or_else(|| Failure::unknown("the fence has no term"))?);
    let own = session.to_string();
    let mine = fence.get_str("lsid").is_ok_and(|lsid| lsid == own);
    // Another leader's equal term is no better than a higher one: a lease that is older than the fence, as after
    // a restore of one document, may come to the same number twice.
    if standing > term || (standing == term && !mine) {
        return Ok(RaiseAnswer::Higher(standing));
    }
    let mut earlier: Vec<SessionId> =
        ["lsid", "former"].into_iter().filter_map(|key| session_in(&fence, key)).collect();
    earlier.retain(|found| *found != session);
    within(limit, kill_sessions(database, &earlier)).await?;
    let set = doc! { "$set": {
        "term": stored(term.0),
        "former": { "$cond": [{ "$eq": ["$lsid", &own] }, { "$ifNull": ["$former", Bson::Null] }, "$lsid"] },
        "lsid": &own,
    } };
    let lower_or_mine =
        [doc! { "term": { "$lt": stored(term.0) } }, doc! { "term": stored(term.0), "lsid": &own }];
    let filter = doc! { "_id": LEADER, "$or": lower_or_mine };
    let command = doc! { "update": FENCES, "updates": [{ "q": filter, "u": [set] }] };
    if within(limit, write(database, command, limit)).await? == 0 {
        // Raised by somebody else, or removed: the next try tells.
        return Err(Failure::unknown("the fence moved meanwhile"));
    }
    within(limit, kill_sessions(database, &earlier)).await?;
    Ok(RaiseAnswer::Raised)
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::time::timeout(limit, call).await.unwrap_or_else(|_| Err(Failure::unknown("no answer in time")))
}

/// The write that makes a transaction an effect of `term`: it must match one document.
pub(crate) fn touch(term: Term) -> Document {
    doc! { "update": FENCES, "updates": [{
        "q": { "_id": LEADER, "term": stored(term.0) },
        "u": { "$inc": { "n": stored(1) } },
    }] }
}

/// Ends sessions, and with them the transactions that are open in them.
pub(crate) async fn kill_sessions(database: &Database, sessions: &[SessionId]) -> Result<(), Failure> {
    if sessions.is_empty() {
        return Ok(());
    }
    let ids: Vec<Document> = sessions.iter().map(|session| session.to_document()).collect();
    database.run_command(doc! { "killSessions": ids }).await?;
    Ok(())
}

async fn create(
    database: &Database,
    term: Term,
    session: SessionId,
    limit: Duration,
) -> Result<RaiseAnswer, Failure> {
    let fence = doc! {
        "_id": LEADER, "term": stored(term.0), "n": stored(0), "lsid": session.to_string(), "former": Bson::Null,
    };
    write(database, doc! { "insert": FENCES, "documents": [fence] }, limit).await?;
    Ok(RaiseAnswer::Raised)
}

fn session_in(fence: &Document, key: &str) -> Option<SessionId> {
    fence.get_str(key).ok()?.parse().ok()
}
