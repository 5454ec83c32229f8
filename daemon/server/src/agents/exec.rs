//! Commands in containers, with their input and output as they come, whichever master holds the agent's session.

mod message;
mod routes;

use kontena_core::id::Id;
use kontena_wire::agent::Stream;
use kontena_wire::agent::outbound::{self, Outbound};
use kontena_wire::rpc::loose;
use tokio::sync::mpsc;

use super::outbound::{CallError, Place, request_here};
use super::{Agents, bus};
pub(super) use message::lost;
pub(super) use routes::Routes;

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
