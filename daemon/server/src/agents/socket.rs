//! The WebSocket of one agent. Ten thousand of them are idle nearly all the time, so none keeps what its largest
//! frame took: the library's buffers grow and never shrink, and are made anew after large frames.

use futures_util::{FutureExt, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kontena_wire::rpc::MESSAGE_MAX;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use super::gate::{Gate, LargeFrames};

/// What a buffer has at first.
const BUFFER: usize = 1 << 10;
/// After larger messages the buffers are made anew.
const LARGE: usize = 1 << 10;

type Stream = WebSocketStream<Gate<TokioIo<Upgraded>>>;

/// One connection.
pub(super) struct Socket(Option<Stream>);

impl Socket {
    /// Takes over a connection that was answered 101.
    pub(super) async fn new(upgraded: Upgraded, large: &LargeFrames) -> Self {
        Self(Some(stream(Gate::new(TokioIo::new(upgraded), large)).await))
    }

    /// Waits for the next message. None when the connection has ended.
    pub(super) async fn recv(&mut self) -> Option<Result<Message, Error>> {
        let message = self.0.as_mut()?.next().await?;
        if matches!(&message, Ok(message) if message.len() > LARGE) {
            self.renew().await;
        }
        Some(message)
    }

    /// Sends a message.
    pub(super) async fn send(&mut self, message: Message) -> Result<(), Error> {
        let large = message.len() > LARGE;
        self.0.as_mut().ok_or(Error::AlreadyClosed)?.send(message).await?;
        if large {
            self.renew().await;
        }
        Ok(())
    }

    /// Makes the buffers anew, if nothing is in them.
    async fn renew(&mut self) {
        let Some(current) = &mut self.0 else { return };
        let flushed = matches!(current.flush().now_or_never(), Some(Ok(())));
        if flushed
            && current.get_ref().is_between_messages()
            && let Some(current) = self.0.take()
        {
            self.0 = Some(stream(current.into_inner()).await);
        }
    }
}

async fn stream(gate: Gate<TokioIo<Upgraded>>) -> Stream {
    let config = WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_message_size(Some(MESSAGE_MAX))
        .max_frame_size(Some(MESSAGE_MAX));
    // Without a handshake this waits for nothing.
    WebSocketStream::from_raw_socket(gate, Role::Server, Some(config)).await
}
