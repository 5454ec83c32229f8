//! The bus: calls on agents whose sessions are held by other masters, and what comes of them.
//!
//! What waits to be sent goes as one insert, in its order. What comes is taken in one after the other; each
//! message once, so that an agent gets a request at most once. Taking one in waits for nothing: one agent that does
//! not read would hold up the messages of all others.

mod lanes;
mod sending;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::{Packet, PacketKind, Store};
use kontena_wire::agent::outbound::Outbound;
use kontena_wire::rpc::{self, Fault, Value, loose};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::outbound::{Announcements, CallError, request_here, tell_changes};
use super::{Agents, arrivals, claimers, pod_notices};
use crate::feed::Feed;
use lanes::Lanes;
pub(super) use sending::Reading;

/// How many messages may wait to be sent, and to be taken in.
const WAITING: usize = 4096;
/// Larger messages go in pieces.
const PIECE: usize = 1 << 20;
/// How an agent is told of its pods: who says so waits for its reports.
const POD_NOTICE: &str = "/service_pods/notify_update";
/// How often it is looked whether a master that owes an answer is gone.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Pieces of messages that never became whole are forgotten beyond this number.
const PARTIAL_MAX: usize = 256;

/// Where messages are handed in, and answers are waited for.
pub(super) struct Post {
    outbox: mpsc::Sender<Packet>,
    owed: Mutex<HashMap<u64, Owed>>,
    next: AtomicU64,
    /// Commands whose output found no place.
    pub(super) ends: sending::Ends,
    /// What agents of this master must be told, whichever master has changed it.
    pub(super) announcements: Announcements,
}

struct Owed {
    owner: HolderId,
    reply: oneshot::Sender<Result<Value, CallError>>,
}

pub(super) type Inbox = mpsc::Receiver<Packet>;

impl Post {
    pub(super) fn new() -> (Self, Inbox) {
        let (outbox, inbox) = mpsc::channel(WAITING);
        let (owed, next) = (Mutex::default(), AtomicU64::new(1));
        let (ends, announcements) = (sending::Ends::default(), Announcements::default());
        (Self { outbox, owed, next, ends, announcements }, inbox)
    }

    /// The number of a new conversation.
    pub(super) fn fresh(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Hands in a message; waits for a place in the queue.
    pub(super) async fn send(
        &self,
        from: HolderId,
        to: HolderId,
        kind: PacketKind,
        about: u64,
        payload: Vec<u8>,
    ) {
        for packet in pieces(from, to, kind, about, &payload) {
            if self.outbox.send(packet).await.is_err() {
                tracing::debug!("the bus has ended");
            }
        }
    }

    /// Hands in a message if there is a place in the queue.
    pub(super) fn send_now(
        &self,
        from: HolderId,
        to: HolderId,
        kind: PacketKind,
        about: u64,
        payload: &[u8],
    ) -> bool {
        pieces(from, to, kind, about, payload).into_iter().all(|packet| self.outbox.try_send(packet).is_ok())
    }

    /// Hands in what came of a command, if there is a place in the queue; at most one piece. What is told of one command
    /// is numbered from 1, so that its reader sees if something is missing. The number goes as that of the only piece,
    /// over which masters of older versions pass.
    pub(super) fn tell(&self, from: HolderId, (to, about): Reading, number: u32, payload: Vec<u8>) -> bool {
        let (id, part) = (Packet::fresh_id(), (number, 1));
        self.outbox.try_send(Packet { id, to, from, kind: PacketKind::Exec, about, part, payload }).is_ok()
    }

    fn owed(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Owed>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn pieces(from: HolderId, to: HolderId, kind: PacketKind, about: u64, payload: &[u8]) -> Vec<Packet> {
    let chunks: Vec<&[u8]> = if payload.is_empty() { vec![payload] } else { payload.chunks(PIECE).collect() };
    let parts = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    let packet = |(part, chunk): (u32, &[u8])| Packet {
        id: Packet::fresh_id(),
        to,
        from,
        kind,
        about,
        part: (part, parts),
        payload: chunk.to_vec(),
    };
    (0..).zip(chunks).map(packet).collect()
}

/// Forgets what is owed when whoever waits gives up.
struct Waiting<'a> {
    post: &'a Post,
    about: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.post.owed().remove(&self.about);
    }
}

/// Calls an agent through its owner. With `exec`, the output of the session that the call makes is wanted too.
pub(super) async fn request(
    agents: &Agents,
    owner: HolderId,
    node: Id,
    call: Outbound,
    exec: Option<u64>,
) -> Result<Value, CallError> {
    let within = call.answer_within;
    exchange(agents, owner, (PacketKind::Request, request_body(node, call, exec)), within).await
}

/// Sends a message to another master and waits for its answer.
pub(super) async fn exchange(
    agents: &Agents,
    owner: HolderId,
    (kind, body): (PacketKind, Vec<u8>),
    within: Duration,
) -> Result<Value, CallError> {
    let post = &agents.0.post;
    let about = post.fresh();
    let (reply, outcome) = oneshot::channel();
    post.owed().insert(about, Owed { owner, reply });
    let _waiting = Waiting { post, about };
    let exchange = async {
        post.send(agents.0.me, owner, kind, about, body).await;
        outcome.await
    };
    match tokio::time::timeout(within, exchange).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(CallError::Lost),
        Err(_) => Err(CallError::Late(within)),
    }
}

/// Starts sending and receiving; returns what is received.
pub(super) fn start(agents: &Agents, streams: &Store, outbox: Inbox) -> mpsc::Receiver<Packet> {
    let (sender, packets) = mpsc::channel(WAITING);
    let (stop, me) = (agents.0.stop.clone(), agents.0.me);
    agents.0.tasks.spawn(streams.bus().follow(me, sender, stop.clone()));
    agents.0.tasks.spawn(super::ending_with(stop.clone(), sending::work(agents.clone(), outbox)));
    agents.0.tasks.spawn(super::ending_with(stop, tell_changes(agents.clone())));
    packets
}

/// Takes in what comes, and fails what masters that are gone owe.
pub(super) async fn work(agents: Agents, mut packets: mpsc::Receiver<Packet>, feed: Feed) {
    let mut partial: HashMap<(HolderId, u64), Vec<Packet>> = HashMap::new();
    let mut lanes = Lanes::default();
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            packet = packets.recv() => match packet {
                Some(packet) => if let Some(whole) = assemble(&mut partial, packet) {
                    take_in(&agents, whole, &mut lanes, &feed);
                },
                None => return,
            },
            _ = look.tick() => {
                agents.0.post.owed().retain(|_, owed| agents.is_alive(owed.owner));
                agents.0.execs.look(&agents);
                lanes.tidy();
            }
        }
    }
}

fn assemble(partial: &mut HashMap<(HolderId, u64), Vec<Packet>>, packet: Packet) -> Option<Packet> {
    let (_, parts) = packet.part;
    if parts <= 1 {
        return Some(packet);
    }
    if partial.len() >= PARTIAL_MAX {
        partial.clear();
    }
    let key = (packet.from, packet.about);
    let pieces = partial.entry(key).or_default();
    pieces.push(packet);
    if u32::try_from(pieces.len()).ok() != Some(parts) {
        return None;
    }
    let mut pieces = partial.remove(&key)?;
    pieces.sort_by_key(|packet| packet.part.0);
    let payload = pieces.iter().flat_map(|packet| packet.payload.iter().copied()).collect();
    pieces.into_iter().next().map(|first| Packet { payload, ..first })
}

fn take_in(agents: &Agents, packet: Packet, lanes: &mut Lanes, feed: &Feed) {
    let Packet { from, kind, about, payload, id: _, to: _, part: (number, _) } = packet;
    match kind {
        PacketKind::Request => {
            let Some((node, call, exec)) = parse_request(&payload) else {
                return tracing::warn!("a request from another master is not understood");
            };
            if call.method == POD_NOTICE {
                agents.0.claimers.asked(node, from, Instant::now());
            }
            let agents = agents.clone();
            agents.clone().0.tasks.spawn(async move {
                let outcome = answer(&agents, node, call, exec.map(|exec| (from, exec))).await;
                agents.0.post.send(agents.0.me, from, PacketKind::Answer, about, answer_body(outcome)).await;
            });
        }
        PacketKind::Notify => {
            let Some((node, call, _)) = parse_request(&payload) else { return };
            if call.method == "/containers/terminate_exec"
                && let Some(exec_id) = call.params.first().and_then(loose::text)
            {
                agents.0.execs.forget(&exec_id);
            }
            lanes.pass_on(agents, node, call, payload.len());
        }
        PacketKind::Answer => {
            let owed = agents.0.post.owed().remove(&about);
            if let (Some(owed), Some(outcome)) = (owed, parse_answer(&payload)) {
                // Whoever asked may have given up.
                let _heard = owed.reply.send(outcome);
            }
        }
        PacketKind::Pods => {
            let agents = agents.clone();
            agents.clone().0.tasks.spawn(async move {
                if let Some(outcome) = pod_notices::told(&agents, from, &payload).await {
                    agents
                        .0
                        .post
                        .send(agents.0.me, from, PacketKind::Answer, about, answer_body(outcome))
                        .await;
                }
            });
        }
        PacketKind::Reports => claimers::told(agents, &payload),
        PacketKind::Moves => arrivals::told(feed, from.to_string(), &payload),
        PacketKind::Exec => agents.0.execs.told(about, number, &payload),
        PacketKind::Announce => {
            if let Ok(grid) = <[u8; 12]>::try_from(payload.as_slice()) {
                agents.announce_here(Id::from_bytes(grid));
            }
        }
    }
}

pub(super) async fn answer(
    agents: &Agents,
    node: Id,
    call: Outbound,
    exec: Option<(HolderId, u64)>,
) -> Result<Value, CallError> {
    let Some(handle) = agents.0.registry.get(node) else {
        return Err(CallError::NotConnected(node.to_string()));
    };
    let result = request_here(&handle, call).await?;
    if let (Some((from, about)), Some(exec_id)) = (exec, loose::text_at(&result, "id")) {
        agents.0.execs.add_remote(exec_id, node, from, about);
    }
    Ok(result)
}

/// The methods that may come from another master; a name that is not among them is not called.
const METHODS: [&str; 18] = [
    "/agent/node_info",
    "/service_pods/notify_update",
    "/service_pods/restart",
    "/volumes/notify_update",
    "/load_balancers/remove_service",
    "/etcd/get",
    "/etcd/set",
    "/etcd/delete",
    "/etcd/health",
    "/containers/inspect",
    "/containers/top",
    "/containers/exec",
    "/containers/create_exec",
    "/containers/run_exec",
    "/containers/tty_input",
    "/containers/tty_resize",
    "/containers/terminate_exec",
    "/agent/master_info",
];

fn request_body(node: Id, call: Outbound, exec: Option<u64>) -> Vec<u8> {
    let Outbound { method, params, answer_within } = call;
    let millis = u64::try_from(answer_within.as_millis()).unwrap_or(u64::MAX);
    rpc::encode(&Value::Array(vec![
        Value::Binary(node.bytes().to_vec()),
        method.into(),
        Value::Array(params),
        millis.into(),
        exec.map_or(Value::Nil, Value::from),
    ]))
}

pub(super) fn node_id(value: &Value) -> Option<Id> {
    Some(Id::from_bytes(<[u8; 12]>::try_from(loose::bytes(value)?).ok()?))
}

pub(super) fn notify_body(node: Id, call: Outbound) -> Vec<u8> {
    request_body(node, call, None)
}

fn parse_request(payload: &[u8]) -> Option<(Id, Outbound, Option<u64>)> {
    let Value::Array(parts) = rpc::decode(payload).ok()? else { return None };
    let [node, method, Value::Array(params), millis, exec] = parts.as_slice() else { return None };
    let node = node_id(node)?;
    let method = loose::text(method)?;
    let method = METHODS.into_iter().find(|known| *known == method)?;
    let answer_within = Duration::from_millis(millis.as_u64()?);
    Some((node, Outbound { method, params: params.clone(), answer_within }, exec.as_u64()))
}

pub(super) fn answer_body(outcome: Result<Value, CallError>) -> Vec<u8> {
    let (kind, detail) = match outcome {
        Ok(result) => ("ok", result),
        Err(CallError::Fault(Fault { code, message })) => {
            ("fault", Value::Array(vec![code.into(), message.into()]))
        }
        Err(CallError::NotConnected(name)) => ("not_connected", name.into()),
        Err(CallError::Late(within)) => {
            ("late", u64::try_from(within.as_millis()).unwrap_or(u64::MAX).into())
        }
        Err(CallError::Lost | CallError::UnknownNode | CallError::Unavailable(_)) => ("lost", Value::Nil),
    };
    rpc::encode(&Value::Array(vec![kind.into(), detail]))
}

pub(super) fn parse_answer(payload: &[u8]) -> Option<Result<Value, CallError>> {
    let Value::Array(mut parts) = rpc::decode(payload).ok()? else { return None };
    let detail = parts.pop()?;
    let kind = loose::text(parts.first()?)?.into_owned();
    Some(match kind.as_str() {
        "ok" => Ok(detail),
        "fault" => {
            let parts = loose::elements(Some(&detail));
            let code = parts.first().and_then(loose::integer)?;
            Err(Fault::new(code, loose::text(parts.get(1)?)?).into())
        }
        "not_connected" => Err(CallError::NotConnected(loose::text(&detail)?.into_owned())),
        "late" => Err(CallError::Late(Duration::from_millis(detail.as_u64()?))),
        _ => Err(CallError::Lost),
    })
}

#[cfg(test)]
mod tests {
    use kontena_wire::agent::outbound;

    use super::*;

    const ME: HolderId = HolderId::from_bytes([1; 16]);
    const OTHER: HolderId = HolderId::from_bytes([2; 16]);

    #[test]
    fn a_request_is_read_as_it_was_written_and_only_known_methods_are() {
        let node = Id::from_bytes([7; 12]);
        let call = outbound::etcd_get("/app", true);
        assert_eq!(parse_request(&request_body(node, call.clone(), Some(3))), Some((node, call, Some(3))));
        let unknown = Outbound { method: "/system/halt", ..outbound::etcd_health() };
        assert_eq!(parse_request(&request_body(node, unknown, None)), None);
    }

    #[test]
    fn answers_of_all_kinds_are_read_as_they_were_written() {
        let written = |outcome| parse_answer(&answer_body(outcome)).map(|read| format!("{read:?}"));
        for outcome in [
            Ok(Value::from("x")),
            Err(CallError::Fault(Fault::new(404, "Not found"))),
            Err(CallError::NotConnected("core-1".to_owned())),
            Err(CallError::Late(Duration::from_secs(5))),
            Err(CallError::Lost),
        ] {
            assert_eq!(written(outcome.clone()), Some(format!("{outcome:?}")));
        }
    }

    #[test]
    fn a_large_message_goes_in_pieces_and_is_whole_again_whatever_their_order() {
        let payload: Vec<u8> = (0..3 * PIECE + 17).map(|at| u8::try_from(at % 251).unwrap_or(0)).collect();
        let mut packets = pieces(ME, OTHER, PacketKind::Answer, 9, &payload);
        assert_eq!(packets.len(), 4);
        packets.reverse();
        let mut partial = HashMap::new();
        let whole: Vec<Packet> =
            packets.into_iter().filter_map(|packet| assemble(&mut partial, packet)).collect();
        assert_eq!(whole.len(), 1);
        assert_eq!(whole[0].payload, payload);
        assert!(partial.is_empty());
    }
}
