//! What an agent calls on a master: a closed list, where the original called whatever method had the name.

use thiserror::Error;

use super::Container;
use super::reports::{
    ContainerHealth, HookMark, LogLine, NodeReport, PodEvent, PodState, Stream, VolumeState,
};
use crate::rpc::loose::{self, elements, get, text_at};
use crate::rpc::{Fault, Value};

/// One call of an agent. `node` is the node id that the agent gives for itself.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are the parameters, by their documented names")]
pub enum Call {
    /// `/nodes/get`
    GetNode { node: String },
    /// `/nodes/update`
    UpdateNode { node: String, report: Box<NodeReport> },
    /// `/nodes/stats`
    NodeStats { node: String, stats: Value },
    /// `/node_service_pods/list`
    ListPods { node: String },
    /// `/node_service_pods/set_state`
    SetPodState { node: String, state: PodState },
    /// `/node_service_pods/mark_oneshot_hook`
    MarkHook { node: String, mark: HookMark },
    /// `/node_service_pods/event`
    PodEvent { node: String, event: PodEvent },
    /// `/node_volumes/list`
    ListVolumes { node: String },
    /// `/node_volumes/set_state`
    SetVolumeState { node: String, state: VolumeState },
    /// `/containers/save`
    SaveContainer { node: String, container: Box<Container> },
    /// `/containers/event`
    ContainerEvent { container_id: String, destroyed: bool },
    /// `/containers/cleanup`
    CleanUpContainers { node: String, container_ids: Vec<String> },
    /// `/containers/health`
    ContainerHealth(ContainerHealth),
    /// `/containers/stat`
    ContainerStat { container_id: String, stat: Value },
    /// `/containers/log_batch`
    LogBatch(Vec<LogLine>),
    /// `/container_exec/output`
    ExecOutput { exec_id: String, stream: Stream, chunk: Vec<u8> },
    /// `/container_exec/exit`
    ExecExit { exec_id: String, code: i64 },
    /// `/container_exec/error`
    ExecError { exec_id: String, error: String },
}

/// A call that cannot be carried out, whatever the state of things.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Mistake {
    /// The part before the last slash names nothing.
    #[error("no such handler")]
    Handler,
    /// The handler has no such method.
    #[error("NoMethodError: undefined method `{0}'")]
    Method(String),
    /// Another number of parameters than the method takes.
    #[error("ArgumentError: wrong number of arguments (given {given}, expected {expected})")]
    Arity {
        /// How many there were.
        given: usize,
        /// How many it takes.
        expected: usize,
    },
    /// A parameter is not what it must be.
    #[error("ArgumentError: {0} cannot be read")]
    Parameter(&'static str),
}

impl From<Mistake> for Fault {
    fn from(mistake: Mistake) -> Self {
        match mistake {
            Mistake::Handler => Self::not_implemented(),
            other => Self::new(500, other.to_string()),
        }
    }
}

/// The parts of the method's name, and how many parameters it takes.
const METHODS: [(&str, &str, usize); 18] = [
    ("nodes", "get", 1),
    ("nodes", "update", 2),
    ("nodes", "stats", 2),
    ("node_service_pods", "list", 1),
    ("node_service_pods", "set_state", 2),
    ("node_service_pods", "mark_oneshot_hook", 3),
    ("node_service_pods", "event", 2),
    ("node_volumes", "list", 1),
    ("node_volumes", "set_state", 2),
    ("containers", "save", 1),
    ("containers", "event", 1),
    ("containers", "cleanup", 2),
    ("containers", "health", 1),
    ("containers", "stat", 1),
    ("containers", "log_batch", 1),
    ("container_exec", "output", 3),
    ("container_exec", "exit", 2),
    ("container_exec", "error", 2),
];

impl Call {
    /// Reads a call by its method and parameters.
    pub fn parse(method: &str, params: &[Value]) -> Result<Self, Mistake> {
        let (handler, name) = method.trim_start_matches('/').split_once('/').ok_or(Mistake::Handler)?;
        if !METHODS.iter().any(|(known, _, _)| *known == handler) {
            return Err(Mistake::Handler);
        }
        let known = METHODS.iter().find(|(of, known, _)| *of == handler && *known == name);
        let Some((_, _, expected)) = known else { return Err(Mistake::Method(name.to_owned())) };
        if params.len() != *expected {
            return Err(Mistake::Arity { given: params.len(), expected: *expected });
        }
        match params {
            [one] => Self::of_one(handler, name, one),
            [one, two] => Self::of_two(handler, name, one, two),
            [one, two, three] => Self::of_three(handler, one, two, three),
            _ => Err(Mistake::Method(name.to_owned())),
        }
    }

    fn of_one(handler: &str, name: &str, one: &Value) -> Result<Self, Mistake> {
        let container_id = || text_at(one, "id").ok_or(Mistake::Parameter("the container's id"));
        Ok(match (handler, name) {
            ("nodes", _) => Self::GetNode { node: node(one)? },
            ("node_service_pods", _) => Self::ListPods { node: node(one)? },
            ("node_volumes", _) => Self::ListVolumes { node: node(one)? },
            (_, "save") => {
                let node = get(one, "node").map(node).ok_or(Mistake::Parameter("the node id"))??;
                let container = get(one, "container").and_then(Container::parse);
                let container = container.ok_or(Mistake::Parameter("the container"))?;
                Self::SaveContainer { node, container: Box::new(container) }
            }
            (_, "event") => Self::ContainerEvent {
                container_id: container_id()?,
                destroyed: text_at(one, "status").as_deref() == Some("destroy"),
            },
            (_, "health") => {
                Self::ContainerHealth(ContainerHealth::parse(one).ok_or(Mistake::Parameter("the health"))?)
            }
            (_, "stat") => Self::ContainerStat { container_id: container_id()?, stat: one.clone() },
            _ => Self::LogBatch(elements(Some(one)).iter().filter_map(LogLine::parse).collect()),
        })
    }

    fn of_two(handler: &str, name: &str, one: &Value, two: &Value) -> Result<Self, Mistake> {
        Ok(match (handler, name) {
            ("nodes", "update") => {
                Self::UpdateNode { node: node(one)?, report: Box::new(NodeReport::parse(two)) }
            }
            ("nodes", _) => Self::NodeStats { node: node(one)?, stats: two.clone() },
            ("node_service_pods", "set_state") => Self::SetPodState {
                node: node(one)?,
                state: PodState::parse(two).ok_or(Mistake::Parameter("the state"))?,
            },
            ("node_service_pods", _) => Self::PodEvent {
                node: node(one)?,
                event: PodEvent::parse(two).ok_or(Mistake::Parameter("the event"))?,
            },
            ("node_volumes", _) => Self::SetVolumeState {
                node: node(one)?,
                state: VolumeState::parse(two).ok_or(Mistake::Parameter("the state"))?,
            },
            ("containers", _) => Self::CleanUpContainers {
                node: node(one)?,
                container_ids: elements(Some(two)).iter().filter_map(loose::filled).collect(),
            },
            (_, "exit") => Self::ExecExit {
                exec_id: node(one)?,
                // A process that was ended by a signal may have no code.
                code: loose::integer(two).unwrap_or(-1),
            },
            _ => Self::ExecError {
                exec_id: node(one)?,
                error: loose::text(two).unwrap_or_default().into_owned(),
            },
        })
    }

    fn of_three(handler: &str, one: &Value, two: &Value, three: &Value) -> Result<Self, Mistake> {
        Ok(if handler == "container_exec" {
            Self::ExecOutput {
                exec_id: node(one)?,
                stream: Stream::parse(two).ok_or(Mistake::Parameter("the stream"))?,
                chunk: loose::bytes(three).ok_or(Mistake::Parameter("the chunk"))?.to_vec(),
            }
        } else {
            let mark = HookMark::parse(two, three).ok_or(Mistake::Parameter("the hook"))?;
            Self::MarkHook { node: node(one)?, mark }
        })
    }

    /// The node id that the agent gave for itself, where the method has one.
    #[must_use]
    pub fn node(&self) -> Option<&str> {
        match self {
            Self::GetNode { node }
            | Self::UpdateNode { node, .. }
            | Self::NodeStats { node, .. }
            | Self::ListPods { node }
            | Self::SetPodState { node, .. }
            | Self::MarkHook { node, .. }
            | Self::PodEvent { node, .. }
            | Self::ListVolumes { node }
            | Self::SetVolumeState { node, .. }
            | Self::SaveContainer { node, .. }
            | Self::CleanUpContainers { node, .. } => Some(node),
            Self::ContainerEvent { .. }
            | Self::ContainerHealth(_)
            | Self::ContainerStat { .. }
            | Self::LogBatch(_)
            | Self::ExecOutput { .. }
            | Self::ExecExit { .. }
            | Self::ExecError { .. } => None,
        }
    }
}

fn node(value: &Value) -> Result<String, Mistake> {
    loose::filled(value).ok_or(Mistake::Parameter("the id"))
}

#[cfg(test)]
mod tests;
