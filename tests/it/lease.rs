//! The lease in the real database: each write is a compare-and-set, and what is not known is said to be unknown.

use std::time::{Duration, Instant};

use anyhow::Result;
use kontena_core::election::{Answer, Bus, Command, EndReason, Term, Version};
use kontena_store::{LeaseWatch, Purpose, release_by_holder};
use kontena_testkit::mongod::{ReplicaSet, Settings, shared};
use kontena_testkit::relay::Relay;
use mongodb::bson::{Bson, doc};
use tokio_util::sync::CancellationToken;

use crate::store::{LIMIT, Outside, Party, TTL, fresh, open};

#[tokio::test]
async fn a_missing_lease_is_created_free_and_with_the_term_of_the_fence() -> Result<()> {
    let database = fresh().await?;
    let outside = Outside::of(&database).await?;
    outside.collection("fences").insert_one(doc! { "_id": "leader", "term": 41_i64, "n": 0_i64 }).await?;
    let party = Party::new(1, &database.uri).await?;
    assert_eq!(party.look().await, None);
    assert_eq!(party.execute(Command::Create).await, Answer::Applied);
    assert_eq!(party.execute(Command::Create).await, Answer::Refused, "it is there already");
    let lease = party.look().await.expect("created");
    assert_eq!((lease.version.term, lease.holder), (Term(41), None), "terms never go back");
    assert_eq!(party.take().await, Term(42));
    Ok(())
}

#[tokio::test]
async fn only_who_saw_the_exact_version_can_take_the_lease() -> Result<()> {
    let database = fresh().await?;
    let (one, two) = (Party::new(1, &database.uri).await?, Party::new(2, &database.uri).await?);
    let term = one.take().await;
    let taken = one.look().await.expect("taken").version;
    assert_eq!(one.renew(term).await, Answer::Applied);
    assert_eq!(two.acquire(taken).await, Answer::Refused, "a renewal came in between");
    let older = Version { term: Term(term.0 - 1), seq: taken.seq };
    assert_eq!(two.acquire(older).await, Answer::Refused);
    let renewed = two.look().await.expect("renewed").version;
    assert_eq!(two.acquire(renewed).await, Answer::Applied, "whoever saw the last version may");
    assert_eq!(one.renew(term).await, Answer::Refused, "the former holder's term is over");
    assert_eq!(one.release(term).await, Answer::Refused);
    let lease = one.look().await.expect("taken");
    assert_eq!((lease.holder, lease.version.term, lease.ttl), (Some(two.id), term.next(), TTL));
    Ok(())
}

#[tokio::test]
async fn of_two_at_once_one_takes_the_lease() -> Result<()> {
    let database = fresh().await?;
    let (one, two) = (Party::new(1, &database.uri).await?, Party::new(2, &database.uri).await?);
    let mut term = one.take().await;
    for _ in 0..20 {
        let observed = one.look().await.expect("there is one").version;
        let answers = tokio::join!(one.acquire(observed), two.acquire(observed));
        assert!(
            matches!(answers, (Answer::Applied, Answer::Refused) | (Answer::Refused, Answer::Applied)),
            "{answers:?}"
        );
        let now = one.look().await.expect("there is one").version.term;
        assert_eq!(now, term.next());
        term = now;
    }
    Ok(())
}

#[tokio::test]
async fn a_renewal_counts_whether_or_not_the_one_before_was_acknowledged() -> Result<()> {
    let database = fresh().await?;
    let party = Party::new(1, &database.uri).await?;
    let term = party.take().await;
    // The answers of these are never looked at.
    for _ in 0..5 {
        drop(tokio::time::timeout(Duration::from_micros(300), party.renew(term)).await);
    }
    // It may be asked first whether anything is answered.
    if party.renew(term).await != Answer::Applied {
        assert_eq!(party.renew(term).await, Answer::Applied);
    }
    Ok(())
}

#[tokio::test]
async fn a_release_frees_the_lease_and_is_seen_at_once() -> Result<()> {
    let database = fresh().await?;
    let (one, two) = (Party::new(1, &database.uri).await?, Party::new(2, &database.uri).await?);
    let term = one.take().await;
    let held = one.look().await.expect("held").version;
    let (watch, cancel) = (LeaseWatch::default(), CancellationToken::new());
    let task = tokio::spawn(watch.clone().run(open(&database.uri, Purpose::Streams).await?, cancel.clone()));
    watch.lease_changed().await;
    let released_at = Instant::now();
    assert_eq!(one.release(term).await, Answer::Applied);
    tokio::time::timeout(LIMIT, watch.lease_changed()).await?;
    assert!(released_at.elapsed() < Duration::from_secs(3), "hinted after {:?}", released_at.elapsed());
    let freed = two.look().await.expect("freed");
    assert_eq!((freed.holder, freed.version.term), (None, term));
    assert_ne!(freed.version, held, "the sequence number moves, so that every watcher notices");
    assert_eq!(two.acquire(freed.version).await, Answer::Applied);
    cancel.cancel();
    task.await?;
    Ok(())
}

#[tokio::test]
async fn the_lease_of_a_dead_process_is_given_back_by_its_id_alone() -> Result<()> {
    let database = fresh().await?;
    let (one, two) = (Party::new(1, &database.uri).await?, Party::new(2, &database.uri).await?);
    let term = one.take().await;
    assert!(!release_by_holder(&two.store, two.id, two.session, LIMIT).await?, "two holds nothing");
    assert_eq!(one.renew(term).await, Answer::Applied);
    assert!(release_by_holder(&two.store, one.id, one.session, LIMIT).await?);
    assert_eq!(one.renew(term).await, Answer::Refused);
    let outside = Outside::of(&database).await?;
    let lease = outside.one("leases", doc! { "_id": "leader" }).await?;
    assert_eq!(lease.get_document("released")?.get_str("reason")?, EndReason::Crashed.name());
    assert_eq!(lease.get("holder"), Some(&Bson::Null));
    Ok(())
}

#[tokio::test]
async fn without_a_majority_nothing_is_certain_and_what_was_unknown_can_come_true() -> Result<()> {
    let set = ReplicaSet::start(Settings::members(3).election_timeout(Duration::from_secs(30))).await?;
    let party = Party::new(1, &set.uri("majority")).await?;
    let term = party.take().await;
    let before = party.look().await.expect("held").version;
    let primary = set.wait_for_primary(LIMIT).await?;
    let secondaries: Vec<_> =
        set.members().iter().enumerate().filter(|(index, _)| *index != primary).map(|(_, m)| m).collect();
    for secondary in &secondaries {
        secondary.pause()?;
    }
    let limit = TTL / 5 + Duration::from_millis(200);
    for _ in 0..2 {
        let asked = Instant::now();
        let renewed = tokio::time::timeout(limit, party.renew_in_time(term)).await;
        assert!(!matches!(renewed, Ok(Answer::Applied | Answer::Refused)), "{renewed:?}");
        let looked = tokio::time::timeout(limit, party.execute(Command::Look)).await;
        let Ok(Answer::Seen(Some(looked))) = looked else {
            anyhow::bail!("a look waits for nobody: {looked:?}")
        };
        assert_eq!(looked.version, before, "a look shows what a majority has");
        assert!(asked.elapsed() < 3 * limit);
    }
    for secondary in &secondaries {
        secondary.resume()?;
    }
    set.wait_healthy(Duration::from_secs(30)).await?;
    let after = party.look().await.expect("held");
    assert!(after.version.seq > before.seq, "the unknown renewals were made after all");
    assert_eq!(after.holder, Some(party.id));
    Ok(())
}

#[tokio::test]
async fn a_call_into_silence_is_unknown_and_ends_within_its_limit() -> Result<()> {
    let database = fresh().await?;
    let relay = Relay::start(shared().await?.set(), 41)?;
    let party = Party::new(1, &relay.uri(&database.name)).await?;
    let term = party.take().await;
    relay.cut();
    assert_eq!(tokio::time::timeout(TTL, party.renew_in_time(term)).await?, Answer::Unknown);
    relay.heal();
    let deadline = Instant::now() + LIMIT;
    while party.renew(term).await != Answer::Applied {
        assert!(Instant::now() < deadline, "not renewed after the silence");
    }
    Ok(())
}

#[tokio::test]
async fn where_answers_are_lost_no_renewal_follows_the_first() -> Result<()> {
    let database = fresh().await?;
    let outside = Outside::of(&database).await?;
    let relay = Relay::start(shared().await?.set(), 46)?;
    let party = Party::new(1, &relay.uri(&database.name)).await?;
    let term = party.take().await;
    let seq = async || Ok::<i64, anyhow::Error>(outside.one("leases", doc! {}).await?.get_i64("seq")?);
    // On several connections, each of which could carry one more.
    let looks = tokio::join!(party.look(), party.look(), party.look());
    assert!(looks.0.is_some() && looks.1.is_some() && looks.2.is_some());
    let before = seq().await?;
    relay.deafen();
    for _ in 0..3 {
        // As whoever holds the lease gives up.
        let renewed = tokio::time::timeout(TTL / 5, party.renew_in_time(term)).await;
        assert!(!matches!(renewed, Ok(Answer::Applied | Answer::Refused)), "{renewed:?}");
    }
    assert_eq!(seq().await?, before + 1, "the others would wait as long as there are connections");
    relay.heal();
    let deadline = Instant::now() + LIMIT;
    while party.renew(term).await != Answer::Applied {
        assert!(Instant::now() < deadline, "not renewed when answers came again");
    }
    Ok(())
}
