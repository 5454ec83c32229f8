//! A leader is stopped at each point of a batch, another takes over, then the first goes on: nothing of its term
//! takes effect any more.

use std::time::Duration;

use anyhow::Result;
use futures_util::TryStreamExt;
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::shared;
use kontena_testkit::relay::{Hold, Relay};
use mongodb::bson::{Document, doc};
use tokio::time::sleep;

use crate::process::acting;
use crate::store::Outside;

/// The commands of a batch, in their order: named as they appear on the wire, with what else tells them apart.
const POINTS: [(&str, Hold); 6] = [
    // The effects: `insert: "probe"`.
    ("insert\0\u{6}\0\0\0probe\0", Hold::Request),
    ("insert\0\u{6}\0\0\0probe\0", Hold::Reply),
    // The touch of the fence: `update: "fences"`. A raise looks the same, but is over by then.
    ("update\0\u{7}\0\0\0fences\0", Hold::Request),
    ("update\0\u{7}\0\0\0fences\0", Hold::Reply),
    ("commitTransaction", Hold::Request),
    ("commitTransaction", Hold::Reply),
];

#[tokio::test]
async fn a_leader_stopped_anywhere_in_a_batch_commits_nothing_after_the_take_over() -> Result<()> {
    let database = shared().await?.database();
    let relay = Relay::start(shared().await?.set(), 43)?;
    let mut settings = Settings::new("stopped", relay.uri(&database.name));
    settings.probe_every = Some(Duration::from_millis(5));
    let stopped = Master::start(settings).await?;
    let mut settings = Settings::new("successor", &database.uri);
    settings.probe_every = Some(Duration::from_millis(5));
    let successor = Master::start(settings).await?;
    let outside = Outside::of(&database).await?;
    let (leader, mut term) = acting(&[&stopped, &successor], 1).await?;
    if leader != 0 {
        term = hand_over(&successor, &stopped, term).await?;
    }
    for (needle, hold) in POINTS {
        sleep(Duration::from_millis(300)).await;
        relay.cut_at(needle, hold);
        tokio::time::timeout(Duration::from_secs(5), relay.was_cut()).await?;
        stopped.pause()?;
        let (_, next) = acting(&[&successor], term + 1).await?;
        let before = count(&outside, term).await?;
        // Whatever was held back arrives, and the process goes on where it stood.
        relay.heal();
        sleep(Duration::from_millis(200)).await;
        stopped.resume()?;
        sleep(Duration::from_millis(1500)).await;
        let after = count(&outside, term).await?;
        assert_eq!(
            before, after,
            "rows of term {term} were written after the take-over, at {needle:?} {hold:?}"
        );
        assert_eq!(stopped.acting_term().await, None);
        assert_eq!(torn(&outside).await?, 0, "at {needle:?} {hold:?}");
        term = hand_over(&successor, &stopped, next).await?;
    }
    Ok(())
}

/// Makes `to` the leader, and returns its term.
async fn hand_over(from: &Master, to: &Master, term: u64) -> Result<u64> {
    // The successor must have been heard of.
    for _ in 0..50 {
        if from.run(&["step-down"])?.status.success() {
            return Ok(acting(&[to], term + 1).await?.1);
        }
        sleep(Duration::from_millis(100)).await;
    }
    anyhow::bail!("{} does not step down:\n{}", from.name(), from.log_tail())
}

async fn count(outside: &Outside, term: u64) -> Result<u64> {
    outside.count("probe", doc! { "term": i64::try_from(term)? }).await
}

/// How many batches have not all of their three rows.
async fn torn(outside: &Outside) -> Result<usize> {
    let pipeline = [
        doc! { "$group": { "_id": { "term": "$term", "batch": "$batch" }, "rows": { "$sum": 1 } } },
        doc! { "$match": { "rows": { "$ne": 3 } } },
    ];
    let torn: Vec<Document> = outside.collection("probe").aggregate(pipeline).await?.try_collect().await?;
    Ok(torn.len())
}
