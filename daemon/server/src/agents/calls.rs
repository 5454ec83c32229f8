//! Carries out what agents call.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use kontena_core::id::Id;
use kontena_store::{
    ContainerStatRow, Failure, LogRow, NodeStatRow, NotFound, Reported, ReportedEvent, SavedContainer,
};
use kontena_wire::agent::{Call, Container};
use kontena_wire::rpc::{Fault, Value, map};
use tokio::time::Instant;

use super::exec::ExecEvent;
use super::limits::{ANSWER_WITHIN, REPORT_MAX, STATE_WITHIN};
use super::registry::Handle;
use super::retry::until_done;
use super::telemetry::Row;
use super::{Agents, LIMIT, admissions, bodies, pods};

/// The code of answers for want of a database.
const UNAVAILABLE: i64 = 503;

/// Before containers that could not be saved are saved again: ever longer, from this to that.
const PAUSE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(4));

/// A call that needs the database.
pub(super) struct Effort {
    /// Of the request, until it is answered.
    pub(super) id: Option<u64>,
    /// When the agent is told that it takes too long.
    pub(super) due: Instant,
    pub(super) call: Box<Call>,
}

impl Effort {
    /// Whether it says something that its agent does not repeat. Everything else is of no use once it is overdue.
    pub(super) fn is_state(&self) -> bool {
        is_state(&self.call)
    }

    /// Whether it is carried out even if its session has ended. Containers are told anew by the next session.
    pub(super) fn outlives_its_session(&self) -> bool {
        self.is_state() && !matches!(*self.call, Call::SaveContainer { .. })
    }

    /// Whether it says all that an older one of the same agent says, and later.
    pub(super) fn replaces(&self, older: &Self) -> bool {
        match (&*self.call, &*older.call) {
            (Call::SaveContainer { container, .. }, Call::SaveContainer { container: older, .. }) => {
                container.id == older.id
            }
            (Call::ContainerHealth(health), Call::ContainerHealth(older)) => {
                health.container_id == older.container_id
            }
            _ => false,
        }
    }

    /// What one is answered that was replaced.
    pub(super) fn answer_as_replaced(&self) -> Value {
        match *self.call {
            Call::ContainerHealth(_) => Value::Nil,
            _ => empty(),
        }
    }
}

/// What becomes of a call when it comes.
pub(super) enum Taken {
    /// It was done at once, or cannot be done at all.
    Answered(Result<Value, Fault>),
    /// It needs the database.
    Waits(Effort),
}

fn is_state(call: &Call) -> bool {
    matches!(
        call,
        Call::SetPodState { .. }
            | Call::SetVolumeState { .. }
            | Call::SaveContainer { .. }
            | Call::ContainerEvent { .. }
    )
}

/// Takes a call in. What needs no waiting is done at once.
pub(super) fn take(
    agents: &Agents,
    handle: &Arc<Handle>,
    id: Option<u64>,
    (method, params): (&str, &[Value]),
    size: usize,
) -> Taken {
    let answer = Taken::Answered;
    let call = match Call::parse(method, params) {
        Ok(call) => call,
        Err(mistake) => {
            tracing::debug!(NODE = handle.node_id, method, %mistake, "a call cannot be carried out");
            return answer(Err(mistake.into()));
        }
    };
    // An agent speaks for its own node only.
    if call.node().is_some_and(|node| node != handle.node_id) {
        return answer(Err(not_this_node(&call)));
    }
    if size > REPORT_MAX {
        return answer(Err(Fault::new(500, "RuntimeError: the report is too large")));
    }
    let (grid, node) = (handle.grid, handle.node);
    let telemetry = &agents.0.telemetry;
    match call {
        Call::LogBatch(lines) => {
            let count = lines.len();
            for line in lines {
                telemetry.take(Row::Log(LogRow { grid, node, line }));
            }
            answer(Ok(map([("count", Value::from(count))])))
        }
        Call::PodEvent { node: _, event } => {
            telemetry.take(Row::Event(ReportedEvent { grid, node, event }));
            answer(Ok(empty()))
        }
        Call::NodeStats { node: _, stats } => {
            telemetry.take(Row::NodeStat(Box::new(NodeStatRow { grid, node, stats })));
            answer(Ok(empty()))
        }
        Call::ContainerStat { container_id, stat } => {
            telemetry.take(Row::ContainerStat(Box::new(ContainerStatRow { grid, node, container_id, stat })));
            answer(Ok(empty()))
        }
        Call::ExecOutput { exec_id, stream, chunk } => {
            agents.0.execs.heard(agents, node, &exec_id, ExecEvent::Output(stream, chunk));
            answer(Ok(empty()))
        }
        Call::ExecExit { exec_id, code } => {
            agents.0.execs.heard(agents, node, &exec_id, ExecEvent::Exit(code));
            answer(Ok(empty()))
        }
        Call::ExecError { exec_id, error } => {
            agents.0.execs.heard(agents, node, &exec_id, ExecEvent::Error(error));
            answer(Ok(empty()))
        }
        // Of all events only the end of a container matters: the rest is reported by itself.
        Call::ContainerEvent { destroyed: false, .. } => answer(Ok(empty())),
        call => Taken::Waits(Effort { id, due: Instant::now() + ANSWER_WITHIN, call: Box::new(call) }),
    }
}

/// Carries a call out; its answer.
pub(super) async fn carry_out(agents: Agents, handle: Arc<Handle>, call: Call) -> Result<Value, Fault> {
    let state = is_state(&call);
    let within = if state { STATE_WITHIN } else { ANSWER_WITHIN };
    let limited = tokio::time::timeout(within + LIMIT / 2, outcome_of(&agents, &handle, call));
    let outcome = limited.await.unwrap_or_else(|_| Err(overdue()));
    if state && outcome.as_ref().is_err_and(|fault| *fault == overdue()) {
        tracing::warn!(NODE = handle.node_id, "a report of an agent was lost: no database for too long");
    }
    if let Err(fault) = &outcome {
        tracing::debug!(NODE = handle.node_id, %fault, "a call of an agent failed");
    }
    outcome
}

/// What an agent is told that waits for the database.
pub(super) fn overdue() -> Fault {
    Fault::new(UNAVAILABLE, "the database does not answer")
}

async fn outcome_of(agents: &Agents, handle: &Handle, call: Call) -> Result<Value, Fault> {
    let node = handle.node;
    let store = &agents.0.store;
    match call {
        Call::UpdateNode { node: _, report } => {
            let reported = Reported { session: handle.session(), report: *report };
            agents.0.reports.ask(reported).await.map_err(unavailable)?;
            Ok(Value::from(true))
        }
        Call::GetNode { node: _ } => {
            let mut infos = admissions::node_infos(agents, &[node]).boxed().await.map_err(unavailable)?;
            infos.remove(&node).map(|info| info.body).ok_or_else(|| Fault::new(404, "Node not found"))
        }
        Call::ListPods { node: _ } => pods::list(agents, node).await,
        Call::ListVolumes { node: _ } => {
            let rows = agents.0.volumes.ask(node).await.map_err(unavailable)?;
            if rows.is_empty() {
                pods::node_of(agents, node).await?;
            }
            Ok(bodies::volumes(&rows))
        }
        Call::SetPodState { node: _, state } => {
            let service = state.service_id.parse::<Id>();
            let told = (handle.session(), state);
            let done = until_done(STATE_WITHIN, || agents.0.states.ask(told.clone())).await;
            if let Ok(service) = service {
                agents.0.watchers.reported(service, 1);
                agents.0.claimers.reported(node, service, Instant::now());
            }
            found(done.map_err(unavailable)?)
        }
        Call::MarkHook { node: _, mark } => {
            let instances = store.service_instances();
            let done = until_done(ANSWER_WITHIN, || instances.mark_hook(node, &mark, LIMIT)).await;
            found(done.map_err(unavailable)?)
        }
        Call::SetVolumeState { node: _, state } => {
            let volumes = store.volume_instances();
            let place = (handle.grid, node);
            let known = until_done(STATE_WITHIN, || volumes.set_state(place, &state, LIMIT)).await;
            if known.map_err(unavailable)? {
                Ok(empty())
            } else {
                Err(Fault::new(500, "RuntimeError: Volume not found"))
            }
        }
        Call::SaveContainer { node: _, container } => save(agents, handle, *container).await,
        Call::ContainerEvent { container_id, destroyed: _ } => {
            remove(agents, node, &[container_id], STATE_WITHIN).await?;
            Ok(empty())
        }
        Call::CleanUpContainers { node: _, container_ids } => {
            remove(agents, node, &container_ids, ANSWER_WITHIN).await.map(Value::from)
        }
        Call::ContainerHealth(health) => {
            let containers = store.containers();
            let noted = until_done(ANSWER_WITHIN, || {
                containers.health(node, &health.container_id, &health.status, LIMIT)
            });
            noted.await.map_err(unavailable)?;
            Ok(Value::Nil)
        }
        // These were done when they came.
        Call::NodeStats { .. }
        | Call::PodEvent { .. }
        | Call::ContainerStat { .. }
        | Call::LogBatch(_)
        | Call::ExecOutput { .. }
        | Call::ExecExit { .. }
        | Call::ExecError { .. } => Ok(empty()),
    }
}

/// Saves a container for as long as the session stands: the next one begins with all containers, which are newer than
/// this one, and may be written already.
async fn save(agents: &Agents, handle: &Handle, container: Container) -> Result<Value, Fault> {
    let saved = SavedContainer { grid: handle.grid, session: handle.session(), container };
    let (mut pause, longest) = PAUSE;
    while agents.0.registry.holds(handle) {
        let Err(failure) = agents.0.containers.ask(saved.clone()).boxed().await else {
            return Ok(empty());
        };
        if matches!(failure, Failure::Duplicate | Failure::TooLarge) {
            // However often it is tried.
            return Err(Fault::new(500, format!("RuntimeError: {failure}")));
        }
        let answer = unavailable(failure);
        // A master that stops would fail again and again.
        if agents.0.stop.is_cancelled() {
            return Err(answer);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
    Err(Fault::new(UNAVAILABLE, "the session has ended"))
}

async fn remove(agents: &Agents, node: Id, container_ids: &[String], within: Duration) -> Result<i64, Fault> {
    let containers = agents.0.store.containers();
    until_done(within, || containers.remove(node, container_ids, LIMIT)).await.map_err(unavailable)
}

fn found(outcome: Result<(), NotFound>) -> Result<Value, Fault> {
    match outcome {
        Ok(()) => Ok(empty()),
        Err(NotFound::Instance) => Err(Fault::new(500, "RuntimeError: Instance not found")),
        Err(NotFound::Hook) => Err(Fault::new(500, "RuntimeError: Hook not found")),
    }
}

fn not_this_node(call: &Call) -> Fault {
    match (call, call.node()) {
        (Call::UpdateNode { .. }, Some(node)) => {
            Fault::new(500, format!("RuntimeError: Missing HostNode: {node}"))
        }
        _ => Fault::new(500, "RuntimeError: Node not found"),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "to stand behind map_err")]
fn unavailable(failure: Failure) -> Fault {
    tracing::debug!(%failure, "a call of an agent was not carried out");
    overdue()
}

fn empty() -> Value {
    map([])
}
