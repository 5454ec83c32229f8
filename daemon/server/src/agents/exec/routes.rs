//! Where the output of commands goes: to a reader here, or to the master that asked. A reader gets all of it in its order,
//! or is told that some was lost; none waits for what will not come.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_wire::agent::outbound::{self, Outbound};
use kontena_wire::rpc::loose;
use tokio::sync::mpsc;

use super::ExecEvent;
use super::message::{LOST, body, parse, portions};
use crate::agents::Agents;
use crate::agents::bus::{Post, Reading};

/// Where the output of commands goes.
#[derive(Default)]
pub(in crate::agents) struct Routes {
    /// Of agents of this master, by the agent's name for the session.
    here: Mutex<HashMap<String, Route>>,
    /// Of agents of other masters, by the conversation.
    elsewhere: Mutex<HashMap<u64, Subscription>>,
}

struct Route {
    node: Id,
    to: To,
}

enum To {
    Here(mpsc::Sender<ExecEvent>),
    Master {
        reading: Reading,
        /// The number of the last message to it.
        told: u32,
    },
}

struct Subscription {
    owner: HolderId,
    to: mpsc::Sender<ExecEvent>,
    /// The number of the last message that came.
    heard: u32,
}

impl Subscription {
    /// What to make of a message: what comes behind a gap is the end. None for one that came before.
    fn take(&mut self, number: u32, event: ExecEvent) -> Option<ExecEvent> {
        // Masters of older versions do not number theirs, and what stands for all that is missing has no number.
        if number == 0 {
            return Some(event);
        }
        let next = self.heard.saturating_add(1);
        self.heard = self.heard.max(number);
        match number.cmp(&next) {
            Ordering::Less => None,
            Ordering::Equal => Some(event),
            Ordering::Greater => Some(ExecEvent::Error(LOST.to_owned())),
        }
    }
}

impl Routes {
    fn here(&self) -> MutexGuard<'_, HashMap<String, Route>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elsewhere(&self) -> MutexGuard<'_, HashMap<u64, Subscription>> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add_local(&self, id: String, node: Id, to: mpsc::Sender<ExecEvent>) {
        self.here().insert(id, Route { node, to: To::Here(to) });
    }

    pub(in crate::agents) fn add_remote(&self, id: String, node: Id, master: HolderId, about: u64) {
        self.here().insert(id, Route { node, to: To::Master { reading: (master, about), told: 0 } });
    }

    pub(in crate::agents) fn forget(&self, id: &str) {
        self.here().remove(id);
    }

    pub(super) fn subscribe(&self, about: u64, owner: HolderId, to: mpsc::Sender<ExecEvent>) {
        self.elsewhere().insert(about, Subscription { owner, to, heard: 0 });
    }

    pub(super) fn unsubscribe(&self, about: u64) {
        self.elsewhere().remove(&about);
    }

    /// An agent of this master told something of a session.
    pub(in crate::agents) fn heard(&self, agents: &Agents, node: Id, id: &str, event: ExecEvent) {
        if !self.pass_on(&agents.0.post, agents.0.me, node, id, event) {
            terminate(agents, node, id.to_owned());
        }
    }

    /// Passes on what an agent told. False if another master's reader misses some of it now: then the session ends.
    fn pass_on(&self, post: &Post, me: HolderId, node: Id, id: &str, event: ExecEvent) -> bool {
        let mut routes = self.here();
        let Some(route) = routes.get_mut(id).filter(|route| route.node == node) else { return true };
        let last = is_last(&event);
        let taken = deliver(post, me, &mut route.to, event);
        // Whoever reads it here ends it.
        let ends = matches!(route.to, To::Master { .. }) && !taken && !last;
        if !taken || last {
            routes.remove(id);
        }
        !ends
    }

    /// A master told something of a session of one of its agents: its message of this number, from 1.
    pub(in crate::agents) fn told(&self, about: u64, number: u32, payload: &[u8]) {
        // One that is not understood is missing when the next one comes.
        let Some(event) = parse(payload) else { return };
        let mut subscriptions = self.elsewhere();
        let Some(subscription) = subscriptions.get_mut(&about) else { return };
        let Some(event) = subscription.take(number, event) else { return };
        let last = is_last(&event);
        if subscription.to.try_send(event).is_err() || last {
            subscriptions.remove(&about);
        }
    }

    /// An agent does not take what another master told it: a command that misses some of it ends.
    pub(in crate::agents) fn not_taken(&self, agents: &Agents, node: Id, call: &Outbound) {
        let exec = call.params.first().and_then(loose::text).map(Cow::into_owned);
        match (call.method, exec) {
            ("/containers/run_exec" | "/containers/tty_input" | "/containers/tty_resize", Some(id)) => {
                let why = "the agent does not take its input".to_owned();
                if self.end(&agents.0.post, agents.0.me, node, &id, why) {
                    terminate(agents, node, id);
                }
            }
            ("/containers/terminate_exec", Some(id)) => terminate(agents, node, id),
            (method, _) => tracing::debug!(%node, method, "an agent was not told"),
        }
    }

    /// Tells the reader of a session why it ends; false if it has none.
    fn end(&self, post: &Post, me: HolderId, node: Id, id: &str, why: String) -> bool {
        let mut routes = self.here();
        let Some(route) = routes.get_mut(id).filter(|route| route.node == node) else { return false };
        deliver(post, me, &mut route.to, ExecEvent::Error(why));
        routes.remove(id).is_some()
    }

    /// Messages to these readers were given up: their sessions end.
    pub(in crate::agents) fn cut_off(&self, agents: &Agents, lost: &BTreeSet<Reading>) {
        for (node, id) in self.remove_where(|reading| lost.contains(reading)) {
            terminate(agents, node, id);
        }
    }

    fn remove_where(&self, ends: impl Fn(&Reading) -> bool) -> Vec<(Id, String)> {
        let mut ended = Vec::new();
        self.here().retain(|id, route| match &route.to {
            To::Master { reading, .. } if ends(reading) => {
                ended.push((route.node, id.clone()));
                false
            }
            To::Master { .. } | To::Here(_) => true,
        });
        ended
    }

    /// The session of `node`'s agent has ended.
    pub(in crate::agents) fn end_of(&self, node: Id, agents: &Agents) {
        self.here().retain(|_, route| {
            if route.node == node {
                let event = ExecEvent::Error("the agent was disconnected".to_owned());
                deliver(&agents.0.post, agents.0.me, &mut route.to, event);
            }
            route.node != node
        });
    }

    /// Ends what depends on masters that are gone.
    pub(in crate::agents) fn look(&self, agents: &Agents) {
        self.elsewhere().retain(|_, Subscription { owner, to, .. }| {
            let alive = agents.is_alive(*owner);
            if !alive {
                // Nobody may read it any more.
                let _told = to.try_send(ExecEvent::Error("the master of the agent is gone".to_owned()));
            }
            alive
        });
        for (node, id) in self.remove_where(|(master, _)| !agents.is_alive(*master)) {
            terminate(agents, node, id);
        }
    }
}

/// Ends a session at its agent, which is waited for no longer than for any order.
fn terminate(agents: &Agents, node: Id, id: String) {
    let agents = agents.clone();
    agents.clone().0.tasks.spawn(async move {
        if let Err(error) = agents.notify(node, outbound::terminate_exec(&id)).await {
            tracing::debug!(%error, "a command in a container was not ended");
        }
    });
}

fn is_last(event: &ExecEvent) -> bool {
    !matches!(event, ExecEvent::Output(..))
}

/// Hands an event to whoever reads it, if there is a place for it. A reader at another master is told if there was none:
/// it would wait for ever.
fn deliver(post: &Post, me: HolderId, to: &mut To, event: ExecEvent) -> bool {
    match to {
        To::Here(to) => to.try_send(event).is_ok(),
        To::Master { reading, told } => {
            let taken = portions(event).into_iter().all(|event| {
                *told = told.saturating_add(1);
                post.tell(me, *reading, *told, body(event))
            });
            if !taken {
                post.ends.add(*reading);
            }
            taken
        }
    }
}

#[cfg(test)]
mod tests {
    use kontena_wire::agent::Stream;

    use super::*;

    /// As many as there is place for.
    const WAITING: usize = 16;
    const ME: HolderId = HolderId::from_bytes([1; 16]);
    const OTHER: HolderId = HolderId::from_bytes([2; 16]);
    const NODE: Id = Id::from_bytes([3; 12]);
    const ABOUT: u64 = 7;

    fn output(text: &str) -> ExecEvent {
        ExecEvent::Output(Stream::Stdout, text.as_bytes().to_vec())
    }

    fn error(text: &str) -> ExecEvent {
        ExecEvent::Error(text.to_owned())
    }

    /// What a reader hears of these messages, and whether it would hear more.
    fn heard(messages: &[(u32, ExecEvent)]) -> (Vec<ExecEvent>, bool) {
        let routes = Routes::default();
        let (sender, mut events) = mpsc::channel(WAITING);
        routes.subscribe(ABOUT, OTHER, sender);
        for (number, event) in messages {
            routes.told(ABOUT, *number, &body(event.clone()));
        }
        let heard = std::iter::from_fn(|| events.try_recv().ok()).collect();
        (heard, !events.is_closed())
    }

    #[test]
    fn a_gap_ends_what_a_reader_hears_and_older_masters_do_not_number() {
        let (a, b, exit) = (output("a"), output("b"), ExecEvent::Exit(0));
        let whole = vec![a.clone(), b.clone(), exit.clone()];
        let numbered = [(1, a.clone()), (2, b.clone()), (3, exit.clone())];
        assert_eq!(heard(&numbered), (whole.clone(), false));
        assert_eq!(heard(&[0, 0, 0].into_iter().zip(whole.clone()).collect::<Vec<_>>()), (whole, false));
        assert_eq!(heard(&numbered[..2]), (vec![a.clone(), b.clone()], true));
        for gap in [vec![(1, a.clone()), (3, exit.clone())], vec![(1, a.clone()), (4, b.clone())]] {
            assert_eq!(heard(&gap), (vec![a.clone(), error(LOST)], false), "{gap:?}");
        }
        // What came before is passed over; what stands for a loss ends it, and nothing comes behind.
        let twice = [(1, a.clone()), (1, a.clone()), (2, b.clone())];
        assert_eq!(heard(&twice), (vec![a.clone(), b], true));
        assert_eq!(heard(&[(1, a.clone()), (0, error(LOST)), (2, exit)]), (vec![a, error(LOST)], false));
    }

    #[test]
    fn a_reader_elsewhere_is_told_when_there_is_no_place_for_its_output() {
        let (post, mut inbox) = Post::new();
        let routes = Routes::default();
        routes.add_remote("e".to_owned(), NODE, OTHER, ABOUT);
        let pass_on = |event| routes.pass_on(&post, ME, NODE, "e", event);
        let mut passed = 0;
        while pass_on(output("x")) {
            passed += 1;
            assert!(passed < 100_000, "the queue has no bound");
        }
        assert!(routes.here().is_empty(), "it goes on without its reader");
        assert_eq!(post.ends.take(), BTreeSet::from([(OTHER, ABOUT)]));
        let numbers: Vec<u32> =
            std::iter::from_fn(|| inbox.try_recv().ok()).map(|sent| sent.part.0).collect();
        assert_eq!(numbers, (1..=passed).collect::<Vec<u32>>());
    }

    #[test]
    fn an_end_that_finds_no_place_is_told_as_well() {
        let (post, inbox) = Post::new();
        let routes = Routes::default();
        for id in ["exits", "ends"] {
            routes.add_remote(id.to_owned(), NODE, OTHER, if id == "ends" { ABOUT } else { ABOUT + 1 });
        }
        while post.tell(ME, (OTHER, 1), 0, Vec::new()) {}
        assert!(routes.pass_on(&post, ME, NODE, "exits", ExecEvent::Exit(0)), "it has ended by itself");
        assert!(routes.end(&post, ME, NODE, "ends", "the agent does not take its input".to_owned()));
        assert!(!routes.end(&post, ME, NODE, "ends", String::new()), "it has no reader any more");
        assert_eq!(post.ends.take(), BTreeSet::from([(OTHER, ABOUT), (OTHER, ABOUT + 1)]));
        drop(inbox);
    }

    #[test]
    fn only_the_sessions_whose_messages_were_given_up_end() {
        let routes = Routes::default();
        for (id, about) in [("lost", ABOUT), ("whole", ABOUT + 1)] {
            routes.add_remote(id.to_owned(), NODE, OTHER, about);
        }
        let lost = BTreeSet::from([(OTHER, ABOUT), (ME, ABOUT + 1)]);
        assert_eq!(routes.remove_where(|reading| lost.contains(reading)), [(NODE, "lost".to_owned())]);
        assert!(routes.here().contains_key("whole"));
    }
}
