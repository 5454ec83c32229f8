//! The connection as an agent makes it, strict where agents are strict.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use kontena_wire::rpc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::{HeaderMap, Request};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message, WebSocketConfig};

use crate::tls::{Line, Trust, connect};

/// For TCP and TLS together, and for the answer to the upgrade.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// For the answer to a request: longer than a master may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(35);

/// Whom to call, and with which headers.
#[derive(Clone, Debug)]
pub struct Dial {
    /// As `host:port`.
    pub master: String,
    /// Whom to believe, where the connection is encrypted.
    pub trust: Option<Trust>,
    /// In addition to those of the upgrade.
    pub headers: Vec<(&'static str, String)>,
}

impl Dial {
    /// The headers of an agent whose clock is off by so many seconds.
    #[must_use]
    pub fn agent(settings: &super::Settings, master: &str, clock_off: f64) -> Self {
        let now = jiff::Timestamp::now();
        let off = jiff::SignedDuration::try_from_secs_f64(clock_off).unwrap_or_default();
        let now = now.checked_add(off).unwrap_or(now);
        let token = match &settings.token {
            super::Token::Grid(token) => ("Kontena-Grid-Token", token.clone()),
            super::Token::Node(token) => ("Kontena-Node-Token", token.clone()),
        };
        Self {
            master: master.to_owned(),
            trust: settings.trust.clone(),
            headers: vec![
                ("Kontena-Node-Id", settings.node_id.clone()),
                ("Kontena-Node-Name", settings.name.clone()),
                ("Kontena-Version", settings.version.clone()),
                ("Kontena-Node-Labels", settings.labels.join(",")),
                ("Kontena-Connected-At", now.strftime("%Y-%m-%d %H:%M:%S.%9fZ").to_string()),
                token,
            ],
        }
    }

    /// The same with another value of a header.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        self.headers.push((name, value.into()));
        self
    }

    /// The same without a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| *found != name);
        self
    }
}

/// A dial was answered otherwise than by 101.
#[derive(Debug)]
pub struct Refused {
    /// The HTTP status.
    pub status: u16,
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "answered {}", self.status)
    }
}

impl std::error::Error for Refused {}

/// An open connection.
#[derive(Debug)]
pub struct Connection {
    /// The socket, for what is no message.
    pub socket: WebSocketStream<Line>,
    /// Of the answer.
    pub headers: HeaderMap,
}

/// Connects as an agent does.
pub async fn dial(dial: &Dial) -> Result<Connection> {
    let connecting = connect(&dial.master, dial.trust.as_ref());
    let stream = timeout(CONNECT_WITHIN, connecting).await.context("no connection in time")??;
    let scheme = if dial.trust.is_some() { "wss" } else { "ws" };
    let mut request = Request::builder()
        .method("GET")
        .uri(format!("{scheme}://{}/", dial.master))
        .header("Host", &dial.master)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", generate_key())
        .header("Sec-WebSocket-Version", "13");
    for (name, value) in &dial.headers {
        request = request.header(*name, value);
    }
    let config = WebSocketConfig::default().read_buffer_size(4 << 10).write_buffer_size(2 << 10);
    let shake = tokio_tungstenite::client_async_with_config(request.body(())?, stream, Some(config));
    let (socket, response) = match timeout(CONNECT_WITHIN, shake).await.context("no answer in time")? {
        Ok(opened) => opened,
        Err(tokio_tungstenite::tungstenite::Error::Http(response)) => {
            return Err(Refused { status: response.status().as_u16() }.into());
        }
        Err(error) => return Err(error.into()),
    };
    let headers = response.headers().clone();
    for (name, wanted) in [("upgrade", "websocket"), ("connection", "upgrade")] {
        let found = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !found.eq_ignore_ascii_case(wanted) {
            bail!("an agent wants {name} to be {wanted}, and it is {found:?}");
        }
    }
    Ok(Connection { socket, headers })
}

impl Connection {
    /// Sends a message.
    pub async fn send(&mut self, message: rpc::Message) -> Result<()> {
        Ok(self.socket.send(Message::Binary(message.encode().into())).await?)
    }

    /// Waits for the next message; a close frame, or the end without one (1006), is the error.
    pub async fn next(&mut self) -> Result<Result<rpc::Message, (u16, String)>> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Binary(frame))) => return Ok(Ok(rpc::Message::decode(&frame)?)),
                Some(Ok(Message::Close(frame))) => {
                    let (code, reason) = frame
                        .map_or((1005, String::new()), |CloseFrame { code, reason }| {
                            (code.into(), reason.to_string())
                        });
                    return Ok(Err((code, reason)));
                }
                Some(Ok(Message::Text(_))) => bail!("a text frame ends an agent's connection"),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Ok(Err((1006, error.to_string()))),
                None => return Ok(Err((1006, String::new()))),
            }
        }
    }

    /// The next message within `within`.
    pub async fn expect(&mut self, within: Duration) -> Result<rpc::Message> {
        match timeout(within, self.next()).await.context("no message in time")?? {
            Ok(message) => Ok(message),
            Err((code, reason)) => bail!("closed with {code}: {reason}"),
        }
    }

    /// The close frame within `within`, whatever comes before.
    pub async fn expect_close(&mut self, within: Duration) -> Result<(u16, String)> {
        let closed = async {
            loop {
                if let Err(closed) = self.next().await? {
                    return Ok(closed);
                }
            }
        };
        timeout(within, closed).await.context("no close frame in time")?
    }

    /// Asks, and waits for the answer; what else comes meanwhile is passed over.
    pub async fn ask(
        &mut self,
        method: &str,
        params: Vec<rpc::Value>,
    ) -> Result<Result<rpc::Value, rpc::Fault>> {
        let asked = u64::from(rand::random::<u32>() >> 1) + 1;
        self.send(rpc::Message::Request { id: asked, method: method.to_owned(), params }).await?;
        let answered = async {
            loop {
                match self.next().await? {
                    Ok(rpc::Message::Response { id, outcome }) if id == asked => return Ok(outcome),
                    Ok(_) => {}
                    Err((code, reason)) => bail!("closed with {code}: {reason}"),
                }
            }
        };
        timeout(ANSWER_LIMIT, answered).await.context("no answer in time")?
    }
}
