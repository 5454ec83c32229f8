//! What masters tell each other through the database, and what only the leader writes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use kontena_core::election::{EndReason, HolderId, Term};
use kontena_core::id::Id;
use kontena_store::{Batch, LeaderHistory, MasterRow, Masters, OriginalLock, Purpose};
use mongodb::bson::{DateTime, doc};

use crate::store::{LIMIT, Outside, Party, fresh, open};

fn row(number: u8) -> MasterRow {
    MasterRow {
        id: HolderId::from_bytes([number; 16]),
        name: "$dollar.and.dot".to_owned(),
        url: "http://host:9292".to_owned(),
        version: "1.2.3".to_owned(),
        term: Some(Term(4)),
        acting: true,
        agents: 12,
        mongo_rtt: Some(Duration::from_micros(1234)),
        fingerprint: "abc".to_owned(),
        eligible: true,
        preferred: true,
        unfit: Some("$reason".to_owned()),
        draining: false,
        drain_asked: false,
        ended: false,
        lost: false,
        warnings: vec!["$warning".to_owned()],
        seq: 1,
        started_at: 0,
    }
}

#[tokio::test]
async fn a_heartbeat_is_read_back_as_it_was_written_and_moves_its_number() -> Result<()> {
    let database = fresh().await?;
    let masters = open(&database.uri, Purpose::Main).await?.masters();
    masters.beat(&row(1), LIMIT).await?;
    let first = masters.all(LIMIT).await?;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0], MasterRow { started_at: first[0].started_at, ..row(1) });
    masters.beat(&row(1), LIMIT).await?;
    let second = masters.all(LIMIT).await?;
    assert_eq!(second[0], MasterRow { seq: 2, ..first[0].clone() });
    Ok(())
}

#[tokio::test]
async fn a_master_that_moved_meanwhile_is_not_ended() -> Result<()> {
    let database = fresh().await?;
    let party = Party::new(1, &database.uri).await?;
    let term = party.lead().await;
    let masters = party.store.masters();
    masters.beat(&row(7), LIMIT).await?;
    let seen = masters.all(LIMIT).await?.remove(0);
    masters.beat(&row(7), LIMIT).await?;
    let end = |seq| Batch { duty: "masters", term, effects: vec![Masters::end(seen.id, seq)] };
    assert!(party.writer.commit(end(seen.seq)).await.is_err());
    party.writer.commit(end(seen.seq + 1)).await?;
    assert!(masters.all(LIMIT).await?[0].ended);
    // Only who ended long ago is forgotten.
    let none = BTreeSet::new();
    let forget = |age, claimers: &BTreeSet<HolderId>| Batch {
        duty: "masters",
        term,
        effects: vec![Masters::forget(age, claimers)],
    };
    party.writer.commit(forget(Duration::from_secs(60), &none)).await?;
    assert_eq!(masters.all(LIMIT).await?.len(), 1);
    // What it has in hand is not taken up by others unless they see that it is gone.
    let service = Id::from_bytes([9; 12]);
    party.store.deploys().claim(service, 0, seen.id).await?.expect("a claim");
    let claimers = party.store.claimers().await?;
    assert_eq!(claimers, BTreeSet::from([seen.id]));
    party.writer.commit(forget(Duration::ZERO, &claimers)).await?;
    assert_eq!(masters.all(LIMIT).await?.len(), 1);
    party.writer.commit(forget(Duration::ZERO, &none)).await?;
    assert_eq!(masters.all(LIMIT).await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn the_history_tells_who_followed_whom_and_why_and_is_bounded() -> Result<()> {
    let database = fresh().await?;
    let (one, two) = (Party::new(1, &database.uri).await?, Party::new(2, &database.uri).await?);
    let history = one.store.leader_history();
    let first = one.lead().await;
    let reign = history.reign(LIMIT).await?.expect("a reign");
    let record = |term, effects| Batch { duty: "history", term, effects };
    one.writer.commit(record(first, LeaderHistory::record(&reign))).await?;
    one.release(first).await;
    let second = two.lead().await;
    let reign = history.reign(LIMIT).await?.expect("a reign");
    two.writer.commit(record(second, LeaderHistory::record(&reign))).await?;
    let third = one.lead().await;
    let reign = history.reign(LIMIT).await?.expect("a reign");
    let outside = Outside::of(&database).await?;
    let ancient = i64::try_from(third.0)? - 1000;
    outside.collection("leader_history").insert_one(doc! { "_id": ancient }).await?;
    one.writer.commit(record(third, LeaderHistory::record(&reign))).await?;
    let rows = history.latest(10, LIMIT).await?;
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.term, row.from.as_ref().map(|p| p.name.as_str()), row.to.name.as_str(), row.reason))
        .collect();
    assert_eq!(
        told,
        [
            (third, Some("party-2"), "party-1", Some(EndReason::Expired)),
            (second, Some("party-1"), "party-2", Some(EndReason::Released)),
            (first, None, "party-1", None),
        ]
    );
    assert!(rows[1].gap.is_some_and(|gap| gap < LIMIT));
    assert_eq!(outside.count("leader_history", doc! { "_id": ancient }).await?, 0, "beyond the bound");
    Ok(())
}

#[tokio::test]
async fn only_the_first_vault_key_of_a_database_agrees_with_it() -> Result<()> {
    let database = fresh().await?;
    let sentinel = open(&database.uri, Purpose::Main).await?.sentinel();
    assert!(sentinel.agrees("one", LIMIT).await?);
    assert!(sentinel.agrees("one", LIMIT).await?);
    assert!(!sentinel.agrees("two", LIMIT).await?);
    Ok(())
}

#[tokio::test]
async fn the_originals_lock_is_taken_over_and_dated_ahead() -> Result<()> {
    let database = fresh().await?;
    let party = Party::new(1, &database.uri).await?;
    let term = party.lead().await;
    let outside = Outside::of(&database).await?;
    let original = doc! { "name": "leader_elect", "lock_id": "0123456789abcdef0123456789abcdef", "created_at": DateTime::from_millis(0) };
    outside.collection("distributed_locks").insert_one(original).await?;
    for _ in 0..2 {
        party
            .writer
            .commit(Batch { duty: "original_lock", term, effects: vec![OriginalLock::hold()] })
            .await?;
    }
    assert_eq!(outside.count("distributed_locks", doc! {}).await?, 1);
    let lock = outside.one("distributed_locks", doc! { "name": "leader_elect" }).await?;
    assert!(
        lock.get_datetime("created_at")?.timestamp_millis() > DateTime::now().timestamp_millis() + 200_000
    );
    // An original master takes it only when it has no lock_id, and deletes it only by its own.
    assert_eq!(lock.get_str("lock_id")?, "highly-available-kontena-master");
    let watcher = party.store.original_lock();
    assert_eq!(watcher.newest_message(LIMIT).await?, None);
    outside.collection("pubsub_channels").insert_one(doc! { "channel": "test" }).await?;
    assert!(watcher.newest_message(LIMIT).await?.is_some());
    Ok(())
}
