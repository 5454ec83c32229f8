//! Who came and who left, for the feed of events: what happens within a second is told together, by numbers and a
//! few names, so that ten thousand agents that move are ten lines and not ten thousand. The other masters are told
//! over the bus, so that each one's feed is about all agents.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kontena_store::{PacketKind, Person};
use kontena_wire::rpc::{self, Value, loose};

use super::Agents;
use crate::feed::{Feed, Happening};

/// How long is told together.
const TOGETHER: Duration = Duration::from_secs(1);
/// How many are told by name.
const NAMED: usize = 8;

/// What happened to the sessions of one master.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    /// How many agents connected.
    pub(crate) came: u64,
    /// How many connections ended.
    pub(crate) left: u64,
    /// The first of them, and whether they came.
    pub(crate) names: Vec<(String, bool)>,
}

/// What was not told yet.
#[derive(Default)]
pub(super) struct Arrivals(Mutex<Moves>);

impl Arrivals {
    pub(super) fn came(&self, name: &str) {
        self.note(name, true);
    }

    pub(super) fn left(&self, name: &str) {
        self.note(name, false);
    }

    fn note(&self, name: &str, came: bool) {
        let mut moves = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if came {
            moves.came += 1;
        } else {
            moves.left += 1;
        }
        if moves.names.len() < NAMED {
            moves.names.push((name.to_owned(), came));
        }
    }

    fn take(&self) -> Option<Moves> {
        let moves = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        (moves != Moves::default()).then_some(moves)
    }
}

/// Tells what happened, second by second.
pub(super) async fn work(agents: Agents, name: String, feed: Feed) {
    let me = Person { id: agents.0.me.to_string(), name };
    let mut interval = tokio::time::interval(TOGETHER);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        let Some(moves) = agents.0.arrivals.take() else { continue };
        let told = body(&me.name, &moves);
        feed.publish(Happening::Agents { master: me.clone(), moves });
        for master in agents.others() {
            // Who is too busy for this tells more important things.
            agents.0.post.send_now(agents.0.me, master, PacketKind::Moves, agents.0.post.fresh(), &told);
        }
    }
}

/// What another master told.
pub(super) fn told(feed: &Feed, from: String, payload: &[u8]) {
    if let Some((name, moves)) = parse(payload) {
        feed.publish(Happening::Agents { master: Person { id: from, name }, moves });
    }
}

fn body(name: &str, moves: &Moves) -> Vec<u8> {
    let Moves { came, left, names } = moves;
    let names = names.iter().map(|(name, came)| Value::Array(vec![name.as_str().into(), (*came).into()]));
    let parts = vec![name.into(), (*came).into(), (*left).into(), Value::Array(names.collect())];
    rpc::encode(&Value::Array(parts))
}

fn parse(payload: &[u8]) -> Option<(String, Moves)> {
    let Value::Array(parts) = rpc::decode(payload).ok()? else { return None };
    let [name, came, left, Value::Array(names)] = parts.as_slice() else { return None };
    let one = |one: &Value| {
        let Value::Array(parts) = one else { return None };
        let [name, came] = parts.as_slice() else { return None };
        Some((loose::text(name)?.into_owned(), loose::flag(came)?))
    };
    let names: Option<Vec<(String, bool)>> = names.iter().take(NAMED).map(one).collect();
    let moves = Moves { came: came.as_u64()?, left: left.as_u64()?, names: names? };
    Some((loose::text(name)?.into_owned(), moves))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_together_is_one_entry_of_bounded_size() {
        let arrivals = Arrivals::default();
        assert_eq!(arrivals.take(), None);
        for number in 0..3000 {
            arrivals.came(&format!("node-{number}"));
        }
        arrivals.left("node-7");
        let moves = arrivals.take().unwrap();
        assert_eq!((moves.came, moves.left, moves.names.len()), (3000, 1, NAMED));
        assert_eq!(arrivals.take(), None);
        assert_eq!(parse(&body("master-1", &moves)), Some(("master-1".to_owned(), moves)));
        assert_eq!(parse(b"\xc1"), None);
    }
}
