//! Lets agents in, all that wait together: a handful of commands for a batch of them, where each alone would
//! take as many. One batch at a time, so that this process never races with itself for a node.

mod rivals;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::OnceLock;

use kontena_core::agents::admission::{self, Credential, Decision, Hello, NODES_MAX};
use kontena_core::agents::{Peer, Refusal};
use kontena_core::clock::Clock;
use kontena_core::id::Id;
use kontena_store::{CreateFault, Ended, Ending, Failure, GridRow, NewNode, NodeRow, Plug, Session};
use kontena_wire::rpc::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::limits::ADMIT_WITHIN;
use super::retry::until_done;
use super::{Agents, LIMIT, Surroundings, bodies};
use crate::clock::SystemClock;
use crate::fitness::Fitness;
use crate::heartbeat::Picture;
use rivals::{beaten, come_again, one_for_each_node};

/// How many are let in together.
const TOGETHER: usize = 256;

/// An agent that asks to be let in.
pub(super) struct Applicant {
    pub(super) hello: Hello,
    /// By the agent's clock, in milliseconds since 1970.
    pub(super) connected_at: i64,
    /// Its clock is too far off: it is only noted.
    pub(super) skew: Option<Refusal>,
}

/// What became of it.
pub(super) enum Verdict {
    Admitted(Seat),
    Refused(Refusal),
    /// Not now, and nothing is known about the agent: it should come back later.
    Unavailable(String),
}

/// A session that is in force in the database and has no socket yet. Dropped unused, it is given up.
pub(super) struct Seat {
    admitted: Option<Admitted>,
    agents: Agents,
}

/// What a session starts with.
pub(super) struct Admitted {
    pub(super) session: Session,
    pub(super) grid: Id,
    pub(super) node_id: String,
    pub(super) name: String,
    pub(super) node_info: Value,
    /// How many changes had been heard of before its node was read.
    pub(super) seen: u64,
}

impl Seat {
    pub(super) fn take(mut self) -> Option<Admitted> {
        self.admitted.take()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            let agents = self.agents.clone();
            self.agents.0.tasks.spawn(async move {
                let close = Refusal::new(1006, "the agent left before it was let in");
                let ended = Ended { session: admitted.session, ending: Ending::Gone, close };
                if let Err(failure) = agents.0.endings.ask(ended).await {
                    tracing::debug!(%failure, "a session without a socket was not ended");
                }
            });
        }
    }
}

type Application = (Applicant, oneshot::Sender<Verdict>);

/// Where agents apply.
pub(super) struct Desk {
    queue: mpsc::Sender<Application>,
    surroundings: OnceLock<Surroundings>,
}

pub(super) type Inbox = mpsc::Receiver<Application>;

impl Desk {
    pub(super) fn new(waiting: usize) -> (Self, Inbox) {
        let (queue, inbox) = mpsc::channel(waiting);
        (Self { queue, surroundings: OnceLock::new() }, inbox)
    }

    pub(super) fn open(&self, surroundings: Surroundings) {
        // There is one start.
        let _opened = self.surroundings.set(surroundings);
    }

    /// Why nobody is let in now, if so.
    pub(super) fn closed(&self) -> Option<&'static str> {
        let Some(surroundings) = self.surroundings.get() else { return Some("this master is starting") };
        if *surroundings.draining.borrow() {
            return Some("this master is about to stop");
        }
        if *surroundings.fitness.borrow() != Fitness::Fit {
            return Some("this master is not ready");
        }
        if !surroundings.picture.borrow().is_fresh(SystemClock.now().monotonic) {
            return Some("the database does not answer");
        }
        None
    }

    /// What the masters look like, once this one runs.
    pub(super) fn picture(&self) -> Option<watch::Ref<'_, Picture>> {
        Some(self.surroundings.get()?.picture.borrow())
    }

    /// Waits until it is decided.
    pub(super) async fn apply(&self, applicant: Applicant) -> Verdict {
        let unavailable = |why: &str| Verdict::Unavailable(why.to_owned());
        let (reply, verdict) = oneshot::channel();
        if self.queue.try_send((applicant, reply)).is_err() {
            return unavailable("too many agents are waiting to be let in");
        }
        match tokio::time::timeout(ADMIT_WITHIN, verdict).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(_)) => unavailable("this master is about to stop"),
            Err(_) => unavailable("the database is too slow"),
        }
    }
}

pub(super) async fn work(agents: Agents, mut inbox: Inbox) {
    let mut batch: Vec<Application> = Vec::new();
    loop {
        if batch.is_empty() && inbox.recv_many(&mut batch, TOGETHER).await == 0 {
            return;
        }
        while batch.len() < TOGETHER
            && let Ok(next) = inbox.try_recv()
        {
            batch.push(next);
        }
        // Two connections of one node are decided one after the other; who has gone is not let in.
        let mut nodes = HashSet::new();
        let (mut now, mut later) = (Vec::new(), Vec::new());
        for application in batch.drain(..).filter(|(_, reply)| !reply.is_closed()) {
            if nodes.insert(application.0.hello.node_id.clone()) {
                now.push(application);
            } else {
                later.push(application);
            }
        }
        batch = later;
        let (applicants, replies): (Vec<Applicant>, Vec<_>) = now.into_iter().unzip();
        let verdicts = match decide(&agents, &applicants).await {
            Ok(verdicts) => verdicts,
            Err(failure) => {
                tracing::warn!(%failure, agents = applicants.len(), "agents cannot be let in");
                applicants
                    .iter()
                    .map(|_| Verdict::Unavailable("the database does not answer".to_owned()))
                    .collect()
            }
        };
        for (reply, verdict) in replies.into_iter().zip(verdicts) {
            // A seat that nobody takes any more is given up by being dropped.
            let _taken = reply.send(verdict);
        }
    }
}

/// The verdicts in the order of the applicants.
async fn decide(agents: &Agents, applicants: &[Applicant]) -> Result<Vec<Verdict>, Failure> {
    let nodes = &agents.0.nodes;
    let token = |grid: bool| {
        let tokens = applicants.iter().filter_map(move |applicant| match &applicant.hello.credential {
            Credential::Grid(token) if grid => Some(token.as_str()),
            Credential::Node(token) if !grid => Some(token.as_str()),
            _ => None,
        });
        tokens.collect::<BTreeSet<&str>>().into_iter().collect::<Vec<&str>>()
    };
    let ids: Vec<&str> = applicants.iter().map(|applicant| applicant.hello.node_id.as_str()).collect();
    let (grid_tokens, node_tokens) = (token(true), token(false));
    let grids = agents.0.store.grids();
    let (grids_by_token, known) =
        tokio::try_join!(grids.by_tokens(&grid_tokens), nodes.known(&ids, &node_tokens, LIMIT))?;
    let by_node_id: HashMap<&str, &NodeRow> =
        known.iter().filter_map(|(row, _)| Some((row.known.node_id.as_deref()?, row))).collect();
    let by_token: HashMap<&str, &NodeRow> =
        known.iter().filter_map(|(row, token)| Some((token.as_deref()?, row))).collect();
    let mut verdicts: Vec<Option<Verdict>> = applicants.iter().map(|_| None).collect();
    let mut seats: Vec<(usize, Plug)> = Vec::new();
    let mut new: Vec<(usize, NewNode)> = Vec::new();
    for (index, applicant) in applicants.iter().enumerate() {
        let hello = &applicant.hello;
        let (grid, meant) = match &hello.credential {
            Credential::Grid(token) => (grids_by_token.get(token).map(|grid| grid.id), None),
            Credential::Node(token) => (None, by_token.get(token.as_str())),
        };
        let same = by_node_id.get(hello.node_id.as_str());
        let decision =
            admission::decide(hello, grid, same.map(|row| &row.known), meant.map(|row| &row.known));
        let plug = |node: Id, observed: i64, claim| Plug {
            node,
            observed,
            connected_at: applicant.connected_at,
            claim,
        };
        match decision {
            Err(refusal) => put(&mut verdicts, index, Verdict::Refused(refusal)),
            Ok(Decision::Known(node)) => {
                seats.push((index, plug(node, same.map_or(0, |row| row.epoch), None)));
            }
            Ok(Decision::Claim(claim)) => {
                let Hello { node_id, version, labels, node_name: _, credential: _ } = hello.clone();
                let observed = meant.map_or(0, |row| row.epoch);
                seats.push((index, plug(claim.node, observed, Some((node_id, version, labels)))));
            }
            Ok(Decision::New { grid }) => new.push((index, new_node(grid, hello))),
        }
    }
    let wanted: Vec<NewNode> = new.iter().map(|(_, node)| node.clone()).collect();
    let made = if wanted.is_empty() { Vec::new() } else { nodes.create(&wanted, LIMIT).await? };
    for ((index, _), outcome) in new.into_iter().zip(made) {
        let verdict = match outcome {
            Ok(node) => {
                let connected_at = applicants.get(index).map_or(0, |applicant| applicant.connected_at);
                seats.push((index, Plug { node, observed: 0, connected_at, claim: None }));
                continue;
            }
            Err(CreateFault::Full) => Verdict::Refused(Refusal::grid_full(NODES_MAX)),
            // Made by another master since it was looked for: it will be known at the next try.
            Err(CreateFault::NameTaken | CreateFault::Taken | CreateFault::Contended) => {
                Verdict::Unavailable("this node is being let in by another master".to_owned())
            }
        };
        put(&mut verdicts, index, verdict);
    }
    // Whose clock is off is noted, and not let in.
    let mut plugs: Vec<(usize, Plug)> = Vec::new();
    for (index, plug) in seats {
        match applicants.get(index).and_then(|applicant| applicant.skew.clone()) {
            None => plugs.push((index, plug)),
            Some(refusal) => {
                let noted = plug.connected_at.min(crate::clock::wall_ms());
                nodes.reject(plug.node, noted, &refusal, LIMIT).await?;
                put(&mut verdicts, index, Verdict::Refused(refusal));
            }
        }
    }
    let (plugs, rivals) = one_for_each_node(plugs);
    for (index, verdict) in plug_in(agents, plugs).await? {
        put(&mut verdicts, index, verdict);
    }
    for (index, first) in rivals {
        let let_in = matches!(verdicts.get(first), Some(Some(Verdict::Admitted(_))));
        let verdict = match (applicants.get(index), applicants.get(first).filter(|_| let_in)) {
            (Some(rival), Some(first)) => beaten(rival, first, &by_token),
            _ => come_again(),
        };
        put(&mut verdicts, index, verdict);
    }
    let missing = || Verdict::Unavailable("not decided".to_owned());
    Ok(verdicts.into_iter().map(|verdict| verdict.unwrap_or_else(missing)).collect())
}

/// Begins the sessions; whoever was faster elsewhere is in force there.
async fn plug_in(agents: &Agents, plugs: Vec<(usize, Plug)>) -> Result<Vec<(usize, Verdict)>, Failure> {
    if plugs.is_empty() {
        return Ok(Vec::new());
    }
    let (me, nodes) = (agents.0.me, &agents.0.nodes);
    let wanted: Vec<Plug> = plugs.iter().map(|(_, plug)| plug.clone()).collect();
    let within = ADMIT_WITHIN / 2;
    // The same statements again change nothing, and what is in force is read after each try.
    let begun = until_done(within, || nodes.plug(&wanted, me, LIMIT)).await;
    let in_force: HashSet<Id> = match begun {
        Ok(begun) => begun.into_iter().collect(),
        Err(failure) => {
            give_up(agents, &wanted);
            return Err(failure);
        }
    };
    let seen = agents.0.post.announcements.changes();
    let mut seats: HashMap<Id, Seat> = HashMap::new();
    for plug in wanted.iter().filter(|plug| in_force.contains(&plug.node)) {
        let session = Session { node: plug.node, epoch: plug.observed + 1 };
        let blank = Admitted {
            session,
            grid: plug.node,
            node_id: String::new(),
            name: String::new(),
            node_info: Value::Nil,
            seen,
        };
        // From here on, whatever fails gives the session up again.
        seats.insert(plug.node, Seat { admitted: Some(blank), agents: agents.clone() });
    }
    let infos = node_infos(agents, &in_force.into_iter().collect::<Vec<_>>()).await?;
    let mut verdicts = Vec::new();
    for (index, plug) in plugs {
        let verdict = match (seats.remove(&plug.node), infos.get(&plug.node)) {
            (Some(mut seat), Some(info)) => {
                if let Some(admitted) = &mut seat.admitted {
                    let NodeRow { known, name, .. } = &info.row;
                    admitted.grid = known.grid;
                    admitted.node_id = known.node_id.clone().unwrap_or_default();
                    admitted.name.clone_from(name);
                    admitted.node_info = info.body.clone();
                }
                Verdict::Admitted(seat)
            }
            // Nothing certain is known of it; it comes back and is looked at anew.
            _ => Verdict::Refused(Refusal::going_away("another connection of this node was let in")),
        };
        verdicts.push((index, verdict));
    }
    Ok(verdicts)
}

/// It is not known whether these sessions began: if they did, they end.
fn give_up(agents: &Agents, plugs: &[Plug]) {
    for plug in plugs {
        let session = Session { node: plug.node, epoch: plug.observed + 1 };
        let agents = agents.clone();
        agents.clone().0.tasks.spawn(async move {
            let close = Refusal::new(1006, "the database did not answer");
            let ended = Ended { session, ending: Ending::Released, close };
            if let Err(failure) = agents.0.endings.ask(ended).await {
                tracing::debug!(%failure, "a session that may have begun was not ended");
            }
        });
    }
}

/// What a node is told, and the row it was made from.
pub(super) struct NodeInfo {
    pub(super) row: NodeRow,
    pub(super) body: Value,
}

/// What these nodes are told of themselves.
pub(super) async fn node_infos(agents: &Agents, nodes: &[Id]) -> Result<HashMap<Id, NodeInfo>, Failure> {
    let rows = agents.0.nodes.by_ids(nodes, LIMIT).await?;
    let grids: Vec<Id> = rows.iter().map(|row| row.known.grid).collect::<BTreeSet<_>>().into_iter().collect();
    let store = agents.0.store.grids();
    let (grids, peers) = tokio::try_join!(store.by_ids(&grids), agents.0.nodes.peers(&grids, LIMIT))?;
    let mut peers_of: HashMap<Id, Vec<Peer<'_>>> = HashMap::new();
    for peer in &peers {
        peers_of.entry(peer.grid).or_default().push(bodies::peer(peer));
    }
    let info = |row: NodeRow| {
        let grid: &GridRow = grids.get(&row.known.grid)?;
        let peers = peers_of.get(&row.known.grid).map(Vec::as_slice).unwrap_or_default();
        let body = bodies::node_info(&row, grid, peers);
        Some((row.known.id, NodeInfo { row, body }))
    };
    Ok(rows.into_iter().filter_map(info).collect())
}

fn new_node(grid: Id, hello: &Hello) -> NewNode {
    let Hello { node_id, node_name, version, labels, credential: _ } = hello.clone();
    NewNode {
        grid,
        node_id: Some(node_id),
        token: None,
        name: node_name,
        yields: true,
        labels,
        agent_version: Some(version),
    }
}

fn put(verdicts: &mut [Option<Verdict>], index: usize, verdict: Verdict) {
    if let Some(place) = verdicts.get_mut(index) {
        *place = Some(verdict);
    }
}
