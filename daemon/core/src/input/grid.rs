//! Grids.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value};

use super::is_name;
use crate::form::{Form, Invalid, fields, free_object, integer, list, text};

const SUBNET: &str = "10.81.0.0/16";
const SUPERNET: &str = "10.80.0.0/12";
/// How many nodes a grid's first members may be.
const INITIAL_SIZES: (i64, i64) = (1, 7);

/// Where statistics are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statsd {
    /// Host.
    pub server: String,
    /// UDP port.
    pub port: i64,
}

/// Where the engines send what containers write.
#[derive(Clone, Debug, PartialEq)]
pub struct LogForwarding {
    /// Always `fluentd`.
    pub forwarder: String,
    /// Of the engine's log driver.
    pub opts: Map<String, Value>,
}

/// A grid to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewGrid {
    /// None: one is made up.
    pub name: Option<String>,
    /// How many nodes keep the grid's state.
    pub initial_size: i64,
    /// None: a random one.
    pub token: Option<String>,
    /// Of the containers, in CIDR notation.
    pub subnet: String,
    /// Of the agents' own containers too, in CIDR notation.
    pub supernet: String,
    /// For services without an affinity.
    pub default_affinity: Vec<String>,
    /// Between which nodes traffic is not encrypted, in CIDR notation.
    pub trusted_subnets: Vec<String>,
    /// Where statistics are sent.
    pub statsd: Option<Statsd>,
    /// Where logs are sent.
    pub logs: Option<LogForwarding>,
}

/// What is to change of a grid; `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GridChange {
    /// For services without an affinity.
    pub default_affinity: Option<Vec<String>>,
    /// Between which nodes traffic is not encrypted, in CIDR notation.
    pub trusted_subnets: Option<Vec<String>>,
    /// Where statistics are sent.
    pub statsd: Option<Option<Statsd>>,
    /// Where logs are sent.
    pub logs: Option<Option<LogForwarding>>,
}

impl NewGrid {
    /// Reads and judges a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let name = form.optional("name", &text().min(3).matching(is_name));
        let initial_size = form.optional("initial_size", &integer().within(INITIAL_SIZES.0, INITIAL_SIZES.1));
        let token = form.optional("token", &text());
        let subnet = form.optional("subnet", &text());
        let supernet = form.optional("supernet", &text());
        let Settings { default_affinity, trusted_subnets, statsd, logs } = Settings::read(&mut form);
        let grid = form.conclude(Some(Self {
            name,
            initial_size: initial_size.unwrap_or(1),
            token,
            subnet: subnet.unwrap_or_else(|| SUBNET.to_owned()),
            supernet: supernet.unwrap_or_else(|| SUPERNET.to_owned()),
            default_affinity: default_affinity.unwrap_or_default(),
            trusted_subnets: trusted_subnets.unwrap_or_default(),
            statsd: statsd.flatten(),
            logs: logs.as_ref().and_then(RawLogs::accepted),
        }))?;
        let mut faults = Invalid::default();
        for (field, network) in [("subnet", &grid.subnet), ("supernet", &grid.supernet)] {
            if !is_network(network) {
                faults.add(field, format!("invalid address: {network}"));
            }
        }
        judge(&mut faults, &grid.trusted_subnets, logs.as_ref());
        faults.check()?;
        Ok(grid)
    }
}

impl GridChange {
    /// Reads and judges a request.
    pub fn read(input: &Map<String, Value>) -> Result<Self, Invalid> {
        let mut form = Form::new(input);
        let settings = Settings::read(&mut form);
        let Settings { default_affinity, trusted_subnets, statsd, logs } = form.conclude(Some(settings))?;
        let mut faults = Invalid::default();
        judge(&mut faults, trusted_subnets.as_deref().unwrap_or_default(), logs.as_ref());
        faults.check()?;
        let logs = logs.map(|logs| logs.accepted());
        Ok(Self { default_affinity, trusted_subnets, statsd, logs })
    }
}

/// What can be given at first and later.
#[expect(clippy::option_option, reason = "a value can be left, cleared or set")]
struct Settings {
    default_affinity: Option<Vec<String>>,
    trusted_subnets: Option<Vec<String>>,
    statsd: Option<Option<Statsd>>,
    logs: Option<RawLogs>,
}

impl Settings {
    fn read(form: &mut Form<'_>) -> Self {
        let statsd = fields(|form| {
            let server = form.required("server", &text());
            let port = form.required("port", &integer());
            Some(Statsd { server: server?, port: port? })
        });
        let stats = fields(|form| Some(form.nullable("statsd", &statsd)));
        let logs = fields(|form| {
            let forwarder = form.required("forwarder", &text().one_of(&["fluentd", "none"]));
            let opts = form.optional("opts", &free_object());
            Some(RawLogs { forwarder: forwarder?, opts: opts.unwrap_or_default() })
        });
        Self {
            default_affinity: form.optional("default_affinity", &list(text())),
            trusted_subnets: form.optional("trusted_subnets", &list(text())),
            // An empty object replaces what was there: by nothing.
            statsd: form.optional("stats", &stats).map(Option::flatten),
            logs: form.optional("logs", &logs),
        }
    }
}

struct RawLogs {
    forwarder: String,
    opts: Map<String, Value>,
}

impl RawLogs {
    fn accepted(&self) -> Option<LogForwarding> {
        let Self { forwarder, opts } = self;
        (forwarder == "fluentd").then(|| LogForwarding { forwarder: forwarder.clone(), opts: opts.clone() })
    }
}

fn judge(faults: &mut Invalid, trusted_subnets: &[String], logs: Option<&RawLogs>) {
    if let Some(subnet) = trusted_subnets.iter().find(|subnet| !is_network(subnet)) {
        faults.add("trusted_subnets", format!("Invalid trusted_subnet {subnet}"));
    }
    let addressed =
        |logs: &RawLogs| logs.opts.get("fluentd-address").is_some_and(|address| !address.is_null());
    if logs.is_some_and(|logs| logs.forwarder == "fluentd" && !addressed(logs)) {
        faults.add("logs", "fluentd-address option must be given");
    }
}

fn is_network(text: &str) -> bool {
    text.parse::<IpNet>().is_ok() || text.parse::<IpAddr>().is_ok()
}
