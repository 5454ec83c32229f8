//! Commands in a container through a load balancer, over a WebSocket as the command line opens it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use kontena_testkit::tls::{Line, Trust, connect};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::rig::PATIENCE;

/// A container of the first agent that is nobody's pod.
const PATH: &str = "/v1/containers/grid-1/node-0/node-0-own-0/exec";
const ANSWER: Duration = Duration::from_secs(20);

/// Where commands are run, and as whom.
pub(super) struct Shell<'a> {
    pub(super) address: String,
    pub(super) trust: &'a Trust,
    pub(super) token: &'a str,
}

/// An open conversation with a `cat`.
pub(super) struct Cat(WebSocketStream<Line>);

impl Shell<'_> {
    async fn open(&self, query: &str) -> Result<WebSocketStream<Line>> {
        let line = connect(&self.address, Some(self.trust)).await?;
        let request = Request::builder()
            .uri(format!("wss://{}{PATH}{query}", self.address))
            .header("Host", &self.address)
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Key", generate_key())
            .header("Sec-WebSocket-Version", "13")
            .header("Authorization", format!("Bearer {}", self.token));
        Ok(tokio_tungstenite::client_async(request.body(())?, line).await?.0)
    }

    /// Runs a command to its end. Its agent may be on its way to another master.
    pub(super) async fn echo(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.try_echo().await {
                Ok(()) => return Ok(()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => sleep(Duration::from_millis(200)).await,
            }
        }
    }

    async fn try_echo(&self) -> Result<()> {
        let mut socket = self.open("").await?;
        socket.send(text(&json!({ "cmd": ["through", "it"] }))).await?;
        ensure!(hear(&mut socket).await? == json!({ "stream": "stdout", "chunk": "through it" }));
        ensure!(hear(&mut socket).await? == json!({ "exit": 0 }));
        Ok(())
    }

    /// Begins a command that gives its input back.
    pub(super) async fn cat(&self) -> Result<Cat> {
        let mut socket = self.open("?interactive=true").await?;
        socket.send(text(&json!({ "cmd": ["cat"] }))).await?;
        Ok(Cat(socket))
    }
}

impl Cat {
    /// Says something and hears it again.
    pub(super) async fn try_it(&mut self) -> Result<()> {
        self.0.send(text(&json!({ "stdin": "still there" }))).await?;
        let heard = hear(&mut self.0).await?;
        ensure!(heard == json!({ "stream": "stdout", "chunk": "still there" }), "{heard}");
        Ok(())
    }

    /// Says nothing for so long, and answers pings.
    pub(super) async fn idle(&mut self, span: Duration) -> Result<()> {
        let until = Instant::now() + span;
        loop {
            match tokio::time::timeout_at(until, self.0.next()).await {
                Err(_) => return Ok(()),
                Ok(Some(Ok(Message::Ping(_)))) => {}
                Ok(other) => bail!("the conversation ended while nobody spoke: {other:?}"),
            }
        }
    }
}

async fn hear(socket: &mut WebSocketStream<Line>) -> Result<Value> {
    loop {
        match timeout(ANSWER, socket.next()).await.context("silence")?.context("the end")?? {
            Message::Text(frame) => return Ok(serde_json::from_str(&frame)?),
            Message::Close(frame) => bail!("closed: {frame:?}"),
            _ => {}
        }
    }
}

fn text(frame: &Value) -> Message {
    Message::Text(frame.to_string().into())
}
