//! Tells nodes what they should know of themselves after their grid has changed: one read and one telling at a time,
//! so that what is told last is the newest; again until it is told; and nobody waits for a session that takes nothing.
//!
//! A node that is being let in meanwhile is in no registry yet, so no announcement finds it. It is greeted with what
//! was read before; changes are counted, and if there was one since, it is told once more.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kontena_core::id::Id;
use kontena_wire::agent::outbound;
use tokio::sync::Notify;

use super::notify_now;
use crate::agents::limits::ANSWER_WITHIN;
use crate::agents::registry::Handed;
use crate::agents::retry::until_done;
use crate::agents::{Agents, admissions};

/// How many nodes are read together.
const TOGETHER: usize = 256;
/// Before who could not be told is told again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Who must be told. Only nodes with a session here are among them, each once.
#[derive(Default)]
pub(in crate::agents) struct Announcements {
    owed: Mutex<BTreeSet<Id>>,
    due: Notify,
    changes: AtomicU64,
}

impl Announcements {
    /// How many changes this master has heard of. What is read of a node after this was asked has them all.
    pub(in crate::agents) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Something has changed for the nodes that `here` finds. It is counted before they are looked for: who is added
    /// later sees the count.
    pub(super) fn changed(&self, here: impl FnOnce() -> Vec<Id>) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.owe(here());
    }

    fn owe(&self, nodes: Vec<Id>) {
        if !nodes.is_empty() {
            self.owed().extend(nodes);
            self.due.notify_one();
        }
    }

    fn owed(&self) -> MutexGuard<'_, BTreeSet<Id>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Vec<Id> {
        let mut owed = self.owed();
        std::iter::from_fn(|| owed.pop_first()).take(TOGETHER).collect()
    }

    /// A node that was read after `seen` changes has just come into the registry: if there were more since, it is told.
    pub(in crate::agents) fn settle(&self, node: Id, seen: u64) {
        if self.changes() != seen {
            self.owe(vec![node]);
        }
    }
}

/// Tells whoever must be told.
pub(in crate::agents) async fn work(agents: Agents) {
    serve(&agents.0.post.announcements, |nodes| announce(&agents, nodes)).await;
}

/// Has `announce` tell who must be told; it returns those that it could not tell.
async fn serve<Told>(announcements: &Announcements, announce: impl Fn(Vec<Id>) -> Told)
where
    Told: Future<Output = Vec<Id>>,
{
    let mut again = BTreeSet::new();
    loop {
        let nodes = announcements.take();
        if !nodes.is_empty() {
            again.extend(announce(nodes).await);
            continue;
        }
        if again.is_empty() {
            announcements.due.notified().await;
        } else {
            tokio::select! {
                () = announcements.due.notified() => {}
                () = tokio::time::sleep(AGAIN_AFTER) => {}
            }
            announcements.owed().append(&mut again);
        }
    }
}

/// Tells the sessions that these nodes have now: one that begins later is greeted with what is newer. Returns those that
/// are to be told again.
async fn announce(agents: &Agents, nodes: Vec<Id>) -> Vec<Id> {
    let handles: Vec<_> = nodes.into_iter().filter_map(|node| agents.0.registry.get(node)).collect();
    let nodes: Vec<Id> = handles.iter().map(|handle| handle.node).collect();
    if nodes.is_empty() {
        return nodes;
    }
    let mut infos = match until_done(ANSWER_WITHIN, || admissions::node_infos(agents, &nodes)).await {
        Ok(infos) => infos,
        Err(failure) => {
            tracing::warn!(%failure, nodes = nodes.len(), "nodes were not told of their grid's change yet");
            return nodes;
        }
    };
    let mut again = Vec::new();
    for handle in handles {
        let Some(info) = infos.remove(&handle.node) else { continue };
        match notify_now(&handle, outbound::node_info(info.body)) {
            Handed::Over => {}
            Handed::Full => again.push(handle.node),
            Handed::Gone => tracing::debug!(NODE = handle.node_id, "left before it was told of its grid"),
        }
    }
    again
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use tokio::sync::mpsc;
    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn id(number: u8) -> Id {
        Id::from_bytes([number; 12])
    }

    #[test]
    fn many_changes_are_one_telling_of_each_node() {
        let announcements = Announcements::default();
        for _ in 0..3 {
            announcements.changed(|| vec![id(1), id(2)]);
        }
        announcements.changed(Vec::new);
        assert_eq!(announcements.take(), [id(1), id(2)]);
        assert_eq!((announcements.take(), announcements.changes()), (Vec::new(), 4));
    }

    #[test]
    fn a_change_is_counted_before_it_is_looked_who_is_there() {
        let announcements = Announcements::default();
        announcements.changed(|| {
            assert_eq!(announcements.changes(), 1);
            Vec::new()
        });
    }

    #[test]
    fn who_was_let_in_meanwhile_is_told_what_it_missed() {
        let announcements = Announcements::default();
        let seen = announcements.changes();
        announcements.settle(id(1), seen);
        assert!(announcements.take().is_empty(), "nothing has changed");
        // The change comes while the node is read, and once more before it is found in the registry.
        announcements.changed(Vec::new);
        announcements.settle(id(1), seen);
        assert_eq!(announcements.take(), [id(1)]);
        let seen = announcements.changes();
        announcements.changed(Vec::new);
        announcements.settle(id(2), seen);
        assert_eq!(announcements.take(), [id(2)]);
    }

    #[tokio::test]
    async fn who_was_not_told_is_told_again_and_holds_nobody_up() {
        let announcements = Announcements::default();
        let (sender, mut told) = mpsc::channel(16);
        let tries = AtomicUsize::new(0);
        let announce = |nodes: Vec<Id>| {
            let missed = if tries.fetch_add(1, Ordering::Relaxed) < 2 { vec![id(1)] } else { Vec::new() };
            let missed: Vec<Id> = missed.into_iter().filter(|node| nodes.contains(node)).collect();
            let sender = sender.clone();
            async move {
                sender.send(nodes).await.unwrap();
                missed
            }
        };
        let watching = async {
            announcements.changed(|| vec![id(1)]);
            assert_eq!(told.recv().await.unwrap(), [id(1)], "the first try, in vain");
            announcements.changed(|| vec![id(2)]);
            // Until each is told; the first may be tried together with the second.
            let (mut first, mut second) = (1, 0);
            while first < 2 || second < 1 {
                let nodes = told.recv().await.unwrap();
                first += usize::from(nodes.contains(&id(1)));
                second += usize::from(nodes.contains(&id(2)));
            }
        };
        tokio::select! {
            () = serve(&announcements, announce) => panic!("it ended"),
            watched = timeout(SOON, watching) => watched.unwrap(),
        }
    }

    #[tokio::test]
    async fn what_changes_while_it_is_told_is_told_after_it() {
        let announcements = Announcements::default();
        let content = AtomicUsize::new(1);
        let (sender, mut told) = mpsc::channel(16);
        let announce = |nodes: Vec<Id>| {
            let (sender, announcements, content) = (sender.clone(), &announcements, &content);
            async move {
                let read = content.load(Ordering::Relaxed);
                if read == 1 {
                    content.store(2, Ordering::Relaxed);
                    announcements.changed(|| nodes);
                    // Time for an announcement beside this one, if there were any.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                sender.send(read).await.unwrap();
                Vec::new()
            }
        };
        let watching = async {
            announcements.changed(|| vec![id(1)]);
            assert_eq!((told.recv().await, told.recv().await), (Some(1), Some(2)));
        };
        tokio::select! {
            () = serve(&announcements, announce) => panic!("it ended"),
            watched = timeout(SOON, watching) => watched.unwrap(),
        }
    }
}
