//! What other masters tell agents of this one, without an answer: for each agent in its order, and none waits for what
//! another one does not take. Only what an agent does not take at once has a lane of its own, with a task behind it.

use std::collections::HashMap;
use std::sync::Arc;

use kontena_core::id::Id;
use kontena_wire::agent::outbound::Outbound;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::agents::outbound::{notify_here, notify_now};
use crate::agents::registry::Handed;
use crate::agents::{Agents, ending_with};

/// How many messages may wait for one agent: more than come together.
const WAITING: usize = 1024;
/// How much they may be together, in KiB. One that is larger alone takes all of it.
const WAITING_KIB: u32 = 16 << 10;

/// The lanes of this master's agents, by node.
#[derive(Default)]
pub(super) struct Lanes(HashMap<Id, Lane>);

struct Lane {
    messages: mpsc::Sender<Message>,
    room: Arc<Semaphore>,
}

/// It takes its part of the room until the agent has it, or will not get it.
struct Message {
    call: Outbound,
    _room: OwnedSemaphorePermit,
}

impl Lanes {
    /// Hands a message of so many bytes on. If the agent takes nothing for too long, the command that it belongs to
    /// ends; what else agents are told they find by themselves.
    pub(super) fn pass_on(&mut self, agents: &Agents, node: Id, call: Outbound, size: usize) {
        let Some(handle) = agents.0.registry.get(node) else { return };
        if self.0.get(&node).is_none_or(Lane::is_idle) {
            match notify_now(&handle, call.clone()) {
                Handed::Over => return,
                Handed::Gone => {
                    return tracing::debug!(NODE = handle.node_id, "left before it was told");
                }
                Handed::Full => {}
            }
        }
        let lane = self.0.entry(node).or_insert_with(|| {
            let (lane, messages) = Lane::new();
            let carry = carry(agents.clone(), node, messages);
            agents.0.tasks.spawn(ending_with(agents.0.stop.clone(), carry));
            lane
        });
        if let Err(call) = lane.put(call, size) {
            agents.0.execs.not_taken(agents, node, &call);
        }
    }

    /// Ends the lanes in which nothing waits.
    pub(super) fn tidy(&mut self) {
        self.0.retain(|_, lane| !lane.is_idle());
    }
}

impl Lane {
    fn new() -> (Self, mpsc::Receiver<Message>) {
        let (messages, waiting) = mpsc::channel(WAITING);
        let room = Semaphore::new(usize::try_from(WAITING_KIB).unwrap_or(usize::MAX));
        (Self { messages, room: Arc::new(room) }, waiting)
    }

    /// Whether the agent has got everything, also what was taken out last.
    fn is_idle(&self) -> bool {
        Some(self.room.available_permits()) == usize::try_from(WAITING_KIB).ok()
    }

    /// The message comes back if there is no room for it.
    fn put(&self, call: Outbound, size: usize) -> Result<(), Outbound> {
        let kib = u32::try_from(size >> 10).unwrap_or(u32::MAX).saturating_add(1).min(WAITING_KIB);
        match Arc::clone(&self.room).try_acquire_many_owned(kib) {
            Ok(room) => {
                self.messages.try_send(Message { call, _room: room }).map_err(|full| full.into_inner().call)
            }
            Err(_) => Err(call),
        }
    }
}

async fn carry(agents: Agents, node: Id, mut waiting: mpsc::Receiver<Message>) {
    while let Some(message) = waiting.recv().await {
        let Some(handle) = agents.0.registry.get(node) else { continue };
        if let Err(error) = notify_here(&handle, message.call.clone()).await {
            tracing::debug!(NODE = handle.node_id, %error, "a message of another master was not handed on");
            agents.0.execs.not_taken(&agents, node, &message.call);
        }
    }
}

#[cfg(test)]
mod tests {
    use kontena_wire::agent::outbound::exec_input;

    use super::*;

    #[test]
    fn a_lane_is_bounded_by_number_and_size_and_idle_when_all_have_arrived() {
        let (lane, mut waiting) = Lane::new();
        for _ in 0..WAITING {
            lane.put(exec_input("e", Some("x")), 1).unwrap();
        }
        let refused = exec_input("e", Some("y"));
        assert_eq!(lane.put(refused.clone(), 1), Err(refused.clone()), "too many");
        let taken = waiting.try_recv().unwrap();
        while waiting.try_recv().is_ok() {}
        assert!(!lane.is_idle(), "the first is still on its way");
        drop(taken);
        assert!(lane.is_idle());
        for _ in 0..2 {
            lane.put(refused.clone(), 7 << 20).unwrap();
        }
        assert_eq!(lane.put(refused.clone(), 7 << 20), Err(refused), "too much");
    }
}
