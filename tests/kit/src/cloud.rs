//! A stand-in for Kontena Cloud: a real WebSocket server that checks what a master says as the cloud would, keeps the
//! events in the order in which they came, asks the master for things, and can be slow, silent or unwilling.

mod account;
mod traffic;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use kontena_wire::rpc::{self, Value, loose};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

pub use account::Account;
pub use traffic::Traffic;

/// As whom masters have to come.
pub const CLIENT_ID: &str = "kontena-master-1";
/// With which secret: encoded, it has the characters by which the two forms of base64 differ.
pub const CLIENT_SECRET: &str = "s3cr3t~~?>>";
/// The same, as masters have to send it.
const AUTHORIZATION: &str = "Basic a29udGVuYS1tYXN0ZXItMTpzM2NyM3R-fj8-Pg==";
const PATH: &str = "/platform";
/// What the kernel may keep for us, in bytes: little, so that what is not read yet is still with the master.
const BUFFER: u32 = 4096;
/// For the handshakes of a connection.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

/// An event, as it came.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// The number of the connection, from 1.
    pub link: u64,
    /// Such as `GridService`.
    pub kind: String,
    /// Such as `create`.
    pub event: String,
    /// The name of the grid.
    pub grid: Option<String>,
    /// Who may see it.
    pub users: Vec<String>,
    /// What it happened to.
    pub object: serde_json::Value,
}

/// How it behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Whether it says that the credentials are bad, whatever they are.
    pub refuses: bool,
    /// How long it takes over each message.
    pub pace: Duration,
    /// Whether it reads nothing at all.
    pub deaf: bool,
}

type Answer = Result<serde_json::Value, serde_json::Value>;

#[derive(Default)]
struct State {
    manner: Manner,
    events: Vec<Heard>,
    /// What masters did wrong.
    faults: Vec<String>,
    /// Connections so far, refused ones too.
    links: u64,
    refused: u64,
    /// Those that stand.
    open: BTreeMap<u64, mpsc::Sender<Vec<u8>>>,
    /// Those that said something.
    spoke: BTreeSet<u64>,
    /// How often a connection said something after a later one had.
    overlaps: u64,
    asked: u64,
    waiting: HashMap<String, oneshot::Sender<Answer>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let changed = change(&mut self.state());
        self.changed.notify_waiters();
        changed
    }
}

/// The stand-in. It ends when it is dropped.
pub struct Cloud {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// The certificate by which it can be known, if it is encrypted.
    certificate: Option<(TempDir, PathBuf)>,
    _serving: JoinSet<()>,
}

impl Cloud {
    /// Starts one without encryption.
    pub fn start() -> Result<Self> {
        Self::serve(None, None)
    }

    /// Starts one whose certificate is in [`Self::certificate`].
    pub fn start_encrypted() -> Result<Self> {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
        let directory = crate::scratch::directory("cloud")?;
        let path = directory.path().join("certificate.pem");
        std::fs::write(&path, made.cert.pem())?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        // An error says that the provider was chosen before.
        let _chosen = rustls::crypto::ring::default_provider().install_default();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)?;
        Self::serve(Some(TlsAcceptor::from(Arc::new(config))), Some((directory, path)))
    }

    fn serve(tls: Option<TlsAcceptor>, certificate: Option<(TempDir, PathBuf)>) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(BUFFER)?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let listener = socket.listen(64)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, tls, Arc::clone(&shared)));
        Ok(Self { address, shared, certificate, _serving: serving })
    }

    /// What `cloud.socket_uri` is to be.
    #[must_use]
    pub fn uri(&self) -> String {
        match &self.certificate {
            Some(_) => format!("wss://localhost:{}", self.address.port()),
            None => format!("ws://{}", self.address),
        }
    }

    /// The file with the certificate, if it is encrypted.
    #[must_use]
    pub fn certificate(&self) -> Option<&PathBuf> {
        self.certificate.as_ref().map(|(_, path)| path)
    }

    /// All that makes masters come here, for `PATCH /v1/config`.
    #[must_use]
    pub fn configuration(&self) -> serde_json::Value {
        json!({
            "oauth2.client_id": CLIENT_ID,
            "oauth2.client_secret": CLIENT_SECRET,
            "oauth2.authorize_endpoint": "https://login.kontena.io/authorize",
            "oauth2.token_endpoint": "https://login.kontena.io/token",
            "oauth2.userinfo_endpoint": "https://login.kontena.io/user",
            "server.root_url": "http://master.example.com",
            "cloud.enabled": "true",
            "cloud.socket_uri": self.uri(),
        })
    }

    /// Behaves otherwise from now on.
    pub fn behave(&self, manner: Manner) {
        self.shared.change(|state| state.manner = manner);
    }

    /// The events so far.
    #[must_use]
    pub fn events(&self) -> Vec<Heard> {
        self.shared.state().events.clone()
    }

    /// What masters did wrong so far.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.shared.state().faults.clone()
    }

    /// How many connections stand.
    #[must_use]
    pub fn open(&self) -> usize {
        self.shared.state().open.len()
    }

    /// How many connections there were, and how many of them were refused.
    #[must_use]
    pub fn links(&self) -> (u64, u64) {
        let state = self.shared.state();
        (state.links, state.refused)
    }

    /// How often a connection said something after a later one had.
    #[must_use]
    pub fn overlaps(&self) -> u64 {
        self.shared.state().overlaps
    }

    /// Waits until this holds of the events and connections.
    pub async fn until(&self, what: &str, within: Duration, holds: impl Fn(&Self) -> bool) -> Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let changed = self.shared.changed.notified();
            if holds(self) {
                return Ok(());
            }
            // What is not told by a change is looked at all the same.
            let look = deadline.min(Instant::now() + Duration::from_millis(50));
            let _changed = timeout_at(look, changed).await;
            ensure!(Instant::now() < deadline, "not within {within:?}: {what}; faults {:?}", self.faults());
        }
    }

    /// Asks the master behind the latest connection.
    pub async fn ask(&self, method: &str, params: Vec<Value>, within: Duration) -> Result<Answer> {
        let (heard, answer) = oneshot::channel();
        let (outbox, frame) = self.shared.change(|state| -> Result<_> {
            let outbox = state.open.values().next_back().context("no master is linked")?.clone();
            state.asked += 1;
            let id = format!("request-{}", state.asked);
            state.waiting.insert(id.clone(), heard);
            let request = Value::Array(vec![0.into(), id.into(), method.into(), Value::Array(params)]);
            Ok((outbox, rpc::encode(&request)))
        })?;
        outbox.send(frame).await.context("the link has ended")?;
        timeout(within, answer).await.context("no answer in time")?.context("the link has ended")
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    let mut links = JoinSet::new();
    loop {
        while links.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        links.spawn(async move {
            let number = shared.change(|state| {
                state.links += 1;
                state.links
            });
            // How it ended is seen in what came.
            let _ended = welcome(stream, tls, &shared, number).await;
            shared.change(|state| state.open.remove(&number));
        });
    }
}

async fn welcome(stream: TcpStream, tls: Option<TlsAcceptor>, shared: &Shared, number: u64) -> Result<()> {
    match tls {
        Some(tls) => link(timeout(OPEN_WITHIN, tls.accept(stream)).await??, shared, number).await,
        None => link(stream, shared, number).await,
    }
}

async fn link<S: AsyncRead + AsyncWrite + Unpin>(stream: S, shared: &Shared, number: u64) -> Result<()> {
    let mut known = false;
    let mut faults = Vec::new();
    #[expect(clippy::result_large_err, reason = "as the library wants it")]
    let check = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        let offered = request.headers().get("authorization").and_then(|value| value.to_str().ok());
        known = offered == Some(AUTHORIZATION);
        if request.uri().path() != PATH {
            faults.push(format!("it asks for {}", request.uri()));
        }
        if !offered.is_some_and(|offered| offered.starts_with("Basic ")) {
            faults.push("it does not say who it is".to_owned());
        }
        Ok(response)
    };
    let mut socket = timeout(OPEN_WITHIN, accept_hdr_async(stream, check)).await??;
    let (outbox, mut orders) = mpsc::channel(16);
    let refuses = shared.change(|state| {
        state.faults.append(&mut faults);
        let refuses = state.manner.refuses || !known;
        if refuses {
            state.refused += 1;
        } else {
            state.open.insert(number, outbox);
        }
        refuses
    });
    if refuses {
        let frame = CloseFrame { code: CloseCode::Protocol, reason: "unknown client".into() };
        socket.close(Some(frame)).await?;
        let _closed = timeout(OPEN_WITHIN, async { while let Some(Ok(_)) = socket.next().await {} }).await;
        return Ok(());
    }
    loop {
        let Manner { pace, deaf, .. } = shared.state().manner;
        tokio::select! {
            message = socket.next(), if !deaf => match message {
                Some(Ok(Message::Binary(frame))) => {
                    // Only now it has been taken.
                    sleep(pace).await;
                    shared.change(|state| take(state, number, &frame));
                }
                Some(Ok(Message::Close(_))) | None => return Ok(()),
                Some(Ok(Message::Text(text))) => shared.change(|state| state.faults.push(format!("text: {text}"))),
                Some(Ok(_)) => {}
                Some(Err(error)) => bail!(error),
            },
            Some(frame) = orders.recv() => socket.send(Message::binary(frame)).await?,
            // Whether it is deaf is looked at again.
            () = sleep(Duration::from_millis(50)) => {}
        }
    }
}

/// Takes in what came.
fn take(state: &mut State, link: u64, frame: &[u8]) {
    if state.spoke.last().is_some_and(|last| *last > link) {
        state.overlaps += 1;
    }
    state.spoke.insert(link);
    if let Err(fault) = understand(state, link, frame) {
        state.faults.push(format!("{fault:#}"));
    }
}

fn understand(state: &mut State, link: u64, frame: &[u8]) -> Result<()> {
    let Value::Array(parts) = rpc::decode(frame)? else { bail!("no array") };
    match parts.as_slice() {
        [kind, id, error, result] if kind.as_u64() == Some(1) => {
            let id = loose::text(id).context("an answer to an id that is no text")?;
            let waiting = state.waiting.remove(id.as_ref()).context("an answer to nothing")?;
            let answer = if error.is_nil() { Ok(rpc::json(result)) } else { Err(rpc::json(error)) };
            // Who asked may have given up.
            let _heard = waiting.send(answer);
            Ok(())
        }
        [kind, method, Value::Array(params)] if kind.as_u64() == Some(2) => {
            let method = loose::text(method).context("a notification without a name")?;
            let (kind, event) = method.split_once('#').context("a notification without an event")?;
            ensure!(["Grid", "GridService", "HostNode", "User"].contains(&kind), "an event of a {kind}");
            ensure!(["create", "update", "delete"].contains(&event), "an event {event}");
            let [grid, users, object] = params.as_slice() else { bail!("{} parameters", params.len()) };
            ensure!(grid.is_nil() || loose::text(grid).is_some(), "a grid that is no name");
            let Value::Array(users) = users else { bail!("users that are no list") };
            let object = rpc::json(object);
            ensure!(object.get("id").is_some_and(serde_json::Value::is_string), "an object without an id");
            state.events.push(Heard {
                link,
                kind: kind.to_owned(),
                event: event.to_owned(),
                grid: loose::filled(grid),
                users: users.iter().filter_map(loose::filled).collect(),
                object,
            });
            Ok(())
        }
        _ => bail!("neither an answer nor a notification"),
    }
}
