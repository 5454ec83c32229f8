//! Which masters wait for what a node reports of its instances: those that told it to look at its pods. They are told
//! which services were reported, and look at the database themselves. A message that is lost costs time and no more.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::PacketKind;
use kontena_wire::rpc::{self, Value, loose};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Agents;

/// Longer than any deploy waits for an instance.
const REMEMBERED: Duration = Duration::from_secs(330);
/// Beyond so many nodes those that are remembered for too long are forgotten.
const NODES_MAX: usize = 4096;
/// What is reported within this time is told together.
const TOGETHER: Duration = Duration::from_millis(25);

type Waiting = HashMap<Id, Vec<(HolderId, Instant)>>;
type News = HashMap<HolderId, HashMap<Id, usize>>;

/// Who waits for which node, and what they were not told yet.
#[derive(Default)]
pub(super) struct Claimers {
    waiting: Mutex<Waiting>,
    news: Mutex<News>,
    due: Notify,
}

impl Claimers {
    /// A master told a node to look at its pods.
    pub(super) fn asked(&self, node: Id, master: HolderId, now: Instant) {
        let mut waiting = lock(&self.waiting);
        let recent = |(_, at): &(HolderId, Instant)| now.duration_since(*at) < REMEMBERED;
        if waiting.len() >= NODES_MAX && !waiting.contains_key(&node) {
            waiting.retain(|_, masters| masters.iter().any(recent));
        }
        let masters = waiting.entry(node).or_default();
        masters.retain(|(known, at)| *known != master && recent(&(*known, *at)));
        masters.push((master, now));
    }

    /// A node reported an instance of a service.
    pub(super) fn reported(&self, node: Id, service: Id, now: Instant) {
        let masters: Vec<HolderId> = match lock(&self.waiting).get(&node) {
            Some(masters) => {
                let recent = masters.iter().filter(|(_, at)| now.duration_since(*at) < REMEMBERED);
                recent.map(|(master, _)| *master).collect()
            }
            None => return,
        };
        let mut news = lock(&self.news);
        for master in masters {
            *news.entry(master).or_default().entry(service).or_default() += 1;
        }
        self.due.notify_one();
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes on what is reported.
pub(super) async fn work(agents: Agents) {
    loop {
        agents.0.claimers.due.notified().await;
        tokio::time::sleep(TOGETHER).await;
        let news = std::mem::take(&mut *lock(&agents.0.claimers.news));
        for (master, services) in news.into_iter().filter(|(master, _)| agents.is_alive(*master)) {
            let about = agents.0.post.fresh();
            if !agents.0.post.send_now(agents.0.me, master, PacketKind::Reports, about, &body(&services)) {
                tracing::debug!(%master, "it finds reports by itself");
            }
        }
    }
}

/// What another master told.
pub(super) fn told(agents: &Agents, payload: &[u8]) {
    for (service, count) in parse(payload).unwrap_or_default() {
        agents.0.watchers.reported(service, count);
    }
}

fn body(services: &HashMap<Id, usize>) -> Vec<u8> {
    let one = |(service, count): (&Id, &usize)| {
        Value::Array(vec![Value::Binary(service.bytes().to_vec()), (*count).into()])
    };
    rpc::encode(&Value::Array(services.iter().map(one).collect()))
}

fn parse(payload: &[u8]) -> Option<Vec<(Id, usize)>> {
    let Value::Array(services) = rpc::decode(payload).ok()? else { return None };
    let one = |one: &Value| {
        let Value::Array(parts) = one else { return None };
        let [service, count] = parts.as_slice() else { return None };
        let service = Id::from_bytes(<[u8; 12]>::try_from(loose::bytes(service)?).ok()?);
        Some((service, usize::try_from(count.as_u64()?).ok()?))
    };
    services.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: HolderId = HolderId::from_bytes([1; 16]);
    const OTHER: HolderId = HolderId::from_bytes([2; 16]);

    fn id(byte: u8) -> Id {
        Id::from_bytes([byte; 12])
    }

    #[test]
    fn who_told_a_node_hears_of_its_services_until_long_after() {
        let (claimers, now) = (Claimers::default(), Instant::now());
        claimers.reported(id(1), id(7), now);
        assert!(lock(&claimers.news).is_empty(), "nobody waits");
        for master in [MASTER, OTHER, MASTER] {
            claimers.asked(id(1), master, now);
        }
        for _ in 0..3 {
            claimers.reported(id(1), id(7), now);
        }
        claimers.reported(id(2), id(8), now);
        let news = std::mem::take(&mut *lock(&claimers.news));
        assert_eq!(news.len(), 2);
        assert_eq!(news[&MASTER], HashMap::from([(id(7), 3)]));
        assert_eq!(parse(&body(&news[&OTHER])), Some(vec![(id(7), 3)]));
        claimers.reported(id(1), id(7), now + REMEMBERED);
        assert!(lock(&claimers.news).is_empty(), "remembered for too long");
        assert_eq!(parse(b"\xc1"), None);
    }
}
