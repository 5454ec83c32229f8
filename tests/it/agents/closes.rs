//! How connections end that agents or the line between end, and what is noted of it with the node.

use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::SinkExt;
use kontena_testkit::agent::{Connection, dial};
use kontena_wire::rpc::MESSAGE_MAX;
use mongodb::bson::doc;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use super::{Stage, eventually};

const SOON: Duration = Duration::from_secs(10);

/// Ends a fresh connection in some way; what is noted of it, and what the agent is told.
async fn ended_by(
    stage: &Stage,
    end: impl AsyncFnOnce(&mut Connection) -> Result<()>,
) -> Result<((i32, String), Option<(u16, String)>)> {
    let mut connection = dial(&stage.dial()).await?;
    connection.expect(SOON).await?;
    connection.expect(SOON).await?;
    end(&mut connection).await?;
    let told = connection.expect_close(SOON).await.ok();
    let mut noted = None;
    eventually("the end of the connection", async || {
        let node = stage.outside.one("host_nodes", doc! {}).await?;
        let websocket = node.get_document("websocket_connection")?;
        noted = websocket
            .get_i32("close_code")
            .ok()
            .zip(websocket.get_str("close_reason").ok().map(str::to_owned));
        Ok(!node.get_bool("connected")? && noted.is_some())
    })
    .await?;
    Ok((noted.context("nothing noted")?, told))
}

/// The head of a frame of a client, whose mask is zero.
fn head(opcode: u8, length: u64) -> Vec<u8> {
    let mut head = vec![0x80 | opcode, 0x80 | 127];
    head.extend(length.to_be_bytes());
    head.extend([0; 4]);
    head
}

#[tokio::test]
async fn the_end_that_an_agent_gives_is_noted() -> Result<()> {
    let stage = Stage::set().await?;
    let frame = CloseFrame { code: CloseCode::Away, reason: "the host shuts down".into() };
    let (noted, _) =
        ended_by(&stage, async |agent| Ok(agent.socket.send(Message::Close(Some(frame))).await?)).await?;
    assert_eq!(noted, (1001, "the host shuts down".to_owned()));
    // Without a code it counts as a usual end.
    let (noted, _) =
        ended_by(&stage, async |agent| Ok(agent.socket.send(Message::Close(None)).await?)).await?;
    assert_eq!(noted, (1000, String::new()));
    let (noted, _) = ended_by(&stage, async |agent| Ok(agent.socket.get_mut().shutdown().await?)).await?;
    assert_eq!(noted.0, 1006);
    Ok(())
}

#[tokio::test]
async fn what_breaks_the_protocol_is_told_by_its_code() -> Result<()> {
    let stage = Stage::set().await?;
    let send = async |bytes: Vec<u8>| {
        ended_by(&stage, async |agent| Ok(agent.socket.get_mut().write_all(&bytes).await?)).await
    };
    let too_large = (1009, "WebSocket frame length too large".to_owned());
    let (noted, told) = send(head(2, u64::try_from(MESSAGE_MAX)? + 1)).await?;
    assert_eq!((noted.0, noted.1.as_str()), (1009, "WebSocket frame length too large"));
    assert_eq!(told, Some(too_large));
    // An opcode that is reserved; a text that is none.
    let (noted, told) = send(head(3, 0)).await?;
    assert_eq!((noted.0, told.map(|told| told.0)), (1002, Some(1002)));
    let mut text = head(1, 2);
    text.extend([0xff, 0xfe]);
    let (noted, told) = send(text).await?;
    assert_eq!((noted.0, told.map(|told| told.0)), (1007, Some(1007)));
    Ok(())
}
