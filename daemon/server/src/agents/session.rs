//! One session: a socket, the calls that wait on it in both directions, and its keepalive, in one task.
//!
//! Calls of the agent are carried out one after the other, in their order. While they wait the socket is still
//! read, until too many wait; then nothing more is read from it, which slows the agent down and loses nothing.
//! What was read is carried out even if the session ends meanwhile.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_core::agents::Refusal;
use kontena_store::{Ended, Ending};
use kontena_wire::agent::outbound::Outbound;
use kontena_wire::rpc;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::Agents;
use super::admissions::Admitted;
use super::calls::{self, Effort};
use super::limits::{
    CLOSE_WITHIN, FINISH_WITHIN, WAITING_BYTES, WAITING_CALLS, WAITING_ORDERS, WRITE_WITHIN,
};
use super::registry::{Answer, Handle, Order};
use super::upgrade::close_frame;

/// A call of the agent that waits, and how large its frame was.
type Waiting = (Effort, usize);

struct Desk {
    agents: Agents,
    handle: Arc<Handle>,
    name: String,
    /// Requests to the agent that are not answered, by their id.
    asked: HashMap<u64, Answer>,
    next_id: u64,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    /// The call that is being carried out; its answer, if it wants one.
    current: Option<BoxFuture<'static, Option<Vec<u8>>>>,
    ping_at: Instant,
    pinged_at: Option<Instant>,
}

/// Why a session is over.
struct End {
    /// To be told to the agent.
    close: Option<Refusal>,
    /// To be noted with the node.
    noted: Refusal,
    ending: Ending,
}

impl End {
    fn by_us(close: Refusal, ending: Ending) -> Self {
        Self { close: Some(close.clone()), noted: close, ending }
    }

    fn gone(reason: &str) -> Self {
        Self { close: None, noted: Refusal::new(1006, reason), ending: Ending::Gone }
    }
}

/// Runs a session to its end.
pub(super) async fn run(agents: Agents, mut socket: WebSocket, admitted: Admitted) {
    let Admitted { session, grid, node_id, name, node_info } = admitted;
    let (sender, mut orders) = mpsc::channel(WAITING_ORDERS);
    let handle = Arc::new(Handle::new(session, grid, node_id, sender));
    if let Some(older) = agents.0.registry.add(Arc::clone(&handle)) {
        let refusal = Refusal::superseded(&name, &super::bodies::utc(crate::clock::wall_ms()));
        older.end(refusal, Ending::Gone);
    }
    tracing::debug!(NODE = handle.node_id, "connected");
    let ping_at = Instant::now() + agents.0.settings.ping_every;
    let greeting = agents.greeting(node_info);
    let mut desk = Desk {
        agents,
        handle,
        name,
        asked: HashMap::new(),
        next_id: 1,
        waiting: VecDeque::new(),
        waiting_bytes: 0,
        current: None,
        ping_at,
        pinged_at: None,
    };
    let end = match desk.greet(&mut socket, greeting).await {
        Ok(()) => desk.serve(&mut socket, &mut orders).await,
        Err(end) => end,
    };
    desk.agents.0.registry.remove(&desk.handle);
    orders.close();
    desk.finish(socket, end).await;
}

impl Desk {
    async fn greet(&mut self, socket: &mut WebSocket, greeting: [Outbound; 2]) -> Result<(), End> {
        for Outbound { method, params, answer_within: _ } in greeting {
            write(socket, rpc::Message::notification(method, params).encode()).await?;
        }
        Ok(())
    }

    async fn serve(&mut self, socket: &mut WebSocket, orders: &mut mpsc::Receiver<Order>) -> End {
        loop {
            let reading = self.has_room();
            let wake_at = self.wake_at();
            let step = tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(socket, order).await,
                    None => Err(End::gone("its orders were closed")),
                },
                answer = next_answer(&mut self.current) => {
                    self.current = None;
                    self.start_next();
                    match answer {
                        Some(frame) => write(socket, frame).await,
                        None => Ok(()),
                    }
                }
                message = socket.recv(), if reading => match message {
                    Some(Ok(message)) => self.take_in(message),
                    Some(Err(error)) => Err(End::gone(&error.to_string())),
                    None => Err(End::gone("closed without a close frame")),
                },
                () = sleep_until(wake_at) => self.keep_alive(socket, reading).await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_CALLS && self.waiting_bytes < WAITING_BYTES
    }

    fn wake_at(&self) -> Instant {
        let pong = self.pinged_at.map(|at| at + self.agents.0.settings.ping_timeout);
        pong.unwrap_or(self.ping_at)
    }

    async fn keep_alive(&mut self, socket: &mut WebSocket, reading: bool) -> Result<(), End> {
        let now = Instant::now();
        let settings = &self.agents.0.settings;
        match self.pinged_at {
            Some(at) if now >= at + settings.ping_timeout => {
                if reading {
                    let silent = Refusal::ping_timeout(now.duration_since(at).as_secs_f64());
                    return Err(End::by_us(silent, Ending::Gone));
                }
                // The answer may lie unread in the socket, which is not the agent's fault.
                self.pinged_at = Some(now);
            }
            None if now >= self.ping_at => {
                self.pinged_at = Some(now);
                self.ping_at = now + settings.ping_every;
                send(socket, Message::Ping(Vec::new().into())).await?;
            }
            Some(_) | None => {}
        }
        Ok(())
    }

    fn take_in(&mut self, message: Message) -> Result<(), End> {
        match message {
            Message::Binary(frame) => self.take_frame(&frame),
            Message::Pong(_) => {
                if let Some(at) = self.pinged_at.take() {
                    let late = at.elapsed();
                    if late > self.agents.0.settings.ping_timeout / 2 {
                        tracing::warn!(NODE = self.handle.node_id, ?late, "the agent answered late");
                    }
                    self.agents.0.heard.of(&self.handle);
                }
            }
            Message::Close(frame) => {
                // Without a code it counts as a usual end.
                let (code, reason) = frame.map_or((1000, String::new()), |f| (f.code, f.reason.to_string()));
                let noted = Refusal::new(code, reason);
                return Err(End { close: None, noted, ending: Ending::Gone });
            }
            // The library answers pings; text is what no agent sends.
            Message::Ping(_) | Message::Text(_) => {}
        }
        Ok(())
    }

    fn take_frame(&mut self, frame: &[u8]) {
        match rpc::Message::decode(frame) {
            Ok(rpc::Message::Response { id, outcome }) => {
                // Whoever asked may have given up.
                let _heard = self.asked.remove(&id).map(|answer| answer.send(outcome));
            }
            Ok(rpc::Message::Request { id, method, params }) => {
                let effort = calls::take(&self.agents, &self.handle, Some(id), &method, &params, frame.len());
                self.enqueue(effort, frame.len());
            }
            Ok(rpc::Message::Notification { method, params }) => {
                let effort = calls::take(&self.agents, &self.handle, None, &method, &params, frame.len());
                self.enqueue(effort, frame.len());
            }
            // As the original did.
            Err(error) => tracing::debug!(NODE = self.handle.node_id, %error, "a frame is passed over"),
        }
    }

    fn enqueue(&mut self, effort: Option<Effort>, size: usize) {
        let Some(effort) = effort else { return };
        self.waiting_bytes += size;
        self.waiting.push_back((effort, size));
        if self.current.is_none() {
            self.start_next();
        }
    }

    fn start_next(&mut self) {
        if let Some((effort, size)) = self.waiting.pop_front() {
            self.waiting_bytes -= size;
            let (agents, handle) = (self.agents.clone(), Arc::clone(&self.handle));
            self.current = Some(calls::carry_out(agents, handle, effort).boxed());
        } else if self.waiting.capacity() > 32 {
            self.waiting.shrink_to_fit();
        }
    }

    async fn obey(&mut self, socket: &mut WebSocket, order: Order) -> Result<(), End> {
        match order {
            Order::End(end) => {
                let (refusal, ending) = *end;
                Err(End::by_us(refusal, ending))
            }
            Order::Call(call, answer) => {
                let Outbound { method, params, answer_within: _ } = *call;
                let message = match answer {
                    Some(answer) if answer.is_closed() => return Ok(()),
                    Some(answer) => {
                        let id = self.next_id;
                        self.next_id += 1;
                        self.forget_abandoned();
                        self.asked.insert(id, answer);
                        rpc::Message::Request { id, method: method.to_owned(), params }
                    }
                    None => rpc::Message::notification(method, params),
                };
                write(socket, message.encode()).await
            }
        }
    }

    /// Whoever asked and gave up leaves its request behind.
    fn forget_abandoned(&mut self) {
        if self.asked.len() >= 16 {
            self.asked.retain(|_, answer| !answer.is_closed());
        }
    }

    /// Notes the end, tells the agent, and carries out what was received.
    async fn finish(mut self, mut socket: WebSocket, end: End) {
        let End { close, noted, ending } = end;
        tracing::debug!(NODE = self.handle.node_id, name = self.name, code = noted.code, "{}", noted.reason);
        // Who waits for an answer learns at once that none will come.
        self.asked.clear();
        self.agents.0.execs.end_of(self.handle.node, &self.agents);
        let tell = async {
            if let Some(close) = &close {
                socket.send(close_frame(close)).await?;
            }
            while let Some(Ok(message)) = socket.recv().await {
                if let Message::Close(_) = message {
                    break;
                }
            }
            Ok::<(), axum::Error>(())
        };
        let session = self.handle.session();
        let note = self.agents.0.endings.ask(Ended { session, ending, close: noted });
        let (agents, handle) = (self.agents.clone(), Arc::clone(&self.handle));
        let (current, mut waiting) = (self.current.take(), std::mem::take(&mut self.waiting));
        let finish = async move {
            if let Some(current) = current {
                current.await;
            }
            while let Some((effort, _)) = waiting.pop_front() {
                calls::carry_out(agents.clone(), Arc::clone(&handle), effort).await;
            }
        };
        let (told, noted, finished) = tokio::join!(
            tokio::time::timeout(CLOSE_WITHIN, tell),
            note,
            tokio::time::timeout(FINISH_WITHIN, finish)
        );
        // An agent that does not answer the close frame is not waited for.
        drop(told);
        if let Err(failure) = noted {
            tracing::warn!(NODE = self.handle.node_id, %failure, "the end of a session was not noted");
        }
        if finished.is_err() {
            tracing::warn!(
                NODE = self.handle.node_id,
                "some calls of an agent that left were not carried out"
            );
        }
    }
}

async fn next_answer(current: &mut Option<BoxFuture<'static, Option<Vec<u8>>>>) -> Option<Vec<u8>> {
    match current {
        Some(current) => current.await,
        None => std::future::pending().await,
    }
}

async fn write(socket: &mut WebSocket, frame: Vec<u8>) -> Result<(), End> {
    send(socket, Message::Binary(frame.into())).await
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match tokio::time::timeout(WRITE_WITHIN, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(End::gone(&error.to_string())),
        Err(_) => Err(End::gone("its host takes no data")),
    }
}
