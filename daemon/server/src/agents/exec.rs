//! Commands in containers, with their input and output as they come, whichever master holds the agent's session.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::PacketKind;
use kontena_wire::agent::Stream;
use kontena_wire::agent::outbound::{self, Outbound};
use kontena_wire::rpc::{self, Value, loose};
use tokio::sync::mpsc;

use super::outbound::{CallError, Place, request_here};
use super::{Agents, bus};

/// How many pieces of output may wait for whoever reads them. Who is slower than that loses the command.
const WAITING: usize = 4096;

/// What comes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExecEvent {
    /// It wrote this.
    Output(Stream, Vec<u8>),
    /// It ended with this code.
    Exit(i64),
    /// It failed, or is out of reach.
    Error(String),
}

/// A session for one command in a container. Dropping it ends it.
pub struct Exec {
    agents: Agents,
    node: Id,
    place: Place,
    id: String,
    about: Option<u64>,
    events: mpsc::Receiver<ExecEvent>,
}

impl Agents {
    /// Makes a session in a container of `node`.
    pub async fn exec(&self, node: Id, container_id: &str) -> Result<Exec, CallError> {
        let call = outbound::create_exec(container_id);
        let place = self.place(node, call.answer_within).await?;
        let (sender, events) = mpsc::channel(WAITING);
        let (result, about) = match &place {
            Place::Here(handle) => (request_here(handle, call).await?, None),
            Place::At(owner) => {
                let about = self.0.post.fresh();
                self.0.execs.subscribe(about, *owner, sender.clone());
                match bus::request(self, *owner, node, call, Some(about)).await {
                    Ok(result) => (result, Some(about)),
                    Err(error) => {
                        self.0.execs.unsubscribe(about);
                        return Err(error);
                    }
                }
            }
        };
        let id = loose::text_at(&result, "id").ok_or(CallError::Lost)?;
        if let Place::Here(_) = &place {
            self.0.execs.add_local(id.clone(), node, sender);
        }
        Ok(Exec { agents: self.clone(), node, place, id, about, events })
    }
}

impl Exec {
    /// The agent's name for it.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Starts the command.
    pub async fn run(&self, command: &[String], tty: bool, stdin: bool) -> Result<(), CallError> {
        self.tell(outbound::run_exec(&self.id, command, tty, stdin)).await
    }

    /// Gives it input. None: its end.
    pub async fn input(&self, input: Option<&str>) -> Result<(), CallError> {
        self.tell(outbound::exec_input(&self.id, input)).await
    }

    /// Tells it the size of its terminal.
    pub async fn resize(&self, width: u32, height: u32) -> Result<(), CallError> {
        self.tell(outbound::exec_resize(&self.id, width, height)).await
    }

    /// Waits for what comes of it, in its order.
    pub async fn next(&mut self) -> ExecEvent {
        let lost = || ExecEvent::Error("its output was not read fast enough".to_owned());
        self.events.recv().await.unwrap_or_else(lost)
    }

    async fn tell(&self, call: Outbound) -> Result<(), CallError> {
        self.agents.notify_at(&self.place, self.node, call).await
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        self.agents.0.execs.forget(&self.id);
        if let Some(about) = self.about {
            self.agents.0.execs.unsubscribe(about);
        }
        let (agents, place, node) = (self.agents.clone(), self.place.clone(), self.node);
        let call = outbound::terminate_exec(&self.id);
        self.agents.0.tasks.spawn(async move {
            if let Err(error) = agents.notify_at(&place, node, call).await {
                tracing::debug!(%error, "a command in a container was not ended");
            }
        });
    }
}

/// Where the output of commands goes.
#[derive(Default)]
pub(super) struct Routes {
    /// Of agents of this master, by the agent's name for the session.
    here: Mutex<HashMap<String, Route>>,
    /// Of agents of other masters, by the conversation.
    elsewhere: Mutex<HashMap<u64, (HolderId, mpsc::Sender<ExecEvent>)>>,
}

struct Route {
    node: Id,
    to: To,
}

enum To {
    Here(mpsc::Sender<ExecEvent>),
    Master(HolderId, u64),
}

impl Routes {
    fn here(&self) -> MutexGuard<'_, HashMap<String, Route>> {
        self.here.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elsewhere(&self) -> MutexGuard<'_, HashMap<u64, (HolderId, mpsc::Sender<ExecEvent>)>> {
        self.elsewhere.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_local(&self, id: String, node: Id, to: mpsc::Sender<ExecEvent>) {
        self.here().insert(id, Route { node, to: To::Here(to) });
    }

    pub(super) fn add_remote(&self, id: String, node: Id, master: HolderId, about: u64) {
        self.here().insert(id, Route { node, to: To::Master(master, about) });
    }

    pub(super) fn forget(&self, id: &str) {
        self.here().remove(id);
    }

    fn subscribe(&self, about: u64, owner: HolderId, to: mpsc::Sender<ExecEvent>) {
        self.elsewhere().insert(about, (owner, to));
    }

    fn unsubscribe(&self, about: u64) {
        self.elsewhere().remove(&about);
    }

    /// An agent of this master told something of a session.
    pub(super) fn heard(&self, agents: &Agents, node: Id, id: &str, event: ExecEvent) {
        let mut routes = self.here();
        let Some(route) = routes.get(id).filter(|route| route.node == node) else { return };
        let last = !matches!(event, ExecEvent::Output(..));
        if !deliver(agents, &route.to, event) || last {
            routes.remove(id);
        }
    }

    /// A master told something of a session of one of its agents.
    pub(super) fn told(&self, about: u64, payload: &[u8]) {
        let Some(event) = parse(payload) else { return };
        let mut subscriptions = self.elsewhere();
        if let Some((_, to)) = subscriptions.get(&about)
            && to.try_send(event).is_err()
        {
            subscriptions.remove(&about);
        }
    }

    /// The session of `node`'s agent has ended.
    pub(super) fn end_of(&self, node: Id, agents: &Agents) {
        self.here().retain(|_, route| {
            if route.node == node {
                deliver(agents, &route.to, ExecEvent::Error("the agent was disconnected".to_owned()));
            }
            route.node != node
        });
    }

    /// Ends what depends on masters that are gone.
    pub(super) fn look(&self, agents: &Agents) {
        self.elsewhere().retain(|_, (owner, to)| {
            let alive = agents.is_alive(*owner);
            if !alive {
                // Nobody may read it any more.
                let _told = to.try_send(ExecEvent::Error("the master of the agent is gone".to_owned()));
            }
            alive
        });
        let mut orphans = Vec::new();
        self.here().retain(|id, route| match route.to {
            To::Master(master, _) if !agents.is_alive(master) => {
                orphans.push((id.clone(), route.node));
                false
            }
            To::Master(..) | To::Here(_) => true,
        });
        for (id, node) in orphans {
            let agents = agents.clone();
            agents.clone().0.tasks.spawn(async move {
                if let Err(error) = agents.notify(node, outbound::terminate_exec(&id)).await {
                    tracing::debug!(%error, "a command in a container was not ended");
                }
            });
        }
    }
}

fn deliver(agents: &Agents, to: &To, event: ExecEvent) -> bool {
    match to {
        To::Here(to) => to.try_send(event).is_ok(),
        To::Master(master, about) => {
            agents.0.post.send_now(agents.0.me, *master, PacketKind::Exec, *about, &body(event))
        }
    }
}

fn body(event: ExecEvent) -> Vec<u8> {
    let parts = match event {
        ExecEvent::Output(stream, chunk) => vec![stream.name().into(), Value::Binary(chunk)],
        ExecEvent::Exit(code) => vec!["exit".into(), code.into()],
        ExecEvent::Error(error) => vec!["error".into(), error.into()],
    };
    rpc::encode(&Value::Array(parts))
}

fn parse(payload: &[u8]) -> Option<ExecEvent> {
    let Value::Array(parts) = rpc::decode(payload).ok()? else { return None };
    let [kind, detail] = parts.as_slice() else { return None };
    let output = |stream| Some(ExecEvent::Output(stream, loose::bytes(detail)?.to_vec()));
    match loose::bytes(kind)? {
        b"stdout" => output(Stream::Stdout),
        b"stderr" => output(Stream::Stderr),
        b"exit" => Some(ExecEvent::Exit(loose::integer(detail)?)),
        b"error" => Some(ExecEvent::Error(loose::text(detail)?.into_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_they_were_written() {
        for event in [
            ExecEvent::Output(Stream::Stderr, vec![0xff, 0, 1]),
            ExecEvent::Output(Stream::Stdout, Vec::new()),
            ExecEvent::Exit(-1),
            ExecEvent::Error("gone".to_owned()),
        ] {
            assert_eq!(parse(&body(event.clone())), Some(event));
        }
    }
}
