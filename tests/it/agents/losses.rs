//! Who does not come back is given up, and not before it had time to.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kontena_testkit::agent::{Agent, Dial, dial};
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::shared;
use kontena_testkit::relay::{Hold, Relay};
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
    end_by_mistake(&stage).await?;
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

#[tokio::test]
async fn a_claim_whose_answer_is_lost_does_not_end_the_agent() -> Result<()> {
    let database = shared().await?.database();
    let relay = Relay::start(shared().await?.set(), 47)?;
    let master = Master::start(Settings::new("only", relay.uri(&database.name))).await?;
    let stage = Stage::around(master, database).await?;
    let mut connection = dial(&stage.dial()).await?;
    connection.expect(SOON).await?;
    // The filter of the claim, which nothing else says: a document of ten bytes, with a null.
    relay.cut_at("session_lost_at\0\n\0\0\0\n$ne", Hold::Reply);
    end_by_mistake(&stage).await?;
    let mut held = tokio::spawn(async move { connection.expect_close(LATE * 4).await });
    relay.was_cut().await;
    let node = async || stage.outside.one("host_nodes", doc! { "name": "node-1" }).await;
    eventually("the claim", async || Ok(node().await?.get_i64("session_epoch")? == 2)).await?;
    // Its answer is lost with the connection.
    relay.close();
    relay.heal();
    let said = "a session had been claimed anew without an answer";
    // At the next ping, or at one after it, if the database does not answer in time then.
    let deadline = Instant::now() + LATE * 3;
    while !fs::read_to_string(stage.master.log_file())?.contains(said) {
        if held.is_finished() {
            anyhow::bail!("the agent was sent away: {:?}", (&mut held).await);
        }
        anyhow::ensure!(Instant::now() < deadline, "the claim was not noticed: {}", node().await?);
        sleep(POLL * 10).await;
    }
    assert!(node().await?.get_bool("connected")?);
    assert!(!held.is_finished(), "the agent was sent away");
    held.abort();
    Ok(())
}

/// As another master does that took the one of the only agent for dead; and so that the next ping comes before the
/// leader gives the node up.
async fn end_by_mistake(stage: &Stage) -> Result<()> {
    sleep(Duration::from_secs(15)).await;
    let ended = doc! {
        "$set": { "connected": false }, "$currentDate": { "session_lost_at": true }, "$unset": { "master_id": "" },
    };
    stage.outside.collection("host_nodes").update_one(doc! { "name": "node-1" }, ended).await?;
    Ok(())
}
