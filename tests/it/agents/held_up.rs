//! One agent that takes nothing, and one command that writes more than can be passed on: both are nobody else's trouble, and
//! nobody waits for ever.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kontena_core::id::Id;
use kontena_server::ExecEvent;
use kontena_testkit::agent::{Agent, Dial};
use kontena_wire::agent::outbound;
use mongodb::bson::doc;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::bus::{Inside, agent_elsewhere, node, run};
use super::{Stage, eventually};

/// What one message that an agent does not take once cost all others, and less than what a session that writes in vain
/// lasts (10 s).
const HELD_UP: Duration = Duration::from_secs(5);
/// For a command of which everything arrives, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// An agent that is let in and then reads nothing, behind a line that holds little.
async fn deaf(dial: &Dial) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4 << 10)?;
    let mut stream = socket.connect(dial.master.parse()?).await?;
    let mut request = format!(
        "GET / HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        dial.master
    );
    for (name, value) in &dial.headers {
        write!(request, "{name}: {value}\r\n")?;
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}

#[tokio::test]
async fn an_agent_that_reads_nothing_holds_up_nobody_else() -> Result<()> {
    let stage = Stage::set().await?;
    let silent = deaf(&stage.dial()).await?;
    let agent = Agent::start(stage.agent(2));
    eventually("two nodes", async || {
        let online = doc! { "connected": true };
        Ok(stage.outside.count("host_nodes", online).await? == 2 && agent.record().connected() == 1)
    })
    .await?;
    let other = Inside::start(&stage.database.uri, 1).await?;
    let (deaf_node, node) = (node(&stage, "node-1").await?, node(&stage, "node-2").await?);
    // More than the line holds, and then more than may wait for a session.
    let large = "x".repeat(1_000_000);
    for _ in 0..6 {
        other.agents.notify(deaf_node, outbound::exec_input("none", Some(&large))).await?;
    }
    for _ in 0..100 {
        other.agents.notify(deaf_node, outbound::exec_input("none", Some("x"))).await?;
    }
    let begun = Instant::now();
    other.agents.request(node, outbound::etcd_health()).await?;
    // The same for what the nodes of a grid are told.
    let grid = stage.outside.one("grids", doc! {}).await?;
    other.agents.announce_grid(Id::from_bytes(grid.get_object_id("_id")?.bytes())).await;
    eventually("what was told", async || {
        Ok(agent.record().calls().get("/agent/node_info").copied().unwrap_or(0) >= 2)
    })
    .await?;
    assert!(begun.elapsed() < HELD_UP, "it took {:?}", begun.elapsed());
    drop(silent);
    other.end().await
}

#[tokio::test]
async fn output_that_is_lost_on_its_way_ends_the_command_for_its_reader() -> Result<()> {
    const PIECES: usize = 100_000;
    let (_stage, here, elsewhere, node) = agent_elsewhere().await?;
    let count = PIECES.to_string();
    let command = ["flood", count.as_str()];
    let ran = tokio::time::timeout(PATIENCE, run(&here.agents, node, &command)).await;
    let (output, end) = ran.context("it neither goes on nor ends")??;
    let expected: Vec<u8> = (0..PIECES).flat_map(|piece| format!("{piece}\n").into_bytes()).collect();
    // All of it, or its beginning and why there is no more.
    match end {
        ExecEvent::Exit(0) => assert!(output == expected, "{} of {} bytes", output.len(), expected.len()),
        ExecEvent::Error(why) => assert!(expected.starts_with(&output), "a gap, and then: {why}"),
        other => bail!("it ended with {other:?}"),
    }
    eventually("the end of the session at its agent", async || {
        Ok(elsewhere.record().calls().contains_key("/containers/terminate_exec"))
    })
    .await?;
    assert_eq!(elsewhere.record().faults(), Vec::<String>::new());
    here.end().await
}
