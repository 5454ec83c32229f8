//! Descriptions as a Docker engine gives them.

use kontena_wire::rpc::{Value, map};

/// A container of a simulated engine.
#[derive(Clone, Debug)]
pub(super) struct Container {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) image: String,
    pub(super) labels: Vec<(String, String)>,
    pub(super) running: bool,
}

impl Container {
    pub(super) fn new(name: String, image: &str, labels: Vec<(String, String)>) -> Self {
        let id: String = hex_digits();
        Self { id, name, image: image.to_owned(), labels, running: true }
    }

    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn inspect(&self) -> Value {
        let text = |text: &str| Value::from(text);
        let labels = map(self.labels.iter().map(|(key, value)| (key.as_str(), text(value))));
        map([
            ("Id", text(&self.id)),
            ("Created", text("2026-11-22T18:09:14.684530028Z")),
            ("Path", text("sleep")),
            ("Args", Value::Array(vec![text("infinity")])),
            (
                "State",
                map([
                    ("Status", text(if self.running { "running" } else { "exited" })),
                    ("Running", Value::from(self.running)),
                    ("Paused", Value::from(false)),
                    ("Restarting", Value::from(false)),
                    ("OOMKilled", Value::from(false)),
                    ("Dead", Value::from(false)),
                    ("Pid", Value::from(4242)),
                    ("ExitCode", Value::from(0)),
                    ("Error", text("")),
                    ("StartedAt", text("2026-11-22T18:09:14.886031647Z")),
                    ("FinishedAt", text("0001-01-01T00:00:00Z")),
                ]),
            ),
            ("Image", text("sha256:6b56159094")),
            ("Name", Value::from(format!("/{}", self.name))),
            ("Driver", text("overlay2")),
            (
                "Config",
                map([
                    ("Hostname", text("host")),
                    ("Domainname", text("")),
                    ("Env", Value::Array(vec![text("PATH=/usr/bin"), text("SECRET=hidden")])),
                    ("Cmd", Value::Array(vec![text("sleep"), text("infinity")])),
                    ("Image", text(&self.image)),
                    ("Labels", labels),
                ]),
            ),
            (
                "NetworkSettings",
                map([
                    ("Bridge", text("")),
                    ("Gateway", text("10.77.0.1")),
                    ("IPAddress", text("10.77.0.2")),
                    ("IPPrefixLen", Value::from(24)),
                    ("MacAddress", text("02:42:0a:4d:00:02")),
                    ("Ports", map([])),
                ]),
            ),
        ])
    }
}

/// The engine's description of its host, with what the agent adds.
pub(super) fn host(name: &str, node_id: &str, version: &str, number: u64) -> Value {
    let text = |text: &str| Value::from(text);
    let drivers =
        |names: &[&str]| Value::Array(names.iter().map(|name| map([("name", text(name))])).collect());
    map([
        ("ID", text(node_id)),
        ("Name", text(name)),
        ("Driver", text("overlay2")),
        ("OperatingSystem", text("Simulated GNU/Linux")),
        ("KernelVersion", text("6.1.0")),
        ("DockerRootDir", text("/var/lib/docker")),
        ("ServerVersion", text("20.10.24")),
        ("NCPU", Value::from(2)),
        ("MemTotal", Value::from(8_589_934_592_u64)),
        ("MemoryLimit", Value::from(true)),
        ("Labels", Value::Array(Vec::new())),
        ("PublicIp", Value::from(format!("192.0.2.{}", number % 250 + 1))),
        (
            "PrivateIp",
            Value::from(format!("10.{}.{}.{}", number / 62_500 % 250, number / 250 % 250, number % 250 + 1)),
        ),
        ("AgentVersion", text(version)),
        ("Drivers", map([("Volume", drivers(&["local"])), ("Network", drivers(&["bridge", "host"]))])),
    ])
}

/// As many as the engine's ids have.
fn hex_digits() -> String {
    let halves = [rand::random::<u128>(), rand::random::<u128>()];
    halves.map(|half| format!("{half:032x}")).concat()
}
