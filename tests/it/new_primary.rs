//! What was acknowledged must show in every read that begins later, also when the database has another primary.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kontena_core::id::Id;
use kontena_store::Purpose;
use kontena_testkit::mongod::{ReplicaSet, Settings};
use tokio::time::sleep;

use crate::store::open;

const ROUNDS: u64 = 5;
/// How much each of those who write has written before the primary dies.
const ENOUGH: u64 = 20;
/// How many write at the same time.
const WRITERS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(60);
/// For how long after the first answer of the new primary is read again.
const AFTER: Duration = Duration::from_millis(500);
const GRID: Id = Id::from_bytes([7; 12]);

#[tokio::test(flavor = "multi_thread")]
async fn a_read_shows_what_was_acknowledged_before_the_primary_died() -> Result<()> {
    let set = ReplicaSet::start(Settings::members(3).election_timeout(Duration::from_secs(1))).await?;
    let uri = set.uri("new_primary");
    let (writing, reading) = (open(&uri, Purpose::Main).await?, open(&uri, Purpose::Main).await?);
    let mut missing = Vec::new();
    for round in 1..=ROUNDS {
        let last: Vec<_> = (0..WRITERS).map(|_| Arc::new(AtomicU64::new(0))).collect();
        let mut writers = Vec::new();
        for (writer, last) in last.iter().enumerate() {
            let (store, last) = (writing.clone(), Arc::clone(last));
            writers.push(tokio::spawn(async move {
                for number in 1.. {
                    let name = format!("made-{round}-{writer}-{number}");
                    if store.grid_secrets().create(GRID, &name, "value").await.is_err() {
                        return;
                    }
                    last.store(number, Ordering::SeqCst);
                }
            }));
        }
        let deadline = Instant::now() + PATIENCE;
        while last.iter().any(|last| last.load(Ordering::SeqCst) < ENOUGH) {
            ensure!(Instant::now() < deadline, "nothing can be written");
            sleep(Duration::from_millis(10)).await;
        }
        let primary = set.primary().await.context("no primary")?;
        set.members()[primary].kill()?;
        for writer in &writers {
            writer.abort();
        }
        let acknowledged: Vec<String> = last
            .iter()
            .enumerate()
            .map(|(writer, last)| format!("made-{round}-{writer}-{}", last.load(Ordering::SeqCst)))
            .collect();
        let deadline = Instant::now() + PATIENCE;
        let mut answered: Option<Instant> = None;
        while answered.is_none_or(|first| first.elapsed() < AFTER) {
            ensure!(Instant::now() < deadline, "nothing can be read");
            for name in &acknowledged {
                match reading.grid_secrets().by_name(GRID, name).await {
                    Ok(Some(_)) => drop(answered.get_or_insert_with(Instant::now)),
                    Ok(None) => {
                        answered.get_or_insert_with(Instant::now);
                        missing.push(name.clone());
                    }
                    Err(_) => sleep(Duration::from_millis(5)).await,
                }
            }
        }
        set.members()[primary].restart().await?;
        set.wait_healthy(PATIENCE).await?;
    }
    missing.sort_unstable();
    missing.dedup();
    ensure!(missing.is_empty(), "not shown: {missing:?}");
    Ok(())
}
