//! A container as its engine describes it, reduced to what a master keeps.

use crate::rpc::Value;
use crate::rpc::loose::{self, elements, entries, flag, get, integer_at, text, text_at};

use super::reports::labels;

/// What is kept of the engine's description.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// The engine's id.
    pub id: String,
    /// The engine's name, without its slash.
    pub engine_name: String,
    /// In the order in which they came.
    pub labels: Vec<(String, String)>,
    /// The image's name.
    pub image: Option<String>,
    /// The image's id.
    pub image_version: Option<String>,
    /// The command. None if there is none.
    pub cmd: Option<Vec<String>>,
    /// The environment, as `NAME=value`. None if there is none.
    pub env: Option<Vec<String>>,
    /// Its host name.
    pub hostname: Option<String>,
    /// Its domain.
    pub domainname: Option<String>,
    /// The storage driver.
    pub driver: Option<String>,
    /// The execution driver.
    pub exec_driver: Option<String>,
    /// What it does.
    pub state: State,
    /// Its network. None if the engine does not tell.
    pub network: Option<Network>,
    /// Mounts: the path in the container, and that on the node. None if the engine does not tell.
    pub volumes: Option<Vec<(String, String)>>,
}

/// What a container does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "as the engine tells them")]
pub struct State {
    /// Why it failed.
    pub error: Option<String>,
    /// How it ended.
    pub exit_code: Option<i64>,
    /// Its first process.
    pub pid: Option<i64>,
    /// It took more memory than there was.
    pub oom_killed: bool,
    /// Frozen.
    pub paused: bool,
    /// Between two starts.
    pub restarting: bool,
    /// Beyond a restart.
    pub dead: bool,
    /// At work.
    pub running: bool,
    /// RFC 3339; the year 1 means never.
    pub started_at: Option<String>,
    /// RFC 3339; the year 1 means never.
    pub finished_at: Option<String>,
}

/// A container's network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// The bridge's name.
    pub bridge: Option<String>,
    /// The gateway's address.
    pub gateway: Option<String>,
    /// The own address.
    pub ip_address: Option<String>,
    /// The length of the address's prefix.
    pub ip_prefix_len: Option<i64>,
    /// The hardware address.
    pub mac_address: Option<String>,
    /// A port of the container, such as `80/tcp`, and where the node offers it (address, port).
    pub ports: Vec<(String, Vec<(String, i64)>)>,
}

impl Container {
    pub(super) fn parse(inspect: &Value) -> Option<Self> {
        let config = get(inspect, "Config");
        let configured = |key| config.and_then(|config| get(config, key));
        let configured_text = |key| configured(key).and_then(loose::filled);
        let list = |key| match configured(key) {
            Some(Value::Array(list)) => Some(list.iter().filter_map(text).map(Into::into).collect()),
            Some(single @ (Value::String(_) | Value::Binary(_))) => {
                Some(text(single).map(|text| vec![text.into_owned()]).unwrap_or_default())
            }
            _ => None,
        };
        let volumes = match get(inspect, "Volumes") {
            mounts @ Some(Value::Map(_)) => Some(
                entries(mounts)
                    .filter_map(|(path, node)| Some((path.into_owned(), text(node)?.into_owned())))
                    .collect(),
            ),
            _ => None,
        };
        Some(Self {
            id: loose::filled(get(inspect, "Id")?)?,
            engine_name: text_at(inspect, "Name").unwrap_or_default().trim_start_matches('/').to_owned(),
            labels: labels(configured("Labels")),
            image: configured_text("Image"),
            image_version: text_at(inspect, "Image"),
            cmd: list("Cmd"),
            env: list("Env"),
            hostname: configured("Hostname").and_then(text).map(Into::into),
            domainname: configured("Domainname").and_then(text).map(Into::into),
            driver: text_at(inspect, "Driver"),
            exec_driver: text_at(inspect, "ExecDriver"),
            state: get(inspect, "State").map(State::parse).unwrap_or_default(),
            network: get(inspect, "NetworkSettings").map(Network::parse),
            volumes,
        })
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

impl State {
    fn parse(state: &Value) -> Self {
        let is = |key| get(state, key).and_then(flag).unwrap_or(false);
        Self {
            error: text_at(state, "Error"),
            exit_code: integer_at(state, "ExitCode"),
            pid: integer_at(state, "Pid"),
            oom_killed: is("OOMKilled"),
            paused: is("Paused"),
            restarting: is("Restarting"),
            dead: is("Dead"),
            running: is("Running"),
            started_at: text_at(state, "StartedAt"),
            finished_at: text_at(state, "FinishedAt"),
        }
    }
}

impl Network {
    fn parse(network: &Value) -> Self {
        // A port that the image exposes and nobody published stands there without places.
        let published = entries(get(network, "Ports")).filter(|(_, places)| !places.is_nil());
        let ports = published.map(|(port, places)| {
            let place = |place: &Value| Some((text_at(place, "HostIp")?, integer_at(place, "HostPort")?));
            (port.into_owned(), elements(Some(places)).iter().filter_map(place).collect())
        });
        Self {
            bridge: text_at(network, "Bridge"),
            gateway: text_at(network, "Gateway"),
            ip_address: text_at(network, "IPAddress"),
            ip_prefix_len: integer_at(network, "IPPrefixLen"),
            mac_address: text_at(network, "MacAddress"),
            ports: ports.collect(),
        }
    }
}
