//! The connection to the cloud: TCP, TLS where the address says so, and the WebSocket's handshake.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use kontena_core::cloud::Target;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::header::{AUTHORIZATION, HOST};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as SocketError, http};
use url::Url;

/// For TCP, and for TLS.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// For the answer to the handshake.
const OPEN_WITHIN: Duration = Duration::from_secs(10);
/// The largest message that is taken, in bytes.
const MESSAGE_MAX: usize = 4 << 20;

/// What carries the WebSocket.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Carrier for T {}

/// An open connection.
pub(super) type Socket = WebSocketStream<Box<dyn Carrier>>;

/// Why there is none. Nothing of the credentials is in it.
#[derive(Debug, Error)]
pub(super) enum DialError {
    #[error("the address {0} cannot be used")]
    Address(Url),
    #[error("not reached: {0}")]
    Unreached(io::Error),
    #[error("no encrypted connection: {0}")]
    Tls(io::Error),
    #[error("certificates cannot be checked: {0}")]
    Verifier(rustls::Error),
    #[error("the handshake was answered with {0}: are client id and secret right?")]
    Refused(http::StatusCode),
    #[error("no handshake: {0}")]
    Handshake(SocketError),
    #[error("not connected within {} s", .0.as_secs())]
    Late(Duration),
}

/// Connects as this master.
pub(super) async fn dial(target: &Target) -> Result<Socket, DialError> {
    let address = || DialError::Address(target.url.clone());
    let host = target.url.host_str().ok_or_else(address)?;
    let port = target.url.port_or_known_default().ok_or_else(address)?;
    // The brackets of an IPv6 address belong to the URL only.
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let connecting = async {
        let stream = TcpStream::connect((bare, port)).await.map_err(DialError::Unreached)?;
        stream.set_nodelay(true).map_err(DialError::Unreached)?;
        // What was not delivered when the connection is closed is thrown away: whoever acts no more, or is dead, says
        // nothing more either. It will be told by the successor.
        stream.set_zero_linger().map_err(DialError::Unreached)?;
        carrier(stream, &target.url, bare).await
    };
    let carrier =
        timeout(CONNECT_WITHIN, connecting).await.map_err(|_| DialError::Late(CONNECT_WITHIN))??;
    let config =
        WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX));
    let request = request(target, host).ok_or_else(address)?;
    let shaking = tokio_tungstenite::client_async_with_config(request, carrier, Some(config));
    match timeout(OPEN_WITHIN, shaking).await {
        Ok(Ok((socket, _))) => Ok(socket),
        Ok(Err(SocketError::Http(response))) => Err(DialError::Refused(response.status())),
        Ok(Err(error)) => Err(DialError::Handshake(error)),
        Err(_) => Err(DialError::Late(OPEN_WITHIN)),
    }
}

async fn carrier(stream: TcpStream, url: &Url, host: &str) -> Result<Box<dyn Carrier>, DialError> {
    if url.scheme() != "wss" {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|_| DialError::Address(url.clone()))?;
    let config = ClientConfig::builder().with_platform_verifier().map_err(DialError::Verifier)?;
    let connector = TlsConnector::from(Arc::new(config.with_no_client_auth()));
    let encrypted = connector.connect(name, stream).await.map_err(DialError::Tls)?;
    Ok(Box::new(encrypted))
}

fn request(target: &Target, host: &str) -> Option<Request<()>> {
    let Target { url, client_id, client_secret } = target;
    let authority = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
    let credentials = URL_SAFE.encode(format!("{client_id}:{client_secret}"));
    let mut credentials = HeaderValue::try_from(format!("Basic {credentials}")).ok()?;
    credentials.set_sensitive(true);
    Request::builder()
        .method("GET")
        .uri(url.as_str())
        .header(HOST, authority)
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Key", generate_key())
        .header("Sec-WebSocket-Version", "13")
        .header(AUTHORIZATION, credentials)
        .body(())
        .ok()
}
