//! What agents report, read from what they send. A field that is missing or of another type is none: an agent
//! is not refused for a detail.

use crate::rpc::Value;
use crate::rpc::loose::{self, elements, entries, get, integer_at, text_at};

/// What a host says of itself: the answer of its Docker engine, and what the agent adds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeReport {
    /// The operating system.
    pub os: Option<String>,
    /// Where the engine keeps its data.
    pub docker_root_dir: Option<String>,
    /// The storage driver.
    pub driver: Option<String>,
    /// The execution driver.
    pub execution_driver: Option<String>,
    /// The kernel.
    pub kernel_version: Option<String>,
    /// Of the agent.
    pub agent_version: Option<String>,
    /// Of the engine.
    pub docker_version: Option<String>,
    /// Where other sites reach the host.
    pub public_ip: Option<String>,
    /// Where the same site reaches it.
    pub private_ip: Option<String>,
    /// Memory in bytes.
    pub mem_total: Option<i64>,
    /// Number of processors.
    pub cpus: Option<i64>,
    /// The engine's labels.
    pub labels: Vec<String>,
    /// Volume drivers.
    pub volume_drivers: Vec<Driver>,
    /// Network drivers.
    pub network_drivers: Vec<Driver>,
}

/// A driver of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Its name.
    pub name: String,
    /// None for those that are built in.
    pub version: Option<String>,
}

impl NodeReport {
    pub(super) fn parse(info: &Value) -> Self {
        let text = |key| text_at(info, key);
        let drivers = |kind| {
            let drivers = elements(loose::path(info, &["Drivers", kind])).iter();
            drivers
                .filter_map(|driver| {
                    Some(Driver { name: text_at(driver, "name")?, version: text_at(driver, "version") })
                })
                .collect()
        };
        Self {
            os: text("OperatingSystem"),
            docker_root_dir: text("DockerRootDir"),
            driver: text("Driver"),
            execution_driver: text("ExecutionDriver"),
            kernel_version: text("KernelVersion"),
            agent_version: text("AgentVersion"),
            docker_version: text("ServerVersion"),
            public_ip: text("PublicIp"),
            private_ip: text("PrivateIp"),
            mem_total: integer_at(info, "MemTotal"),
            cpus: integer_at(info, "NCPU"),
            labels: elements(get(info, "Labels")).iter().filter_map(loose::filled).collect(),
            volume_drivers: drivers("Volume"),
            network_drivers: drivers("Network"),
        }
    }
}

/// What became of an instance of a service on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodState {
    /// The service's document id, in hexadecimal.
    pub service_id: String,
    /// Counts from 1.
    pub instance_number: i64,
    /// The deploy that is in force. None after a restart of the agent.
    pub rev: Option<String>,
    /// running, restarting, stopped or missing.
    pub state: String,
    /// Why the last change failed.
    pub error: Option<String>,
}

impl PodState {
    pub(super) fn parse(value: &Value) -> Option<Self> {
        Some(Self {
            service_id: text_at(value, "service_id")?,
            instance_number: integer_at(value, "instance_number")?,
            rev: text_at(value, "rev"),
            state: text_at(value, "state")?,
            error: text_at(value, "error"),
        })
    }
}

/// A step in the life of an instance, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodEvent {
    /// The service's document id, in hexadecimal.
    pub service_id: String,
    /// Counts from 1.
    pub instance_number: Option<i64>,
    /// 0 debug to 3 error.
    pub severity: i64,
    /// Such as `service:create_instance`.
    pub kind: String,
    /// In words.
    pub text: String,
}

impl PodEvent {
    pub(super) fn parse(value: &Value) -> Option<Self> {
        Some(Self {
            service_id: text_at(value, "service_id")?,
            instance_number: integer_at(value, "instance_number"),
            severity: integer_at(value, "severity").unwrap_or(1),
            kind: text_at(value, "type")?,
            text: text_at(value, "data").unwrap_or_default(),
        })
    }
}

/// A hook that has run and must not run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookMark {
    /// The service's document id, in hexadecimal.
    pub service_id: String,
    /// Counts from 1.
    pub instance_number: i64,
    /// The hook's id, in hexadecimal.
    pub hook_id: String,
}

impl HookMark {
    pub(super) fn parse(pod: &Value, hook: &Value) -> Option<Self> {
        Some(Self {
            service_id: text_at(pod, "service_id")?,
            instance_number: integer_at(pod, "instance_number")?,
            hook_id: text_at(hook, "id")?,
        })
    }
}

/// A managed volume that exists on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeState {
    /// Its name in the engine.
    pub name: String,
    /// The volume's document id, in hexadecimal.
    pub volume_id: String,
    /// The id of its place on the node, in hexadecimal.
    pub volume_instance_id: String,
}

impl VolumeState {
    pub(super) fn parse(value: &Value) -> Option<Self> {
        Some(Self {
            name: text_at(value, "name")?,
            volume_id: text_at(value, "volume_id")?,
            volume_instance_id: text_at(value, "volume_instance_id")?,
        })
    }
}

/// How a container does by its own check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerHealth {
    /// The engine's id of the container.
    pub container_id: String,
    /// healthy or unhealthy.
    pub status: String,
}

impl ContainerHealth {
    pub(super) fn parse(value: &Value) -> Option<Self> {
        Some(Self { container_id: text_at(value, "id")?, status: text_at(value, "status")? })
    }
}

/// Where a container wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// As it is named on the wire and in documents.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }

    pub(super) fn parse(value: &Value) -> Option<Self> {
        match loose::bytes(value)? {
            b"stdout" => Some(Self::Stdout),
            b"stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

/// One line of a container's output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// The engine's id of the container.
    pub container_id: String,
    /// RFC 3339, by the host's clock.
    pub time: String,
    /// Where it was written.
    pub stream: Stream,
    /// What was written; bytes that are not UTF-8 are replaced.
    pub data: String,
}

impl LogLine {
    pub(super) fn parse(value: &Value) -> Option<Self> {
        Some(Self {
            container_id: text_at(value, "id")?,
            time: text_at(value, "time")?,
            stream: get(value, "type").and_then(Stream::parse).unwrap_or(Stream::Stdout),
            data: text_at(value, "data")?,
        })
    }
}

/// The labels of a container, in the order in which they came.
pub(super) fn labels(value: Option<&Value>) -> Vec<(String, String)> {
    let text = |value: &Value| loose::text(value).map(std::borrow::Cow::into_owned);
    entries(value).map(|(key, value)| (key.into_owned(), text(value).unwrap_or_default())).collect()
}
