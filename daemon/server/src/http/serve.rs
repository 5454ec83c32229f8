//! Connections of clients: how many there may be, and how long and how large what they send may be, so that none
//! can hold the others up. Bodies have their limits where they are read.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Extensions, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service;

/// For the head of a request to come, and for a connection that is kept open without one.
const HEAD_WITHIN: Duration = Duration::from_secs(15);
/// The largest head, in bytes.
const HEAD_MAX: usize = 64 << 10;
/// How many connections there may be, agents' among them: below the number of files that the unit allows.
const CONNECTIONS_MAX: usize = 60_000;
/// How long a master that stops waits for the first request of a connection that it took in: it may be on its way.
const FIRST_WITHIN: Duration = Duration::from_secs(1);
/// A listener without a new connection for so long is closed when the master stops.
const QUIET: Duration = Duration::from_millis(10);
/// It is closed that late in any case.
const CLOSED_WITHIN: Duration = Duration::from_millis(200);
/// Before the next try when the host has no more files or memory for a connection.
const RETRY: Duration = Duration::from_millis(200);

/// Where connections come in.
pub(crate) trait Door: Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next, with who it is.
    fn next(&self) -> impl Future<Output = io::Result<(Self::Stream, Peer)>> + Send;
}

/// Who a connection is from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Peer {
    /// From the network.
    Network(SocketAddr),
    /// From this host.
    Local(LocalPeer),
}

/// The process at the other end of a socket of this host, if the kernel told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LocalPeer {
    /// Its user.
    pub(crate) uid: Option<u32>,
}

impl Peer {
    fn mark(self, extensions: &mut Extensions) {
        match self {
            Self::Network(address) => drop(extensions.insert(ConnectInfo(address))),
            Self::Local(peer) => drop(extensions.insert(peer)),
        }
    }
}

impl Door for TcpListener {
    type Stream = TcpStream;

    async fn next(&self) -> io::Result<(TcpStream, Peer)> {
        let (stream, address) = self.accept().await?;
        if stream.set_nodelay(true).is_err() {
            tracing::debug!(%address, "a connection was gone at once");
        }
        Ok((stream, Peer::Network(address)))
    }
}

impl Door for UnixListener {
    type Stream = UnixStream;

    async fn next(&self) -> io::Result<(UnixStream, Peer)> {
        let (stream, _) = self.accept().await?;
        let uid = stream.peer_cred().ok().map(|credentials| credentials.uid());
        Ok((stream, Peer::Local(LocalPeer { uid })))
    }
}

/// Serves until `serving` ends and every connection has.
pub(crate) async fn serve(door: impl Door, router: Router, serving: CancellationToken) {
    let (connections, places) = (TaskTracker::new(), Arc::new(Semaphore::new(CONNECTIONS_MAX)));
    let take_in = |(stream, peer), place| {
        let conversation = converse(stream, peer, router.clone(), serving.clone());
        connections.spawn(async move {
            conversation.await;
            drop::<OwnedSemaphorePermit>(place);
        });
    };
    let mut refused = 0_u64;
    loop {
        let accepted = tokio::select! {
            () = serving.cancelled() => break,
            accepted = async {
                // Who finds no place waits in the kernel's queue.
                let place = Arc::clone(&places).acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((door.next().await?, place))
            } => accepted,
        };
        match accepted {
            Ok((connection, place)) => {
                if refused > 0 {
                    tracing::info!(tries = refused, "connections are taken in again");
                    refused = 0;
                }
                take_in(connection, place);
            }
            // Who left before it was taken in.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                // It is tried again and again, and told once.
                if refused == 0 {
                    tracing::warn!("connections are not taken in: {error}");
                }
                refused += 1;
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    // Who waits in the kernel's queue would be cut off with the listener, its request perhaps sent already.
    let closing = async {
        while let Ok(Ok(connection)) = timeout(QUIET, door.next()).await {
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else { break };
            take_in(connection, place);
        }
    };
    let _closed_late = timeout(CLOSED_WITHIN, closing).await;
    drop(door);
    connections.close();
    connections.wait().await;
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    router: Router,
    serving: CancellationToken,
) {
    let asked = Arc::new(Notify::new());
    let asking = Arc::clone(&asked);
    let service = service_fn(move |request: Request<Incoming>| {
        asking.notify_one();
        let mut request = request.map(Body::new);
        peer.mark(request.extensions_mut());
        // A router is always ready.
        router.clone().call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = async {
            serving.cancelled().await;
            // A request before then counts too.
            let _silent = timeout(FIRST_WITHIN, asked.notified()).await;
        } => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}
