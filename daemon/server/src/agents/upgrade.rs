//! The way in: `GET /` with an upgrade to WebSocket. An agent is let in before it is answered 101, so that it
//! never talks to a master that does not know it, and is turned away by 503 when nothing can be said about it.
//! A verdict about the agent itself is told as the close frame that it knows.

use axum::extract::{Request, State};
use axum::http::header::{
    CONNECTION, RETRY_AFTER, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use hyper::upgrade::OnUpgrade;
use kontena_core::agents::{Headers, Hello, Refusal};
use kontena_wire::agent::outbound;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::admissions::{Applicant, Verdict};
use super::socket::Socket;
use super::{Agents, session};
use crate::clock::wall_ms;

/// Takes upgrades at the root; everything else goes on.
pub(crate) async fn at_root(State(agents): State<Agents>, request: Request, next: Next) -> Response {
    let asks = request
        .headers()
        .get(UPGRADE)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    if request.uri().path() != "/" || !asks {
        return next.run(request).await;
    }
    let (mut parts, _) = request.into_parts();
    match Upgrade::of(&mut parts) {
        Some(upgrade) => answer(agents, upgrade, &parts.headers).await,
        None => (StatusCode::BAD_REQUEST, "this is no WebSocket handshake of version 13\n").into_response(),
    }
}

/// A request for a WebSocket.
struct Upgrade {
    connection: OnUpgrade,
    accept: HeaderValue,
}

impl Upgrade {
    fn of(parts: &mut Parts) -> Option<Self> {
        let header = |name| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let asks = header(CONNECTION)?.split(',').any(|word| word.trim().eq_ignore_ascii_case("upgrade"));
        if parts.method != Method::GET || !asks || header(SEC_WEBSOCKET_VERSION) != Some("13") {
            return None;
        }
        let accept = derive_accept_key(header(SEC_WEBSOCKET_KEY)?.as_bytes());
        let connection = parts.extensions.remove::<OnUpgrade>()?;
        Some(Self { connection, accept: HeaderValue::from_str(&accept).ok()? })
    }

    /// Answers 101, and hands the socket over once that is sent.
    fn take<F>(self, agents: &Agents, then: impl FnOnce(Socket) -> F + Send + 'static) -> Response
    where
        F: Future<Output = ()> + Send,
    {
        let Self { connection, accept } = self;
        let large = agents.0.large_frames.clone();
        agents.0.sockets.spawn(async move {
            match connection.await {
                Ok(upgraded) => {
                    let socket = Socket::new(upgraded, &large).await;
                    then(socket).await;
                }
                Err(error) => tracing::debug!(%error, "an agent left before it was answered"),
            }
        });
        let headers = [
            (UPGRADE, HeaderValue::from_static("websocket")),
            (CONNECTION, HeaderValue::from_static("Upgrade")),
            (SEC_WEBSOCKET_ACCEPT, accept),
        ];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    }
}

async fn answer(agents: Agents, upgrade: Upgrade, headers: &HeaderMap) -> Response {
    if let Some(why) = agents.0.admissions.closed() {
        return come_back_later(why);
    }
    if agents.connected() >= agents.0.settings.sessions_max {
        return come_back_later("this master has as many agents as it takes");
    }
    let version = agents.0.compat_version.clone();
    let announced = HeaderValue::from_str(&version).ok();
    let verdict = match applicant(&agents, headers) {
        Ok(applicant) => agents.0.admissions.apply(applicant).await,
        Err(refusal) => Verdict::Refused(refusal),
    };
    let mut response = match verdict {
        Verdict::Unavailable(why) => return come_back_later(&why),
        Verdict::Refused(refusal) => {
            tracing::info!(code = refusal.code, "an agent is refused: {}", refusal.reason);
            upgrade.take(&agents, move |socket| refuse(socket, refusal, version))
        }
        Verdict::Admitted(seat) => {
            let sessions = agents.clone();
            upgrade.take(&agents, move |socket| async move {
                if let Some(admitted) = seat.take() {
                    session::run(sessions, socket, admitted).boxed().await;
                }
            })
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [("kontena-version", announced), ("kontena-connected-at", now())] {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    }
    response
}

/// Judges what the headers alone show.
fn applicant(agents: &Agents, headers: &HeaderMap) -> Result<Applicant, Refusal> {
    let text = |name| headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    let hello = Hello::read(
        Headers {
            node_id: text("kontena-node-id"),
            node_name: text("kontena-node-name"),
            version: text("kontena-version"),
            labels: text("kontena-node-labels"),
            grid_token: text("kontena-grid-token"),
            node_token: text("kontena-node-token"),
        },
        &agents.0.compat_version,
    )?;
    // The original left a connection without a readable time open and deaf.
    let unreadable = || Refusal::new(4000, "Malformed Kontena-Connected-At");
    let connected_at =
        text("kontena-connected-at").ok_or_else(|| Refusal::new(4000, "Missing Kontena-Connected-At"))?;
    let connected_at = connected_at.parse::<jiff::Timestamp>().map_err(|_| unreadable())?.as_millisecond();
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a difference")]
    let offset = wall_ms().saturating_sub(connected_at) as f64 / 1000.0;
    Ok(Applicant { hello, connected_at, skew: agents.0.settings.tolerance.refuses(offset) })
}

/// Tells an agent why it is refused.
async fn refuse(mut socket: Socket, refusal: Refusal, version: String) {
    let told = async {
        if refusal.announces_version() {
            let info = outbound::master_info(&version);
            let frame = kontena_wire::rpc::Message::notification(info.method, info.params).encode();
            socket.send(Message::Binary(frame.into())).await?;
        }
        socket.send(close_frame(&refusal)).await?;
        // Closed before the agent has read the frame, the socket would lose it.
        while let Some(Ok(message)) = socket.recv().await {
            if let Message::Close(_) = message {
                break;
            }
        }
        Ok::<(), Error>(())
    };
    // An agent that does not answer is not waited for.
    let _told = tokio::time::timeout(super::limits::CLOSE_WITHIN, told).await;
}

pub(super) fn close_frame(refusal: &Refusal) -> Message {
    Message::Close(Some(CloseFrame { code: refusal.code.into(), reason: refusal.reason.as_str().into() }))
}

/// Keeps the agent's pauses between its tries growing, which a close frame would not.
fn come_back_later(why: &str) -> Response {
    tracing::debug!("an agent is told to come back later: {why}");
    (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], format!("{why}\n")).into_response()
}

fn now() -> Option<HeaderValue> {
    let now = jiff::Timestamp::from_millisecond(wall_ms()).ok()?;
    HeaderValue::from_str(&now.strftime("%Y-%m-%d %H:%M:%S.%9fZ").to_string()).ok()
}
