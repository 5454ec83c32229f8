//! The life of a session: pings both ways, its end by each of the parties, and what is noted of it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kontena_testkit::agent::{Agent, Dial, Temper, dial};
use kontena_testkit::master::{self, Master};
use kontena_testkit::mongod::shared;
use kontena_testkit::relay::{Hold, Relay};
use kontena_wire::rpc::{self, Value, map};
use mongodb::bson::{Bson, doc};

use super::{Stage, eventually, peak_kib};

const SOON: Duration = Duration::from_secs(10);
const A_PING_LATER: Duration = Duration::from_secs(40);

#[tokio::test]
async fn an_agent_that_leaves_is_noted_and_its_containers_stay_for_a_while() -> Result<()> {
    let stage = Stage::set().await?;
    let agent = Agent::start(stage.agent(1));
    eventually("its containers", async || Ok(stage.outside.count("containers", doc! {}).await? == 2)).await?;
    agent.stop();
    drop(agent);
    eventually("an offline node", async || {
        let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
        Ok(!node.get_bool("connected")? && node.get_datetime("disconnected_at").is_ok())
    })
    .await?;
    let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
    assert_eq!(node.get_document("websocket_connection")?.get_i32("close_code")?, 1006);
    assert_eq!(stage.outside.count("containers", doc! { "deleted_at": Bson::Null }).await?, 2);
    // It comes back as the same node, with a higher epoch.
    let agent = Agent::start(stage.agent(1));
    eventually("an online node", async || {
        let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
        Ok(node.get_bool("updated")? && node.get_i64("session_epoch")? == 2)
    })
    .await?;
    assert_eq!(agent.record().faults(), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn a_newer_connection_of_the_same_node_supersedes_the_older() -> Result<()> {
    let stage = Stage::set().await?;
    let mut older = dial(&stage.dial()).await?;
    older.expect(SOON).await?;
    let mut newer = dial(&stage.dial()).await?;
    newer.expect(SOON).await?;
    let (code, reason) = older.expect_close(SOON).await?;
    assert_eq!(code, 4041);
    assert!(reason.starts_with("host node node-1 connection conflict with new connection at 20"), "{reason}");
    drop(older);
    let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
    assert!(node.get_bool("connected")?, "the end of the older one is not the end of the newer");
    assert_eq!(node.get_i64("session_epoch")?, 2);
    Ok(())
}

#[tokio::test]
async fn a_connection_that_was_made_earlier_and_comes_later_does_not_supersede() -> Result<()> {
    let stage = Stage::set().await?;
    let address = super::address(&stage.master);
    let mut connection = dial(&stage.dial()).await?;
    connection.expect(SOON).await?;
    // As one that a host was cut off with, and whose request arrives once it is back.
    let mut late = dial(&Dial::agent(&stage.agent(1), &address, -3.0)).await?;
    let (code, reason) = late.expect_close(SOON).await?;
    assert_eq!((code, reason.as_str()), (1001, "another connection of this node was let in"));
    let quiet = connection.expect_close(A_PING_LATER).await;
    assert!(quiet.is_err(), "the one that lives was ended: {quiet:?}");
    let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
    assert_eq!(node.get_i64("session_epoch")?, 1);
    // Where none lives, a clock that was set back a little keeps nobody out.
    let ahead = dial(&Dial::agent(&stage.agent(2), &address, 0.5)).await?;
    drop(ahead);
    eventually("an offline node", async || {
        let node = stage.outside.one("host_nodes", doc! { "name": "node-2" }).await?;
        Ok(!node.get_bool("connected")? && node.get_i64("session_epoch")? == 1)
    })
    .await?;
    let mut back = dial(&Dial::agent(&stage.agent(2), &address, -5.0)).await?;
    back.expect(SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_removed_node_and_a_disconnected_one_are_told_after_the_next_ping() -> Result<()> {
    let stage = Stage::set().await?;
    let address = super::address(&stage.master);
    let mut ends = Vec::new();
    for number in [1, 2, 3] {
        let dialed = kontena_testkit::agent::Dial::agent(&stage.agent(number), &address, 0.0);
        let mut connection = dial(&dialed).await?;
        connection.expect(SOON).await?;
        ends.push(tokio::spawn(async move { connection.expect_close(A_PING_LATER).await }));
    }
    let nodes = stage.outside.collection("host_nodes");
    nodes.delete_one(doc! { "name": "node-1" }).await?;
    let reset = doc! { "$set": { "connected": false } };
    nodes.update_one(doc! { "name": "node-2" }, reset).await?;
    // Accepted by another master meanwhile.
    let moved = doc! { "$inc": { "session_epoch": 1_i64 }, "$set": { "master_id": "00".repeat(16) } };
    nodes.update_one(doc! { "name": "node-3" }, moved).await?;
    let mut closes = Vec::new();
    for end in ends {
        closes.push(end.await??);
    }
    assert_eq!(closes[0].0, 4040);
    assert_eq!(closes[0].1, format!("host node {} has been removed", stage.agent(1).node_id));
    assert_eq!(closes[1], (4031, "host node node-2 has been disconnected".to_owned()));
    assert_eq!(closes[2].0, 4041, "{}", closes[2].1);
    Ok(())
}

#[tokio::test]
async fn pings_are_answered_and_asked_and_who_is_silent_is_let_go() -> Result<()> {
    let stage = Stage::set().await?;
    let mut settings = stage.agent(1);
    settings.ping_every = Duration::from_millis(500);
    let agent = Agent::start(settings);
    eventually("answered pings", async || Ok(agent.record().ping_ms().len() >= 3)).await?;
    assert_eq!(agent.record().late_pings(), 0);
    let mut silent = stage.agent(2);
    silent.temper = Temper::Silent;
    let begun = Instant::now();
    let _silent = Agent::start(silent);
    let deadline = begun + A_PING_LATER;
    loop {
        let node = stage.outside.one("host_nodes", doc! { "name": "node-2" }).await;
        if let Ok(node) = &node
            && !node.get_bool("connected")?
        {
            let noted = node.get_document("websocket_connection")?;
            assert_eq!(noted.get_i32("close_code")?, 4030);
            assert!(noted.get_str("close_reason")?.starts_with("ping timeout after 5."), "{noted}");
            break;
        }
        anyhow::ensure!(Instant::now() < deadline, "the silent agent is still connected");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
    assert!(node.get_bool("connected")?);
    assert!(node.get_datetime("last_seen_at")? > node.get_datetime("connected_at").context("no time")?);
    Ok(())
}

#[tokio::test]
async fn hostile_frames_cost_the_master_little_and_the_others_nothing() -> Result<()> {
    let stage = Stage::set().await?;
    let faithful = Agent::start(stage.agent(1));
    let mut hostile = stage.agent(2);
    hostile.temper = Temper::Hostile;
    let hostile: Vec<Agent> = (2..6)
        .map(|number| {
            let mut settings = stage.agent(number);
            settings.temper = Temper::Hostile;
            Agent::start(settings)
        })
        .collect();
    eventually("all of them", async || {
        Ok(stage.outside.count("host_nodes", doc! { "connected": true, "updated": true }).await? == 5)
    })
    .await?;
    let peak = peak_kib(&stage.master)?;
    assert!(peak < 200 << 10, "the master's memory rose to {peak} KiB");
    assert_eq!(faithful.record().faults(), Vec::<String>::new());
    drop(hostile);
    Ok(())
}

#[tokio::test]
async fn a_master_that_stops_sends_its_agents_elsewhere_and_reports_nobody_offline() -> Result<()> {
    let mut stage = Stage::set().await?;
    let second = crate::process::start("second", &stage.database).await?;
    super::ready(&second).await?;
    let mut settings = stage.agent(1);
    let agent_there = {
        settings.masters = vec![super::address(&stage.master)];
        let mut settings = settings.clone();
        settings.masters.push(super::address(&second));
        settings
    };
    // On the first master to begin with.
    let mut connection = dial(&stage.dial()).await?;
    connection.expect(SOON).await?;
    let stopped = stage.master.stop(SOON);
    let closed = connection.expect_close(SOON);
    let (stopped, closed) = tokio::join!(stopped, closed);
    assert!(stopped?.success());
    assert_eq!(closed?.0, 1001);
    let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
    assert!(node.get_bool("connected")?, "it was sent away, and is not offline for it");
    assert!(node.get_str("master_id").is_err());
    let agent = Agent::start(agent_there);
    eventually("a node on the second master", async || {
        let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
        Ok(node.get_bool("updated")? && node.get_i64("session_epoch")? == 2)
    })
    .await?;
    assert!(agent.record().faults().is_empty());
    Ok(())
}

/// They come in after all others were sent away, with calls that a master that stops cannot carry out any more.
#[tokio::test]
async fn a_master_that_stops_is_not_held_up_by_agents_that_it_was_letting_in() -> Result<()> {
    // On a slow machine they may be too late, and are told so.
    for _ in 0..20 {
        if stop_while_letting_in().await? > 0 {
            return Ok(());
        }
    }
    anyhow::bail!("nobody was being let in")
}

/// How many were.
async fn stop_while_letting_in() -> Result<usize> {
    let (set, database) = (shared().await?.set(), shared().await?.database());
    let relay = Relay::start(set, 44)?;
    let master = Master::start(master::Settings::new("only", relay.uri(&database.name))).await?;
    let mut stage = Stage::around(master, database).await?;
    let mut early = dial(&stage.dial()).await?;
    early.expect(SOON).await?;
    let late: Vec<_> = (2..=5).map(|number| stage.agent(number)).collect();
    relay.cut_at(&late[0].node_id, Hold::Request);
    let address = super::address(&stage.master);
    let late: Vec<_> = late
        .into_iter()
        .map(|settings| {
            let dialled = Dial::agent(&settings, &address, 0.0);
            tokio::spawn(async move { talk_until_closed(&dialled, &settings.node_id).await })
        })
        .collect();
    relay.was_cut().await;
    let log = stage.master.log_file();
    let healing = async {
        let told = || Ok(std::fs::read_to_string(&log)?.contains("sending the agents elsewhere"));
        eventually("agents sent elsewhere", async || told()).await?;
        relay.heal();
        anyhow::Ok(())
    };
    // Dropped once it is closed, as by an agent that goes elsewhere.
    let leaving = async move { early.expect_close(2 * SOON).await };
    let (stopped, healed, closed) = tokio::join!(stage.master.stop(2 * SOON), healing, leaving);
    healed?;
    assert!(stopped?.success());
    assert_eq!(closed?.0, 1001);
    // The others asked a moment later, and were answered that it stops.
    let mut let_in = 0;
    for talk in late {
        let_in += usize::from(matches!(talk.await?, Ok((1001, _))));
    }
    Ok(let_in)
}

/// Tells of a container again and again; returns the close frame.
async fn talk_until_closed(dialled: &Dial, node_id: &str) -> Result<(u16, String)> {
    let mut connection = dial(dialled).await?;
    let mut pause = tokio::time::interval(Duration::from_millis(100));
    loop {
        tokio::select! {
            heard = connection.next() => if let Err(closed) = heard? {
                return Ok(closed);
            },
            _ = pause.tick() => {
                let container = map([("Id", Value::from("c1")), ("Name", Value::from("/a container"))]);
                let body = map([("node", Value::from(node_id)), ("container", container)]);
                let message = rpc::Message::notification("/containers/save", vec![body]);
                // Whether it is closed is told by what is heard.
                let _told = connection.send(message).await;
            }
        }
    }
}
