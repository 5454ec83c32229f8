//! Simulated agents: they speak to a master as the real ones do, hold containers and pods in memory, and can
//! misbehave. Ten thousand fit into one process.

mod contract;
mod dial;
mod docker;
mod etcd;
mod fleet;
mod life;
mod run;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kontena_wire::rpc::Value;

pub use dial::{Connection, Dial, Refused, dial};
pub use etcd::Etcd;
pub use fleet::{Fleet, Grid};
pub use life::PodRecord;
pub use run::Agent;

use crate::tls::Trust;

/// How an agent is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the masters listen, as `host:port`. Each dial tries them from a random one on, as behind a load
    /// balancer.
    pub masters: Vec<String>,
    /// Whom it believes, where its connection is encrypted.
    pub trust: Option<Trust>,
    /// The token that it brings.
    pub token: Token,
    /// Its host's engine.
    pub node_id: String,
    /// Its host.
    pub name: String,
    /// Of the agent.
    pub version: String,
    /// `key=value` or `key`.
    pub labels: Vec<String>,
    /// How many containers it has that are nobody's pods.
    pub containers: usize,
    /// What it does besides keeping the connection.
    pub traffic: Traffic,
    /// How it behaves.
    pub temper: Temper,
    /// Before the first dial.
    pub first_dial_after: Duration,
    /// From one ping to the next.
    pub ping_every: Duration,
    /// How often its containers write a line, if they write more than now and then.
    pub log_every: Option<Duration>,
}

/// A token.
#[derive(Clone, Debug)]
pub enum Token {
    /// Of the grid.
    Grid(String),
    /// Of the node.
    Node(String),
}

/// What an agent does besides keeping the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Pings, and nothing but the report of the host after each connect.
    Keepalive,
    /// Everything that a real one does.
    Full,
}

/// How an agent behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Temper {
    /// As a real one.
    Faithful,
    /// It connects and then neither reads nor writes, as over a line that is cut.
    Silent,
    /// It takes so long for each answer.
    Slow(Duration),
    /// Its clock is off by so many seconds.
    Skewed(f64),
    /// It leaves and comes back so often.
    Storm(Duration),
    /// So often it comes back by a new connection, and the old one stays open and dead, as when a router between
    /// the two forgets it.
    HalfOpen(Duration),
    /// It sends what is no message.
    Hostile,
}

impl Settings {
    /// A faithful agent of this number.
    #[must_use]
    pub fn new(masters: Vec<String>, token: Token, number: usize) -> Self {
        Self {
            masters,
            trust: None,
            token,
            node_id: node_id(number),
            name: format!("node-{number}"),
            version: "1.5.4".to_owned(),
            labels: Vec::new(),
            containers: 2,
            traffic: Traffic::Full,
            temper: Temper::Faithful,
            first_dial_after: Duration::ZERO,
            ping_every: Duration::from_secs(30),
            log_every: None,
        }
    }
}

/// An engine's id: twelve groups of four.
fn node_id(number: usize) -> String {
    let groups = (0..12).map(|group| {
        if group < 10 {
            "SIMU".to_owned()
        } else {
            format!("{:04}", if group == 10 { number / 10_000 } else { number % 10_000 })
        }
    });
    groups.collect::<Vec<_>>().join(":")
}

/// What agents did and saw, together.
#[derive(Debug, Default)]
pub struct Record {
    connected: AtomicU64,
    connects: AtomicU64,
    refused: AtomicU64,
    closes: Mutex<BTreeMap<u16, u64>>,
    faults: Mutex<Vec<String>>,
    connect_ms: Mutex<Vec<f64>>,
    acknowledged: Mutex<BTreeMap<(String, i64), PodRecord>>,
    truth: Mutex<BTreeMap<(String, i64), PodRecord>>,
    pods: Mutex<BTreeMap<(String, i64), Value>>,
    calls: Mutex<BTreeMap<String, u64>>,
    ping_ms: Mutex<Vec<f64>>,
    late_pings: AtomicU64,
}

impl Record {
    /// Agents with an open connection that got both greetings.
    #[must_use]
    pub fn connected(&self) -> u64 {
        self.connected.load(Ordering::Relaxed)
    }

    /// Connections that got that far since the start.
    #[must_use]
    pub fn connects(&self) -> u64 {
        self.connects.load(Ordering::Relaxed)
    }

    /// Dials that did not become connections.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// How often connections ended by which code; 1006 without one.
    #[must_use]
    pub fn closes(&self) -> BTreeMap<u16, u64> {
        lock(&self.closes).clone()
    }

    /// What a real agent would have stumbled over.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        lock(&self.faults).clone()
    }

    /// From the first dial of an agent to its greetings.
    #[must_use]
    pub fn connect_ms(&self) -> Vec<f64> {
        lock(&self.connect_ms).clone()
    }

    /// How long the masters took to answer pings.
    #[must_use]
    pub fn ping_ms(&self) -> Vec<f64> {
        lock(&self.ping_ms).clone()
    }

    /// Pings that were not answered in time.
    #[must_use]
    pub fn late_pings(&self) -> u64 {
        self.late_pings.load(Ordering::Relaxed)
    }

    /// The latest state of each pod that a master acknowledged.
    #[must_use]
    pub fn acknowledged(&self) -> BTreeMap<(String, i64), PodRecord> {
        lock(&self.acknowledged).clone()
    }

    /// The pods that there are, as they are, whatever masters know of them.
    #[must_use]
    pub fn truth(&self) -> BTreeMap<(String, i64), PodRecord> {
        lock(&self.truth).clone()
    }

    /// The pods as they were told last, by service and number.
    #[must_use]
    pub fn pods(&self) -> BTreeMap<(String, i64), Value> {
        lock(&self.pods).clone()
    }

    /// How often masters called which method.
    #[must_use]
    pub fn calls(&self) -> BTreeMap<String, u64> {
        lock(&self.calls).clone()
    }

    fn fault(&self, what: String) {
        lock(&self.faults).push(what);
    }

    fn closed(&self, code: u16) {
        *lock(&self.closes).entry(code).or_default() += 1;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shared by the agents of a fleet.
pub type SharedRecord = Arc<Record>;
