//! The fenced writer on the real database: whole batches or nothing, many of them in one transaction.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Result;
use kontena_core::election::{HolderId, Term};
use kontena_store::{Batch, Effect, Limits, Masters, ProbeRow, WriteError};
use mongodb::bson::doc;

use crate::store::{Outside, Party, fence, fresh};

fn rows(term: Term, batch: u64, parts: u64) -> Vec<Effect> {
    (1..=parts).map(|part| ProbeRow { term, batch, part, before: None }.insert()).collect()
}

fn batch(duty: &'static str, term: Term, number: u64) -> Batch {
    Batch { duty, term, effects: rows(term, number, 3) }
}

/// Matches no document: whoever planned it saw a master that is not there any more.
fn stale() -> Effect {
    Masters::end(HolderId::from_bytes([99; 16]), 7)
}

#[tokio::test]
async fn an_address_that_prefers_other_members_keeps_nobody_from_writing() -> Result<()> {
    let database = fresh().await?;
    let between = if database.uri.contains('?') { '&' } else { '?' };
    let party = Party::new(1, &format!("{}{between}readPreference=secondaryPreferred", database.uri)).await?;
    let term = party.lead().await;
    party.writer.commit(batch("probe", term, 1)).await?;
    Ok(())
}

#[tokio::test]
async fn a_plan_that_is_stale_in_one_part_is_not_written_at_all() -> Result<()> {
    let database = fresh().await?;
    let party = Party::new(1, &database.uri).await?;
    let term = party.lead().await;
    let mut effects = rows(term, 1, 3);
    effects.push(stale());
    let outcome = party.writer.commit(Batch { duty: "probe", term, effects }).await;
    assert!(matches!(outcome, Err(WriteError::Stale)), "{outcome:?}");
    assert_eq!(Outside::of(&database).await?.count("probe", doc! {}).await?, 0);
    party.writer.commit(batch("probe", term, 2)).await?;
    Ok(())
}

#[tokio::test]
async fn batches_that_wait_together_share_a_transaction_but_not_their_fate() -> Result<()> {
    let database = fresh().await?;
    let party = Party::new(1, &database.uri).await?;
    let term = party.lead().await;
    let outside = Outside::of(&database).await?;
    let before = fence(&outside).await?.get_i64("n")?;
    let many = (1..=50).map(|number| party.writer.commit(batch("probe", term, number)));
    for outcome in futures_util::future::join_all(many).await {
        outcome?;
    }
    let transactions = fence(&outside).await?.get_i64("n")? - before;
    assert!((1..50).contains(&transactions), "{transactions} transactions for 50 batches");
    assert_eq!(outside.count("probe", doc! {}).await?, 150);
    // The same, with one among them that cannot be written.
    let spoilt = async { party.writer.commit(Batch { duty: "probe", term, effects: vec![stale()] }).await };
    let many = (51..=60).map(|number| party.writer.commit(batch("probe", term, number)));
    let (spoilt, outcomes) = tokio::join!(spoilt, futures_util::future::join_all(many));
    assert!(matches!(spoilt, Err(WriteError::Stale)), "{spoilt:?}");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(outside.count("probe", doc! {}).await?, 180);
    Ok(())
}

#[tokio::test]
async fn batches_of_different_duties_are_never_mixed() -> Result<()> {
    let database = fresh().await?;
    let party = Party::new(1, &database.uri).await?;
    let term = party.lead().await;
    let outside = Outside::of(&database).await?;
    let before = fence(&outside).await?.get_i64("n")?;
    let many = (1..=10)
        .map(|number| party.writer.commit(batch(if number % 2 == 0 { "even" } else { "odd" }, term, number)));
    for outcome in futures_util::future::join_all(many).await {
        outcome?;
    }
    assert_eq!(fence(&outside).await?.get_i64("n")? - before, 10, "they came in turns");
    Ok(())
}

#[tokio::test]
async fn who_may_not_act_writes_nothing() -> Result<()> {
    let database = fresh().await?;
    let party = Party::new(1, &database.uri).await?;
    let term = party.lead().await;
    party.permission.revoked.store(true, Ordering::SeqCst);
    let outcome = party.writer.commit(batch("probe", term, 1)).await;
    assert!(matches!(outcome, Err(WriteError::NotActing)), "{outcome:?}");
    assert_eq!(Outside::of(&database).await?.count("probe", doc! {}).await?, 0);
    Ok(())
}

#[tokio::test]
async fn a_batch_above_the_limits_is_refused_before_anything_is_written() -> Result<()> {
    let database = fresh().await?;
    let limits = Limits { effects: 5, ..Limits::default() };
    let party = Party::with_limits(1, &database.uri, limits).await?;
    let term = party.lead().await;
    let effects = rows(term, 1, 6);
    let outcome = party.writer.commit(Batch { duty: "probe", term, effects }).await;
    assert!(matches!(outcome, Err(WriteError::TooLarge { effects: 6, .. })), "{outcome:?}");
    Ok(())
}

#[tokio::test]
async fn after_its_end_the_writer_takes_nothing_and_leaves_nothing_open() -> Result<()> {
    let database = fresh().await?;
    let (one, two) = (Party::new(1, &database.uri).await?, Party::new(2, &database.uri).await?);
    let term = one.lead().await;
    one.writer.commit(batch("probe", term, 1)).await?;
    one.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), one.writing).await??;
    let outcome = one.writer.commit(batch("probe", term, 2)).await;
    assert!(matches!(outcome, Err(WriteError::Closed)), "{outcome:?}");
    two.lead().await;
    Ok(())
}
