//! The fence in the real database: nothing of an earlier term takes effect after it rose, and nobody's open
//! transaction keeps it from rising.

use std::time::{Duration, Instant};

use anyhow::Result;
use kontena_core::election::{RaiseAnswer, Term};
use kontena_store::{Batch, ProbeRow, WriteError};
use kontena_testkit::mongod::Database;
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{ReadConcern, TransactionOptions, WriteConcern};

use crate::store::{Outside, Party, fence, fresh};

/// A raise must be done by then, whatever a dead leader left behind: it would stay for the server's transaction lifetime
/// of 60 s.
const RAISE_LIMIT: Duration = Duration::from_secs(2);

fn probe(term: Term, batch: u64) -> Batch {
    let rows = (1..=3).map(|part| ProbeRow { term, batch, part, before: None }.insert());
    Batch { duty: "probe", term, effects: rows.collect() }
}

#[tokio::test]
async fn the_fence_only_rises() -> Result<()> {
    let database = fresh().await?;
    let (one, two) = (Party::new(1, &database.uri).await?, Party::new(2, &database.uri).await?);
    assert_eq!(one.raise(Term(3)).await, RaiseAnswer::Raised);
    assert_eq!(one.raise(Term(3)).await, RaiseAnswer::Raised, "an answer may have been lost");
    assert_eq!(two.raise(Term(5)).await, RaiseAnswer::Raised);
    assert_eq!(one.raise(Term(3)).await, RaiseAnswer::Higher(Term(5)));
    assert_eq!(one.raise(Term(4)).await, RaiseAnswer::Higher(Term(5)));
    let standing = fence(&Outside::of(&database).await?).await?;
    assert_eq!(standing.get_i64("term")?, 5);
    Ok(())
}

#[tokio::test]
async fn a_term_that_another_leader_had_is_nobody_elses() -> Result<()> {
    // As after a restore of the lease alone, which then comes to the same number again.
    let database = fresh().await?;
    let (one, two) = (Party::new(1, &database.uri).await?, Party::new(2, &database.uri).await?);
    let term = one.lead().await;
    assert_eq!(two.raise(term).await, RaiseAnswer::Higher(term));
    one.writer.commit(probe(term, 1)).await?;
    assert_eq!(one.raise(term).await, RaiseAnswer::Raised);
    Ok(())
}

#[tokio::test]
async fn nothing_of_an_earlier_term_is_written_after_the_raise() -> Result<()> {
    let database = fresh().await?;
    let (one, two) = (Party::new(1, &database.uri).await?, Party::new(2, &database.uri).await?);
    let first = one.lead().await;
    one.writer.commit(probe(first, 1)).await?;
    let second = two.lead().await;
    // The former leader has noticed nothing: its permission is open, and it goes on.
    let outcome = one.writer.commit(probe(first, 2)).await;
    assert!(matches!(outcome, Err(WriteError::Superseded)), "{outcome:?}");
    assert_eq!(one.permission.superseded.load(std::sync::atomic::Ordering::SeqCst), first.0);
    two.writer.commit(probe(second, 1)).await?;
    let outside = Outside::of(&database).await?;
    assert_eq!(outside.count("probe", doc! { "batch": 2 }).await?, 0);
    assert_eq!(outside.count("probe", doc! {}).await?, 6);
    Ok(())
}

/// A leader's transaction, left open after `touched` steps, in a session that the fence knows.
struct LeftOpen {
    session: mongodb::ClientSession,
}

impl LeftOpen {
    async fn new(uri: &str, database: &str, term: Term, touch_fence: bool) -> Result<Self> {
        let client = Client::with_uri_str(uri).await?;
        let mut session = client.start_session().await?;
        // The fence must name the session, as it does for every leader that raised it.
        let Some(Bson::Binary(id)) = session.id().get("id") else { anyhow::bail!("a session without an id") };
        let id = id.bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        let database = client.database(database);
        let fences = database.collection::<Document>("fences");
        fences.update_one(doc! { "_id": "leader" }, doc! { "$set": { "lsid": id } }).await?;
        let options = TransactionOptions::builder()
            .read_concern(ReadConcern::snapshot())
            .write_concern(WriteConcern::majority())
            .build();
        session.start_transaction().with_options(options).await?;
        let domain = database.collection::<Document>("cluster");
        let change = doc! { "$inc": { "n": 1 } };
        domain
            .update_one(doc! { "_id": "domain" }, change.clone())
            .upsert(true)
            .session(&mut session)
            .await?;
        if touch_fence {
            let filter = doc! { "_id": "leader", "term": i64::try_from(term.0)? };
            fences.update_one(filter, change).session(&mut session).await?;
        }
        Ok(Self { session })
    }

    async fn commit(mut self) -> bool {
        self.session.commit_transaction().await.is_ok()
    }
}

pub(crate) async fn raise_over_an_open_transaction(database: &Database, touch_fence: bool) -> Result<()> {
    let (one, two) = (Party::new(1, &database.uri).await?, Party::new(2, &database.uri).await?);
    let outside = Outside::of(database).await?;
    outside.collection("cluster").insert_one(doc! { "_id": "domain", "n": 0 }).await?;
    let first = one.lead().await;
    let left_open = LeftOpen::new(&database.uri, &database.name, first, touch_fence).await?;
    let second = two.take().await;
    let begun = Instant::now();
    assert_eq!(two.raise(second).await, RaiseAnswer::Raised);
    // Neither the fence nor the domain's documents are blocked for the new leader.
    two.writer.commit(probe(second, 1)).await?;
    let domain = outside.collection("cluster");
    let change = domain.update_one(doc! { "_id": "domain" }, doc! { "$inc": { "n": 10 } });
    tokio::time::timeout(RAISE_LIMIT, change).await??;
    assert!(begun.elapsed() < RAISE_LIMIT, "took {:?}", begun.elapsed());
    assert!(!left_open.commit().await, "the transaction of the earlier term was committed");
    assert_eq!(outside.one("cluster", doc! { "_id": "domain" }).await?.get_i32("n")?, 10);
    Ok(())
}

#[tokio::test]
async fn a_dead_leaders_open_transaction_on_the_fence_does_not_hold_up_the_raise() -> Result<()> {
    raise_over_an_open_transaction(&fresh().await?, true).await
}

#[tokio::test]
async fn a_dead_leaders_open_transaction_on_other_documents_does_not_hold_up_its_successor() -> Result<()> {
    raise_over_an_open_transaction(&fresh().await?, false).await
}

#[tokio::test]
async fn a_leader_that_never_raised_the_fence_does_not_hide_the_one_before_it() -> Result<()> {
    let database = fresh().await?;
    let mut parties = Vec::new();
    for number in 1..=3 {
        parties.push(Party::new(number, &database.uri).await?);
    }
    let first = parties[0].lead().await;
    let left_open = LeftOpen::new(&database.uri, &database.name, first, true).await?;
    parties[1].take().await;
    let third = parties[2].take().await;
    let begun = Instant::now();
    assert_eq!(parties[2].raise(third).await, RaiseAnswer::Raised);
    assert!(begun.elapsed() < RAISE_LIMIT, "took {:?}", begun.elapsed());
    assert!(!left_open.commit().await);
    Ok(())
}

#[tokio::test]
async fn without_ending_the_session_the_open_transaction_would_hold_up_the_raise() -> Result<()> {
    // Shows that the tests above can fail: the same raise, with a fence that does not name the session.
    let database = fresh().await?;
    let (one, two) = (Party::new(1, &database.uri).await?, Party::new(2, &database.uri).await?);
    let first = one.lead().await;
    let left_open = LeftOpen::new(&database.uri, &database.name, first, true).await?;
    let client = Client::with_uri_str(&database.uri).await?;
    let direct = client.database(&database.name);
    let blocked = direct.run_command(doc! {
        "update": "fences",
        "updates": [{ "q": { "_id": "leader" }, "u": { "$set": { "term": 9_i64 } } }],
        "maxTimeMS": 400,
    });
    let answer = blocked.await;
    assert!(answer.is_err() || answer.is_ok_and(|reply| reply.get("writeErrors").is_some()));
    assert!(left_open.commit().await, "nobody ended it");
    assert_eq!(two.lead().await, first.next());
    Ok(())
}
