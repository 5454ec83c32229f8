//! One session: a socket, the calls that wait on it in both directions, and its keepalive, in one task.
//!
//! Calls of the agent that need the database are carried out one after the other, in their order; all others at once.
//! While they wait the socket is still read, since the agent's pings come by it, until too many wait (`waiting.rs`);
//! then nothing more is read from it, which slows the agent down and loses nothing. What the agent said before its
//! connection ended is carried out even after that, except for what its next session says anew.

mod waiting;

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_core::agents::Refusal;
use kontena_store::{Ended, Ending};
use kontena_wire::agent::outbound::Outbound;
use kontena_wire::rpc::{self, Fault, Value};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::Agents;
use super::admissions::Admitted;
use super::calls::{self, Effort, Taken};
use super::limits::{CLOSE_WITHIN, STATE_WITHIN, WAITING_ORDERS, WRITE_WITHIN};
use super::registry::{Answer, Handle, Order};
use super::socket::Socket;
use super::upgrade::close_frame;
use waiting::Waiting;

/// Calls that were found in the socket at the end of a session and wait for those that were read before.
const LEFT: usize = 1024;

/// What a request of the agent is answered.
type Outcome = Result<Value, Fault>;

/// The call that is being carried out.
struct Current {
    /// Of the request, until it is answered.
    id: Option<u64>,
    due: Instant,
    work: BoxFuture<'static, Outcome>,
}

struct Desk {
    agents: Agents,
    handle: Arc<Handle>,
    name: String,
    /// Requests to the agent that are not answered, by their id.
    asked: HashMap<u64, Answer>,
    next_id: u64,
    waiting: Waiting,
    current: Option<Current>,
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

    /// What came is against the WebSocket protocol, or the line is cut.
    fn broken(error: &Error) -> Self {
        let refusal = match error {
            Error::Capacity(_) => Refusal::new(1009, "WebSocket frame length too large"),
            Error::Utf8(_) => Refusal::new(1007, error.to_string()),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                return Self::gone(&error.to_string());
            }
            Error::Protocol(_) => Refusal::new(1002, error.to_string()),
            _ => return Self::gone(&error.to_string()),
        };
        Self::by_us(refusal, Ending::Gone)
    }

    fn gone(reason: &str) -> Self {
        Self { close: None, noted: Refusal::new(1006, reason), ending: Ending::Gone }
    }
}

/// Runs a session to its end.
pub(super) async fn run(agents: Agents, mut socket: Socket, admitted: Admitted) {
    let Admitted { session, grid, node_id, name, node_info, seen } = admitted;
    let (sender, mut orders) = mpsc::channel(WAITING_ORDERS);
    let handle = Arc::new(Handle::new(session, grid, node_id, sender));
    if let Some(older) = agents.0.registry.add(Arc::clone(&handle)) {
        let refusal = Refusal::superseded(&name, &super::bodies::utc(crate::clock::wall_ms()));
        older.end(refusal, Ending::Gone);
    }
    // What has changed since the node was read follows the greeting.
    agents.0.post.announcements.settle(session.node, seen);
    agents.0.arrivals.came(&name);
    tracing::debug!(NODE = handle.node_id, "connected");
    let ping_at = Instant::now() + agents.0.settings.ping_every;
    let greeting = agents.greeting(node_info);
    let mut desk = Desk {
        agents,
        handle,
        name,
        asked: HashMap::new(),
        next_id: 1,
        waiting: Waiting::new(&waiting::ALL),
        current: None,
        ping_at,
        pinged_at: None,
    };
    // Boxed, since what a session holds while nothing happens counts ten thousand times.
    let end = match desk.greet(&mut socket, greeting).boxed().await {
        Ok(()) => desk.serve(&mut socket, &mut orders).await,
        Err(end) => end,
    };
    let is_last = desk.agents.0.registry.remove(&desk.handle);
    desk.agents.0.arrivals.left(&desk.name);
    orders.close();
    desk.finish(socket, end, is_last).boxed().await;
}

impl Desk {
    async fn greet(&mut self, socket: &mut Socket, greeting: [Outbound; 2]) -> Result<(), End> {
        for Outbound { method, params, answer_within: _ } in greeting {
            write(socket, rpc::Message::notification(method, params).encode()).await?;
        }
        Ok(())
    }

    async fn serve(&mut self, socket: &mut Socket, orders: &mut mpsc::Receiver<Order>) -> End {
        loop {
            let reading = self.waiting.has_room();
            let wake_at = self.wake_at();
            let step = tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(socket, order).boxed().await,
                    None => Err(End::gone("its orders were closed")),
                },
                outcome = next_outcome(&mut self.current) => {
                    let id = self.current.take().and_then(|current| current.id);
                    self.start_next();
                    match id {
                        Some(id) => answer(socket, id, outcome).boxed().await,
                        None => Ok(()),
                    }
                }
                message = socket.recv(), if reading => match message {
                    Some(Ok(message)) => match self.take_in(message) {
                        Ok(Some((id, outcome))) => answer(socket, id, outcome).boxed().await,
                        Ok(None) => Ok(()),
                        Err(end) => Err(end),
                    },
                    Some(Err(error)) => Err(End::broken(&error)),
                    None => Err(End::gone("closed without a close frame")),
                },
                () = sleep_until(wake_at) => self.in_time(socket, reading).boxed().await,
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    fn wake_at(&self) -> Instant {
        let pong = self.pinged_at.map(|at| at + self.agents.0.settings.ping_timeout);
        let keepalive = pong.unwrap_or(self.ping_at);
        let current = self.current.as_ref().filter(|current| current.id.is_some());
        let overdue = match current {
            Some(current) => Some(current.due),
            None => self.waiting.due(),
        };
        overdue.map_or(keepalive, |due| due.min(keepalive))
    }

    async fn in_time(&mut self, socket: &mut Socket, reading: bool) -> Result<(), End> {
        for id in self.overdue(Instant::now()) {
            answer(socket, id, Err(calls::overdue())).await?;
        }
        self.keep_alive(socket, reading).await
    }

    /// Requests that have waited for too long. Those that only asked something are given up.
    fn overdue(&mut self, now: Instant) -> Vec<u64> {
        let mut ids = Vec::new();
        if let Some(current) = self.current.as_mut().filter(|current| current.due <= now) {
            ids.extend(current.id.take());
        }
        ids.extend(self.waiting.overdue(now));
        ids
    }

    async fn keep_alive(&mut self, socket: &mut Socket, reading: bool) -> Result<(), End> {
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

    /// Takes in what came; the answer to a request that has one already.
    fn take_in(&mut self, message: Message) -> Result<Option<(u64, Outcome)>, End> {
        match message {
            Message::Binary(frame) => return Ok(self.take_frame(&frame)),
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
                let (code, reason) =
                    frame.map_or((1000, String::new()), |f| (f.code.into(), f.reason.to_string()));
                let noted = Refusal::new(code, reason);
                return Err(End { close: None, noted, ending: Ending::Gone });
            }
            // The library answers pings; text is what no agent sends.
            Message::Ping(_) | Message::Text(_) | Message::Frame(_) => {}
        }
        Ok(None)
    }

    fn take_frame(&mut self, frame: &[u8]) -> Option<(u64, Outcome)> {
        match rpc::Message::decode(frame) {
            Ok(rpc::Message::Response { id, outcome }) => {
                // Whoever asked may have given up.
                let _heard = self.asked.remove(&id).map(|answer| answer.send(outcome));
                None
            }
            Ok(call) => {
                let (id, taken) = take(&self.agents, &self.handle, call, frame.len())?;
                match taken {
                    Taken::Answered(outcome) => Some((id?, outcome)),
                    Taken::Waits(effort) => self.enqueue(effort, frame.len()),
                }
            }
            // As the original did.
            Err(error) => {
                tracing::debug!(NODE = self.handle.node_id, %error, "a frame is passed over");
                None
            }
        }
    }

    /// Lets a call wait for its turn; the answer to one that it replaces.
    fn enqueue(&mut self, effort: Effort, size: usize) -> Option<(u64, Outcome)> {
        let replaced = self.waiting.push(effort, size);
        if self.current.is_none() {
            self.start_next();
        }
        let replaced = replaced?;
        Some((replaced.id?, Ok(replaced.answer_as_replaced())))
    }

    fn start_next(&mut self) {
        if let Some(Effort { id, due, call }) = self.waiting.pop() {
            let (agents, handle) = (self.agents.clone(), Arc::clone(&self.handle));
            self.current = Some(Current { id, due, work: calls::carry_out(agents, handle, *call).boxed() });
        }
    }

    async fn obey(&mut self, socket: &mut Socket, order: Order) -> Result<(), End> {
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

    /// Notes the end, tells the agent, and carries out what was received, and what it said before it heard of the end.
    /// The record of who was not the last session of its node here is its successor's already.
    async fn finish(mut self, mut socket: Socket, end: End, is_last: bool) {
        let End { close, noted, ending } = end;
        tracing::debug!(NODE = self.handle.node_id, name = self.name, code = noted.code, "{}", noted.reason);
        // Who waits for an answer learns at once that none will come.
        self.asked.clear();
        self.agents.0.execs.end_of(self.handle.node, &self.agents);
        let (agents, handle) = (self.agents.clone(), Arc::clone(&self.handle));
        let (left, mut rest) = mpsc::channel(LEFT);
        let tell = async move {
            if let Some(close) = &close {
                // What it said before may be there to be read all the same.
                let _told = socket.send(close_frame(close)).await;
            }
            while let Some(Ok(message)) = socket.recv().await {
                match message {
                    Message::Close(_) => break,
                    Message::Binary(frame) => {
                        if let Some(effort) = state_in(&agents, &handle, &frame)
                            && left.send(effort).await.is_err()
                        {
                            break;
                        }
                    }
                    Message::Ping(_) | Message::Pong(_) | Message::Text(_) | Message::Frame(_) => {}
                }
            }
        };
        let session = self.handle.session();
        let endings = &self.agents.0.endings;
        let note = async move {
            if is_last { endings.ask(Ended { session, ending, close: noted }).await } else { Ok(()) }
        };
        let (agents, handle) = (self.agents.clone(), Arc::clone(&self.handle));
        let (current, mut waiting) = (self.current, self.waiting);
        let finish = async move {
            // Nobody waits for answers any more.
            if let Some(current) = current {
                drop(current.work.await);
            }
            let carry_out =
                |effort: Effort| calls::carry_out(agents.clone(), Arc::clone(&handle), *effort.call);
            while let Some(effort) = waiting.pop() {
                if effort.outlives_its_session() {
                    drop(carry_out(effort).await);
                }
            }
            while let Some(effort) = rest.recv().await {
                drop(carry_out(effort).await);
            }
        };
        let (told, noted, finished) = tokio::join!(
            tokio::time::timeout(CLOSE_WITHIN, tell),
            note,
            tokio::time::timeout(STATE_WITHIN, finish)
        );
        if told.is_err() {
            tracing::debug!(NODE = self.handle.node_id, "an agent that left did not answer the close frame");
        }
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

/// Takes in a call; under which id it is to be answered.
fn take(
    agents: &Agents,
    handle: &Arc<Handle>,
    message: rpc::Message,
    size: usize,
) -> Option<(Option<u64>, Taken)> {
    let (id, method, params) = match message {
        rpc::Message::Request { id, method, params } => (Some(id), method, params),
        rpc::Message::Notification { method, params } => (None, method, params),
        rpc::Message::Response { .. } => return None,
    };
    Some((id, calls::take(agents, handle, id, (&method, &params), size)))
}

/// What a frame says that outlives its session, which has ended. What needs no database is done at once.
fn state_in(agents: &Agents, handle: &Arc<Handle>, frame: &[u8]) -> Option<Effort> {
    let message = rpc::Message::decode(frame).ok()?;
    match take(agents, handle, message, frame.len())? {
        (_, Taken::Waits(effort)) => effort.outlives_its_session().then_some(effort),
        (_, Taken::Answered(_)) => None,
    }
}

async fn next_outcome(current: &mut Option<Current>) -> Outcome {
    match current {
        Some(current) => (&mut current.work).await,
        None => std::future::pending().await,
    }
}

async fn answer(socket: &mut Socket, id: u64, outcome: Outcome) -> Result<(), End> {
    write(socket, rpc::Message::Response { id, outcome }.encode()).await
}

async fn write(socket: &mut Socket, frame: Vec<u8>) -> Result<(), End> {
    send(socket, Message::Binary(frame.into())).await
}

async fn send(socket: &mut Socket, message: Message) -> Result<(), End> {
    match tokio::time::timeout(WRITE_WITHIN, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(End::gone(&error.to_string())),
        Err(_) => Err(End::gone("its host takes no data")),
    }
}
