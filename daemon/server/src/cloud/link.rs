//! One connection to the cloud, from its handshake to its end: what is said goes through one queue and is checked
//! against the leader's deadline piece by piece, what is asked is answered by a bounded number of tasks.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use kontena_core::cloud::Target;
use kontena_store::CloudLink;
use kontena_wire::cloud::Call;
use kontena_wire::cluster::CloudState;
use kontena_wire::rpc::Fault;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use super::Reign;
use super::dial::{Socket, dial};
use super::feeder::Feeder;
use super::pings::Pings;
use crate::http::RestDesk;

/// For a message to be taken by the cloud's host.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// For the cloud to answer a close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);
/// How many messages may wait to be sent; whoever has more waits.
const QUEUE: usize = 16;
/// How many requests of the cloud are carried out at once; more are refused.
const REQUESTS: usize = 16;
/// The only handler there is.
const HANDLER: &str = "rest_request";
/// The cloud does not know our credentials.
const BAD_CREDENTIALS: u16 = 1002;

/// How a link ended.
pub(super) struct End {
    /// Whether there was one.
    pub(super) opened: bool,
    /// In words.
    pub(super) why: String,
}

/// Something to be sent.
pub(super) enum Outgoing {
    /// An answer.
    Answer(Vec<u8>),
    /// Events. `heard` is told when the cloud has read them; without events, when it is there.
    Events { frames: Vec<Vec<u8>>, heard: oneshot::Sender<()> },
    /// The end.
    Close,
}

/// Connects, and holds the link until it ends.
pub(super) async fn hold(reign: &Reign<'_>, target: &Target, noted: &mut Option<CloudLink>) -> End {
    let api = &reign.cloud.api;
    let socket = match dial(target).await {
        Ok(socket) => socket,
        Err(error) => {
            tracing::info!(%error, url = %target.url, "no link to the cloud");
            return End { opened: false, why: error.to_string() };
        }
    };
    tracing::info!(url = %target.url, "linked to the cloud");
    api.metrics.cloud.links.inc();
    api.metrics.cloud.connected.set(1);
    reign.note(noted, CloudState::Connected, target.url.as_str()).await;
    let pings = Pings::new(api.settings.agents.ping_timeout);
    let (outbox, queue) = mpsc::channel(QUEUE);
    let (sink, stream) = socket.split();
    let desk = RestDesk::new(api);
    let why = tokio::select! {
        why = speak(reign, sink, queue, &pings) => why,
        why = listen(&desk, stream, &outbox, &pings) => why,
        () = pings.missed() => "it did not answer a ping in time".to_owned(),
        why = keep_alive(reign, &outbox) => why,
        why = Feeder::new(reign, outbox.clone()).run() => why,
        why = leave(reign, &outbox) => why,
    };
    tracing::info!(why, "the link to the cloud has ended");
    End { opened: true, why }
}

/// Sends what is in the queue, as long as this master may speak.
async fn speak(
    reign: &Reign<'_>,
    mut sink: SplitSink<Socket, Message>,
    mut queue: mpsc::Receiver<Outgoing>,
    pings: &Pings,
) -> String {
    while let Some(outgoing) = queue.recv().await {
        let messages: Vec<Message> = match outgoing {
            Outgoing::Answer(frame) => vec![Message::binary(frame)],
            Outgoing::Events { frames, heard } => {
                for frame in frames {
                    if let Err(why) = say(reign, &mut sink, Message::binary(frame)).await {
                        return why;
                    }
                }
                // The time for its answer begins when everything before it has left.
                vec![Message::Ping(Bytes::copy_from_slice(&pings.next(heard)))]
            }
            Outgoing::Close => {
                let frame = CloseFrame { code: CloseCode::Normal, reason: "not wanted any more".into() };
                vec![Message::Close(Some(frame))]
            }
        };
        for message in messages {
            if let Err(why) = say(reign, &mut sink, message).await {
                return why;
            }
        }
    }
    "nothing can be said any more".to_owned()
}

async fn say(
    reign: &Reign<'_>,
    sink: &mut SplitSink<Socket, Message>,
    message: Message,
) -> Result<(), String> {
    if !reign.may_speak() {
        return Err("this master acts no more".to_owned());
    }
    match timeout(WRITE_WITHIN, sink.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(format!("broken: {error}")),
        Err(_) => Err(format!("a message was not taken within {} s", WRITE_WITHIN.as_secs())),
    }
}

/// Says goodbye when the link is not wanted any more.
async fn leave(reign: &Reign<'_>, outbox: &mpsc::Sender<Outgoing>) -> String {
    let off = reign.unwanted().await;
    // The answer to it ends the link sooner.
    if outbox.send(Outgoing::Close).await.is_ok() {
        sleep(CLOSE_WITHIN).await;
    }
    off.to_string()
}

/// A ping now and then, also while events flow.
async fn keep_alive(reign: &Reign<'_>, outbox: &mpsc::Sender<Outgoing>) -> String {
    loop {
        sleep(reign.settings().ping_every).await;
        let (heard, answered) = oneshot::channel();
        if outbox.send(Outgoing::Events { frames: Vec::new(), heard }).await.is_err()
            || answered.await.is_err()
        {
            return "no ping can be sent".to_owned();
        }
    }
}

/// Reads what comes, and has it carried out.
async fn listen(
    desk: &RestDesk,
    mut stream: SplitStream<Socket>,
    outbox: &mpsc::Sender<Outgoing>,
    pings: &Pings,
) -> String {
    let slots = Arc::new(Semaphore::new(REQUESTS));
    // What a request began goes on in a task of its own; here its answer is waited for.
    let mut answering: JoinSet<()> = JoinSet::new();
    while let Some(message) = stream.next().await {
        while answering.try_join_next().is_some() {}
        match message {
            Ok(Message::Pong(payload)) => pings.answered(&payload),
            Ok(Message::Binary(frame)) => match Call::decode(&frame) {
                Ok(Some(call)) => carry_out(desk, call, outbox, &slots, &mut answering).await,
                Ok(None) => tracing::debug!("the cloud said what asks for nothing"),
                Err(error) => tracing::debug!(%error, "the cloud said what is not understood"),
            },
            Ok(Message::Close(frame)) => {
                let why = closed(frame.as_ref());
                // Reading on sends the answer to it.
                let _ended =
                    timeout(CLOSE_WITHIN, async { while let Some(Ok(_)) = stream.next().await {} }).await;
                return why;
            }
            Ok(Message::Text(_) | Message::Ping(_) | Message::Frame(_)) => {}
            Err(error) => return format!("broken: {error}"),
        }
    }
    "closed by the cloud".to_owned()
}

fn closed(frame: Option<&CloseFrame>) -> String {
    let Some(CloseFrame { code, reason }) = frame else { return "closed by the cloud".to_owned() };
    let code = u16::from(*code);
    if code == BAD_CREDENTIALS {
        let why = "the cloud does not accept our credentials (closed with 1002): see oauth2.client_id and \
                   oauth2.client_secret";
        tracing::error!("{why}");
        return why.to_owned();
    }
    format!("closed by the cloud with {code}: {reason}")
}

async fn carry_out(
    desk: &RestDesk,
    call: Call,
    outbox: &mpsc::Sender<Outgoing>,
    slots: &Arc<Semaphore>,
    answering: &mut JoinSet<()>,
) {
    let Call { id, handler, method, params } = call;
    let refused = if handler == HANDLER {
        match Arc::clone(slots).try_acquire_owned() {
            Ok(slot) => {
                let (desk, outbox) = (desk.clone(), outbox.clone());
                answering.spawn(async move {
                    let outcome = desk.request(&method, params).await;
                    desk.metrics().request(outcome.is_ok());
                    // Whoever is not there any more hears nothing.
                    let _sent = outbox.send(Outgoing::Answer(Call::answer(id, outcome))).await;
                    drop(slot);
                });
                return;
            }
            Err(_) => Call::answer(id, Err(Fault::new(503, "too many requests at once: try again"))),
        }
    } else {
        Call::unknown(id)
    };
    desk.metrics().request(false);
    let _sent = outbox.send(Outgoing::Answer(refused)).await;
}
