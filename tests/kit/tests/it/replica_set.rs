//! Three members lose and find their primary.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kontena_testkit::mongod::{ReplicaSet, Settings, client};

use crate::{SOON, ping};

const ELECTION: Duration = Duration::from_millis(1650);

fn three() -> Settings {
    Settings::members(3).election_timeout(ELECTION)
}

#[tokio::test]
async fn starts_with_one_primary() -> Result<()> {
    let begin = Instant::now();
    // Spawned, because that asks of it to work on any thread.
    let set = tokio::spawn(ReplicaSet::start(Settings::members(3))).await??;
    println!("three members healthy after {:?}", begin.elapsed());
    assert_eq!(set.members().len(), 3);
    assert!(set.primary().await.is_some());
    Ok(())
}

#[tokio::test]
async fn elects_another_when_the_primary_is_killed() -> Result<()> {
    let set = ReplicaSet::start(three()).await?;
    let first = set.primary().await.context("no primary")?;
    set.members()[first].kill()?;
    assert!(set.members()[first].pid().is_none());
    let second = set.wait_for_primary(SOON).await?;
    assert_ne!(first, second);

    set.members()[first].restart().await?;
    set.wait_healthy(SOON).await
}

#[tokio::test]
async fn elects_another_when_the_primary_is_frozen() -> Result<()> {
    let set = ReplicaSet::start(three()).await?;
    let first = set.primary().await.context("no primary")?;
    set.members()[first].pause()?;
    let second = set.wait_for_primary(SOON).await?;
    assert_ne!(first, second);

    set.members()[first].resume()?;
    set.wait_healthy(SOON).await?;
    let client = client(&set.members()[first])?;
    // What reached no other member it takes back once it is a secondary, and ends its connections for that.
    let deadline = Instant::now() + SOON;
    while let Err(error) = ping(&client).await {
        if Instant::now() > deadline {
            return Err(error.context("the member that was frozen does not answer"));
        }
    }
    client.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn elects_another_when_the_primary_steps_down() -> Result<()> {
    let set = ReplicaSet::start(three()).await?;
    let first = set.primary().await.context("no primary")?;
    set.step_down(5).await?;
    assert_ne!(first, set.wait_for_primary(SOON).await?);
    Ok(())
}
