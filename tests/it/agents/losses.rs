//! Who does not come back is given up, and not before it had time to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kontena_testkit::agent::{Agent, Dial, dial};
use mongodb::bson::{Bson, doc};
use tokio::time::sleep;

use super::{POLL, Stage, eventually};

const SOON: Duration = Duration::from_secs(10);
/// Less than an agent may take to come back.
const EARLY: Duration = Duration::from_secs(8);
/// Longer than an agent may take, a duty's pace and a heartbeat or two.
const LATE: Duration = Duration::from_secs(45);

#[tokio::test]
async fn nodes_of_an_agent_or_a_master_that_is_gone_are_given_up_after_a_while() -> Result<()> {
    let mut stage = Stage::set().await?;
    let second = crate::process::start("second", &stage.database).await?;
    super::ready(&second).await?;
    // One agent goes; another is on a master that goes.
    let mut settings = stage.agent(1);
    settings.masters = vec![super::address(&second)];
    let agent = Agent::start(settings);
    let containers = async |filter| stage.outside.count("containers", filter).await;
    eventually("its containers", async || Ok(containers(doc! {}).await? == 2)).await?;
    let mut orphan = dial(&Dial::agent(&stage.agent(2), &super::address(&stage.master), 0.0)).await?;
    orphan.expect(SOON).await?;
    drop(agent);
    stage.master.kill()?;
    stage.master.release_lease()?;
    let lost_at = Instant::now();
    let node = async |name: &str| stage.outside.one("host_nodes", doc! { "name": name }).await;
    eventually("an offline node", async || Ok(!node("node-1").await?.get_bool("connected")?)).await?;
    while lost_at.elapsed() < EARLY {
        assert!(node("node-2").await?.get_bool("connected")?, "offline since its master died");
        assert_eq!(stage.outside.count("containers", doc! { "deleted_at": Bson::Null }).await?, 2);
        sleep(POLL * 10).await;
    }
    let deadline = lost_at + LATE;
    loop {
        let deleted = stage.outside.count("containers", doc! { "deleted_at": { "$ne": Bson::Null } }).await?;
        let (first, orphaned) = (node("node-1").await?, node("node-2").await?);
        if deleted == 2 && !orphaned.get_bool("connected")? && first.get("session_lost_at").is_none() {
            orphaned.get_datetime("disconnected_at").context("no time of the loss")?;
            assert!(orphaned.get("master_id").is_none());
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "{deleted} deleted, {first}, {orphaned}");
        sleep(POLL * 10).await;
    }
}

#[tokio::test]
async fn a_session_that_was_ended_by_mistake_is_claimed_anew() -> Result<()> {
    let stage = Stage::set().await?;
    let mut connection = dial(&stage.dial()).await?;
    connection.expect(SOON).await?;
    // So that the next ping comes before the leader gives the node up.
    sleep(Duration::from_secs(15)).await;
    // As another master does that took this one for dead.
    let ended = doc! {
        "$set": { "connected": false }, "$currentDate": { "session_lost_at": true }, "$unset": { "master_id": "" },
    };
    stage.outside.collection("host_nodes").update_one(doc! { "name": "node-1" }, ended).await?;
    let held = tokio::spawn(async move { connection.expect_close(LATE).await });
    let deadline = Instant::now() + LATE;
    loop {
        let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
        if node.get_bool("connected")? {
            assert_eq!(node.get_i64("session_epoch")?, 2);
            assert!(node.get_str("master_id").is_ok() && node.get("session_lost_at").is_none());
            break;
        }
        anyhow::ensure!(Instant::now() < deadline, "not claimed: {node}");
        sleep(POLL * 10).await;
    }
    assert!(!held.is_finished(), "the agent was sent away");
    held.abort();
    Ok(())
}
