//! What a master calls on an agent: the method, its parameters in their order, and how long the answer of a
//! request may take.

use std::time::Duration;

use crate::rpc::{Value, map};

/// For an answer, unless the method says otherwise.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(300);
/// For answers that need no work of the engine.
pub const QUICK_ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// For the answer of the health check of etcd.
pub const HEALTH_WITHIN: Duration = Duration::from_secs(10);

/// A call with its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Outbound {
    /// As in `/handler/name`.
    pub method: &'static str,
    /// By position.
    pub params: Vec<Value>,
    /// If it is sent as a request.
    pub answer_within: Duration,
}

fn call(method: &'static str, params: Vec<Value>) -> Outbound {
    Outbound { method, params, answer_within: ANSWER_WITHIN }
}

fn quick(method: &'static str, params: Vec<Value>) -> Outbound {
    Outbound { method, params, answer_within: QUICK_ANSWER_WITHIN }
}

/// The first message of every connection: it makes the agent report all it has.
#[must_use]
pub fn master_info(version: &str) -> Outbound {
    call("/agent/master_info", vec![map([("version", Value::from(version))])])
}

/// Who the agent is and with whom it shares a network.
#[must_use]
pub fn node_info(body: Value) -> Outbound {
    call("/agent/node_info", vec![body])
}

/// The agent should ask for its pods. The one parameter is required and its value is not used.
#[must_use]
pub fn pods_changed() -> Outbound {
    quick("/service_pods/notify_update", vec![Value::Array(Vec::new())])
}

/// The agent should ask for its volumes.
#[must_use]
pub fn volumes_changed() -> Outbound {
    quick("/volumes/notify_update", vec![Value::Array(Vec::new())])
}

/// Restarts one instance.
#[must_use]
pub fn restart_pod(service_id: &str, instance_number: i64) -> Outbound {
    call("/service_pods/restart", vec![service_id.into(), instance_number.into()])
}

/// Takes a service out of its load balancer; the parameter is its pod.
#[must_use]
pub fn remove_from_load_balancer(pod: Value) -> Outbound {
    call("/load_balancers/remove_service", vec![pod])
}

/// Reads a key of etcd.
#[must_use]
pub fn etcd_get(path: &str, recursive: bool) -> Outbound {
    let options = if recursive { map([("recursive", Value::from(true))]) } else { map([]) };
    quick("/etcd/get", vec![path.into(), options])
}

/// Writes a key of etcd.
#[must_use]
pub fn etcd_set(path: &str, value: &str) -> Outbound {
    quick("/etcd/set", vec![path.into(), map([("value", Value::from(value))])])
}

/// Makes a directory in etcd.
#[must_use]
pub fn etcd_make_directory(path: &str) -> Outbound {
    quick("/etcd/set", vec![path.into(), map([("dir", Value::from(true))])])
}

/// Removes a key of etcd.
#[must_use]
pub fn etcd_delete(path: &str, recursive: bool) -> Outbound {
    quick("/etcd/delete", vec![path.into(), map([("recursive", Value::from(recursive))])])
}

/// Asks how etcd does.
#[must_use]
pub fn etcd_health() -> Outbound {
    Outbound { answer_within: HEALTH_WITHIN, ..call("/etcd/health", Vec::new()) }
}

/// The engine's description of a container.
#[must_use]
pub fn inspect_container(container_id: &str) -> Outbound {
    call("/containers/inspect", vec![container_id.into()])
}

/// The processes in a container. One parameter: the original sent two, which the agent refuses.
#[must_use]
pub fn container_processes(container_id: &str) -> Outbound {
    call("/containers/top", vec![container_id.into()])
}

/// Runs a command to its end. It keeps the agent from everything else meanwhile.
#[must_use]
pub fn run_in_container(container_id: &str, command: Value) -> Outbound {
    call("/containers/exec", vec![container_id.into(), command, map([])])
}

/// Makes a session for a command, whose id the answer tells.
#[must_use]
pub fn create_exec(container_id: &str) -> Outbound {
    call("/containers/create_exec", vec![container_id.into()])
}

/// Starts the command of a session.
#[must_use]
pub fn run_exec(exec_id: &str, command: &[String], tty: bool, stdin: bool) -> Outbound {
    let command = command.iter().map(|word| Value::from(word.as_str())).collect();
    call("/containers/run_exec", vec![exec_id.into(), Value::Array(command), tty.into(), stdin.into()])
}

/// Input for the command of a session. None: its end.
#[must_use]
pub fn exec_input(exec_id: &str, input: Option<&str>) -> Outbound {
    call("/containers/tty_input", vec![exec_id.into(), input.map_or(Value::Nil, Value::from)])
}

/// The size of the terminal of a session.
#[must_use]
pub fn exec_resize(exec_id: &str, width: u32, height: u32) -> Outbound {
    let size = map([("width", Value::from(width)), ("height", Value::from(height))]);
    call("/containers/tty_resize", vec![exec_id.into(), size])
}

/// Ends a session.
#[must_use]
pub fn terminate_exec(exec_id: &str) -> Outbound {
    call("/containers/terminate_exec", vec![exec_id.into()])
}

#[cfg(test)]
mod tests;
