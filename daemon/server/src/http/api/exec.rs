//! A command in a container over a WebSocket, whichever master holds the session of the container's agent. The
//! session is made at the agent before the handshake ends, so that what fails then is told as plain HTTP.

use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use futures_util::FutureExt;
use kontena_core::exec::{Decoder, Dialogue, Step, Wishes};
use kontena_wire::agent::Stream;
use serde_json::{Value, json};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::answer::{empty, encode};
use super::caller::Caller;
use super::containers::{OnNode, find};
use super::refused::Reply;
use super::submitted::{At, Query};
use crate::agents::{Exec, ExecEvent};
use crate::http::Api;

/// The largest frame of a client.
const FRAME_MAX: usize = 4 << 20;
/// From one ping to the next; who answered none by then is gone.
const PING_EVERY: Duration = Duration::from_secs(30);
/// For the command to come.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);
/// For a frame to be taken by the client's host.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// For the client to answer a close frame.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
const DONE: u16 = 1000;
const FAILED: u16 = 4000;

pub(super) async fn open(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<OnNode>,
    query: Query,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let Ok(upgrade) = upgrade else { return Ok(empty(StatusCode::NOT_FOUND)) };
    let asked = |flag: &str| query.text(flag) == Some("true");
    let wishes = Wishes { interactive: asked("interactive"), shell: asked("shell"), tty: asked("tty") };
    let event = if wishes.interactive { "exec_interactive" } else { "exec" };
    found.note(&api, &caller, event, "").await;
    let exec = api.agents.exec(found.node.id, found.engine_id()?).await?;
    let stopping = api.resources.stopping.clone();
    let tasks = api.resources.tasks.clone();
    let upgrade = upgrade.max_message_size(FRAME_MAX).max_frame_size(FRAME_MAX);
    Ok(upgrade.on_upgrade(move |socket| {
        let talk = Talk {
            socket,
            exec,
            wishes,
            dialogue: Dialogue::new(wishes),
            stdout: Decoder::default(),
            stderr: Decoder::default(),
        };
        tasks.track_future(talk.run(stopping)).boxed()
    }))
}

struct Talk {
    socket: WebSocket,
    exec: Exec,
    wishes: Wishes,
    dialogue: Dialogue,
    stdout: Decoder,
    stderr: Decoder,
}

/// How a session ends: with this close frame, or without a word since nobody is there.
enum End {
    Close(u16, String),
    Gone,
}

impl Talk {
    async fn run(mut self, stopping: CancellationToken) {
        let end = tokio::select! {
            end = self.talk() => end,
            () = stopping.cancelled() => self.fail("this master is about to stop").await,
        };
        let Self { mut socket, exec, .. } = self;
        // Whatever the reason, the agent forgets the session.
        drop(exec);
        let End::Close(code, reason) = end else { return };
        let tell = async {
            socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await?;
            while let Some(Ok(message)) = socket.recv().await {
                if let Message::Close(_) = message {
                    break;
                }
            }
            Ok::<(), axum::Error>(())
        };
        // Who does not answer is not waited for.
        let _told = timeout(CLOSE_WITHIN, tell).await;
    }

    async fn talk(&mut self) -> End {
        let begun = Instant::now();
        let mut pings = interval_at(begun + PING_EVERY, PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered = false;
        loop {
            let step = tokio::select! {
                message = self.socket.recv() => match message {
                    Some(Ok(Message::Text(frame))) => self.take(&frame).await,
                    Some(Ok(Message::Binary(_))) => Err(End::Close(FAILED, "a frame is no text".to_owned())),
                    Some(Ok(Message::Pong(_) | Message::Ping(_))) => {
                        unanswered = false;
                        Ok(())
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
                },
                event = self.exec.next() => self.tell(event).await,
                _ = pings.tick() => {
                    let late = !self.dialogue.is_running() && begun.elapsed() >= COMMAND_WITHIN;
                    if unanswered || late {
                        Err(End::Close(FAILED, "the client is silent".to_owned()))
                    } else {
                        unanswered = true;
                        self.send(Message::Ping(Vec::new().into())).await
                    }
                }
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    /// Takes in a frame of the client.
    async fn take(&mut self, frame: &str) -> Result<(), End> {
        let steps = self.dialogue.take(frame).map_err(|broken| End::Close(FAILED, broken.to_string()))?;
        for step in steps {
            let done = match step {
                Step::Run(command) => self.exec.run(&command, self.wishes.tty, self.wishes.interactive).await,
                Step::Input(input) => self.exec.input(input.as_deref()).await,
                Step::Resize(width, height) => self.exec.resize(width, height).await,
            };
            if let Err(error) = done {
                return Err(self.fail(&error.to_string()).await);
            }
        }
        Ok(())
    }

    /// Tells the client what came of its command.
    async fn tell(&mut self, event: ExecEvent) -> Result<(), End> {
        match event {
            ExecEvent::Output(stream, piece) => {
                let chunk = match stream {
                    Stream::Stdout => self.stdout.take(&piece),
                    Stream::Stderr => self.stderr.take(&piece),
                };
                self.show(stream, chunk).await
            }
            ExecEvent::Exit(code) => {
                for (stream, rest) in
                    [(Stream::Stdout, self.stdout.finish()), (Stream::Stderr, self.stderr.finish())]
                {
                    self.show(stream, rest).await?;
                }
                self.send(frame(&json!({ "exit": code }))).await?;
                Err(End::Close(DONE, String::new()))
            }
            ExecEvent::Error(error) => Err(self.fail(&error).await),
        }
    }

    async fn show(&mut self, stream: Stream, chunk: String) -> Result<(), End> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.send(frame(&json!({ "stream": stream.name(), "chunk": chunk }))).await
    }

    async fn fail(&mut self, why: &str) -> End {
        match self.send(frame(&json!({ "error": why }))).await {
            Ok(()) => End::Close(FAILED, String::new()),
            Err(end) => end,
        }
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(WRITE_WITHIN, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

fn frame(body: &Value) -> Message {
    let text = encode(body).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default();
    Message::Text(text.into())
}
