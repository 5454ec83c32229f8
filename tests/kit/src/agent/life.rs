//! What an agent remembers over its connections: its containers, its pods, and what it asked.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use kontena_wire::rpc::loose::{self, elements, get, integer_at, text_at};
use kontena_wire::rpc::{Fault, Message, Value, map};
use tokio::time::Instant;

use super::contract;
use super::docker::{self, Container};
use super::etcd::Etcd;
use super::{Settings, SharedRecord, lock};

/// For the answer to a request.
const OVERDUE_AFTER: Duration = Duration::from_secs(30);

/// What an agent reported of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodRecord {
    /// The deploy in force.
    pub rev: Option<String>,
    /// running, restarting, stopped or missing.
    pub state: String,
}

struct Pod {
    desired_state: String,
    deploy_rev: String,
    container: Option<Container>,
    reported: Option<PodRecord>,
}

/// What is done with an answer.
enum Purpose {
    Pods,
    Volumes,
    Forget,
    PodState((String, i64), PodRecord),
}

struct Asked {
    purpose: Purpose,
    method: String,
    at: Instant,
    connection: u64,
}

pub(super) struct Life {
    pub(super) settings: Settings,
    record: SharedRecord,
    number: u64,
    containers: Vec<Container>,
    pods: BTreeMap<(String, i64), Pod>,
    asked: HashMap<u64, Asked>,
    /// Counts the connections.
    connection: u64,
    /// Exec sessions that were made and not ended.
    execs: Vec<String>,
    etcd: Etcd,
    /// Lines of each container.
    written: u64,
    pub(super) greeted: bool,
    pub(super) informed: bool,
}

/// Messages to be sent, in order.
pub(super) type Out = Vec<Message>;

impl Life {
    pub(super) fn new(settings: Settings, record: SharedRecord, number: u64) -> Self {
        let containers = (0..settings.containers)
            .map(|index| {
                Container::new(format!("{}-own-{index}", settings.name), "busybox:latest", Vec::new())
            })
            .collect();
        Self {
            settings,
            record,
            number,
            containers,
            pods: BTreeMap::new(),
            asked: HashMap::new(),
            connection: 0,
            execs: Vec::new(),
            etcd: Etcd::default(),
            written: 0,
            greeted: false,
            informed: false,
        }
    }

    pub(super) fn begin_connection(&mut self) {
        (self.greeted, self.informed) = (false, false);
        self.connection += 1;
    }

    fn node(&self) -> Value {
        Value::from(self.settings.node_id.as_str())
    }

    fn ask(&mut self, out: &mut Out, method: &str, params: Vec<Value>, purpose: Purpose) {
        // Ids of real agents reach one above what a signed integer of 32 bits holds.
        let id = u64::from(rand::random::<u32>() >> 1) + 1;
        let asked =
            Asked { purpose, method: method.to_owned(), at: Instant::now(), connection: self.connection };
        self.asked.insert(id, asked);
        out.push(Message::Request { id, method: method.to_owned(), params });
    }

    pub(super) fn update(&mut self, out: &mut Out) {
        let Settings { name, node_id, version, .. } = &self.settings;
        let info = docker::host(name, node_id, version, self.number);
        let node = self.node();
        self.ask(out, "/nodes/update", vec![node, info], Purpose::Forget);
    }

    pub(super) fn list(&mut self, out: &mut Out) {
        let node = self.node();
        self.ask(out, "/node_volumes/list", vec![node.clone()], Purpose::Volumes);
        self.ask(out, "/node_service_pods/list", vec![node], Purpose::Pods);
    }

    pub(super) fn stats(&self, out: &mut Out) {
        let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let stats = map([
            ("memory", map([("total", Value::from(8_589_934_592_u64)), ("used", Value::from(1_000_000))])),
            ("usage", map([("container_seconds", Value::from(120))])),
            ("load", map([("1m", Value::F64(0.5)), ("5m", Value::F64(0.4)), ("15m", Value::F64(0.3))])),
            ("filesystem", Value::Array(Vec::new())),
            ("cpu", map([("num_cores", Value::from(2)), ("user", Value::F64(f64::NAN))])),
            ("network", map([])),
            ("time", Value::from(now.as_str())),
        ]);
        out.push(Message::notification("/nodes/stats", vec![self.node(), stats]));
        for container in &self.containers {
            let stat = map([
                ("id", Value::from(container.id.as_str())),
                ("cpu", map([("usage", Value::from(1)), ("usage_pct", Value::F64(f64::INFINITY))])),
                ("memory", map([("usage", Value::from(1000))])),
                ("time", Value::from(now.as_str())),
            ]);
            out.push(Message::notification("/containers/stat", vec![stat]));
        }
    }

    pub(super) fn log(&self, out: &mut Out, text: &str) {
        let now = jiff::Timestamp::now().to_string();
        let line = |container: &Container| {
            map([
                ("id", Value::from(container.id.as_str())),
                ("service", Value::from("system")),
                // As real agents send what the engine streams.
                ("time", Value::Binary(now.clone().into_bytes())),
                ("type", Value::from("stdout")),
                ("data", Value::Binary(text.as_bytes().to_vec())),
            ])
        };
        let lines: Vec<Value> = self.all_containers().map(line).collect();
        for batch in lines.chunks(10) {
            out.push(Message::notification("/containers/log_batch", vec![Value::Array(batch.to_vec())]));
        }
    }

    /// Lets each container write its next line.
    pub(super) fn write(&mut self, out: &mut Out) {
        self.written += 1;
        let line = format!("GET /items/{} 200 in {} ms", self.written, self.written % 17);
        self.log(out, &line);
    }

    /// Takes a message in; what it answers or does is added to `out`.
    pub(super) fn take_in(&mut self, message: Message, out: &mut Out) {
        match message {
            Message::Request { id, method, params } => {
                self.called(&method);
                let outcome = self.answer(&method, &params, out);
                out.push(Message::Response { id, outcome });
            }
            Message::Notification { method, params } => {
                self.called(&method);
                match method.as_str() {
                    "/agent/master_info" => self.master_info(out),
                    "/agent/node_info" => self.node_info(&params, out),
                    _ => drop(self.answer(&method, &params, out)),
                }
            }
            Message::Response { id, outcome } => {
                let Some(Asked { purpose, .. }) = self.asked.remove(&id) else {
                    return self.record.fault(format!("an answer to {id}, which was not asked"));
                };
                self.answered(purpose, outcome, out);
            }
        }
    }

    fn called(&self, method: &str) {
        *lock(&self.record.calls).entry(method.to_owned()).or_default() += 1;
    }

    fn master_info(&mut self, out: &mut Out) {
        if self.greeted {
            self.record.fault("the version was announced twice".to_owned());
        }
        self.greeted = true;
        self.update(out);
        if self.settings.traffic == super::Traffic::Full {
            let all: Vec<Container> = self.all_containers().cloned().collect();
            for container in all {
                self.save(&container, out);
            }
        }
    }

    fn node_info(&mut self, params: &[Value], out: &mut Out) {
        if !self.greeted {
            self.record.fault("the node was told of itself before the version was announced".to_owned());
        }
        let Some(info) = params.first() else { return self.record.fault("no node_info".to_owned()) };
        if text_at(info, "id").as_deref() != Some(&self.settings.node_id) {
            self.record.fault(format!("node_info of another node: {info}"));
        }
        if !matches!(loose::path(info, &["grid", "trusted_subnets"]), Some(Value::Array(_))) {
            self.record.fault("trusted_subnets is no array".to_owned());
        }
        if text_at(info, "overlay_ip").is_none() || !matches!(get(info, "peer_ips"), Some(Value::Array(_))) {
            self.record.fault(format!("node_info lacks addresses: {info}"));
        }
        let first = !self.informed;
        self.informed = true;
        if first && self.settings.traffic == super::Traffic::Full {
            self.list(out);
        }
    }

    fn save(&mut self, container: &Container, out: &mut Out) {
        let body = map([("node", self.node()), ("container", container.inspect())]);
        self.ask(out, "/containers/save", vec![body], Purpose::Forget);
    }

    fn all_containers(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().chain(self.pods.values().filter_map(|pod| pod.container.as_ref()))
    }

    fn answered(&mut self, purpose: Purpose, outcome: Result<Value, Fault>, out: &mut Out) {
        match (purpose, outcome) {
            (Purpose::Pods, Ok(answer)) => match get(&answer, "service_pods") {
                Some(Value::Array(pods)) => self.apply(pods, out),
                _ => self.record.fault(format!("a list without pods: {answer}")),
            },
            (Purpose::Volumes, Ok(answer)) => {
                if !matches!(get(&answer, "volumes"), Some(Value::Array(_))) {
                    self.record.fault(format!("a list without volumes: {answer}"));
                }
            }
            (Purpose::PodState(pod, record), Ok(_)) => {
                lock(&self.record.acknowledged).insert(pod, record);
            }
            // A list that fails changes nothing; the rest is never repeated.
            (Purpose::Forget, _) | (_, Err(_)) => {}
        }
    }

    /// Makes what is listed so, and destroys what is not.
    fn apply(&mut self, listed: &[Value], out: &mut Out) {
        let key = |pod: &Value| Some((text_at(pod, "service_id")?, integer_at(pod, "instance_number")?));
        let wanted: Vec<(String, i64)> = listed.iter().filter_map(key).collect();
        let gone: Vec<(String, i64)> =
            self.pods.keys().filter(|pod| !wanted.contains(pod)).cloned().collect();
        lock(&self.record.pods).retain(|key, _| wanted.contains(key) || !gone.contains(key));
        for key in gone {
            lock(&self.record.truth).remove(&key);
            if let Some(Pod { container: Some(container), .. }) = self.pods.remove(&key) {
                self.event(&container, "destroy", out);
            }
        }
        for pod in listed {
            let (Some(key), Some(desired), Some(rev)) =
                (key(pod), text_at(pod, "desired_state"), text_at(pod, "deploy_rev"))
            else {
                self.record.fault(format!("a pod without identity, state or deploy: {pod}"));
                continue;
            };
            for fault in contract::faults(pod) {
                self.record.fault(fault);
            }
            lock(&self.record.pods).insert(key.clone(), pod.clone());
            self.apply_pod(key, desired, rev, pod, out);
        }
    }

    fn apply_pod(&mut self, key: (String, i64), desired: String, rev: String, listed: &Value, out: &mut Out) {
        let known = self.pods.get(&key);
        if known.is_some_and(|pod| pod.deploy_rev > rev) {
            self.record.fault(format!("the deploy of {key:?} went back to {rev}"));
        }
        if known.is_some_and(|pod| pod.desired_state == desired && pod.deploy_rev == rev) {
            return;
        }
        let mut container = known.and_then(|pod| pod.container.clone());
        let reported = known.and_then(|pod| pod.reported.clone());
        if desired == "running" {
            let container = container.get_or_insert_with(|| pod_container(&key, listed));
            container.running = true;
            let container = container.clone();
            self.event(&container, "start", out);
            self.save(&container, out);
        } else if let Some(container) = &mut container {
            container.running = false;
            let container = container.clone();
            self.event(&container, "die", out);
            self.save(&container, out);
        }
        let state = match &container {
            None => "missing",
            Some(container) if container.running => "running",
            Some(_) => "stopped",
        };
        let now = PodRecord { rev: Some(rev.clone()), state: state.to_owned() };
        if reported.as_ref() != Some(&now) {
            let body = map([
                ("service_id", Value::from(key.0.as_str())),
                ("instance_number", Value::from(key.1)),
                ("rev", Value::from(rev.as_str())),
                ("state", Value::from(state)),
                ("error", Value::Nil),
            ]);
            let node = self.node();
            let purpose = Purpose::PodState(key.clone(), now.clone());
            self.ask(out, "/node_service_pods/set_state", vec![node, body], purpose);
        }
        lock(&self.record.truth).insert(key.clone(), now.clone());
        let pod = Pod { desired_state: desired, deploy_rev: rev, container, reported: Some(now) };
        self.pods.insert(key, pod);
    }

    fn event(&mut self, container: &Container, status: &str, out: &mut Out) {
        let body = map([
            ("id", Value::from(container.id.as_str())),
            ("status", Value::from(status)),
            ("from", Value::from(container.image.as_str())),
            ("time", Value::from(jiff::Timestamp::now().as_second())),
        ]);
        self.ask(out, "/containers/event", vec![body], Purpose::Forget);
        if let Some(service) = container.label("io.kontena.service.id") {
            let event = map([
                ("service_id", Value::from(service)),
                ("instance_number", Value::from(1)),
                ("severity", Value::from(1)),
                ("type", Value::from("service:start_instance")),
                ("data", Value::from(format!("{status} {}", container.name))),
            ]);
            out.push(Message::notification("/node_service_pods/event", vec![self.node(), event]));
        }
    }

    fn answer(&mut self, method: &str, params: &[Value], out: &mut Out) -> Result<Value, Fault> {
        let text = |at: usize| params.get(at).and_then(loose::text).map(std::borrow::Cow::into_owned);
        match method {
            "/service_pods/notify_update" => {
                if params.len() != 1 {
                    self.record.fault(format!("notify_update with {} parameters", params.len()));
                }
                let node = self.node();
                self.ask(out, "/node_service_pods/list", vec![node], Purpose::Pods);
                Ok(map([]))
            }
            "/volumes/notify_update" | "/service_pods/restart" | "/load_balancers/remove_service" => {
                Ok(map([]))
            }
            "/etcd/health" => Ok(map([("health", Value::from(true))])),
            "/etcd/get" | "/etcd/set" | "/etcd/delete" => {
                self.etcd.answer(method, params).ok_or_else(|| Fault::new(500, "ArgumentError"))
            }
            "/containers/top" => {
                let id = text(0).unwrap_or_default();
                let found = self.all_containers().any(|container| container.id == id);
                let process = map([("PID", Value::from("4242")), ("CMD", Value::from("sleep infinity"))]);
                if found { Ok(Value::Array(vec![process])) } else { Err(Fault::new(404, "Not found")) }
            }
            "/containers/inspect" => {
                let id = text(0).unwrap_or_default();
                let found = self.all_containers().find(|container| container.id == id);
                found.map(Container::inspect).ok_or_else(|| Fault::new(404, "Not found"))
            }
            "/containers/create_exec" => {
                let id = format!("{:016x}-exec", rand::random::<u64>());
                self.execs.push(id.clone());
                Ok(map([("id", Value::from(id))]))
            }
            "/containers/run_exec" => {
                self.run_exec(&text(0).unwrap_or_default(), params.get(1), out);
                Ok(map([]))
            }
            "/containers/tty_input" => {
                let exec = text(0).unwrap_or_default();
                match text(1) {
                    Some(input) => out.push(output(&exec, "stdout", input.as_bytes())),
                    None => {
                        out.push(Message::notification("/container_exec/exit", vec![exec.into(), 0.into()]));
                    }
                }
                Ok(map([]))
            }
            "/containers/tty_resize" => Ok(map([])),
            "/containers/terminate_exec" => {
                let exec = text(0).unwrap_or_default();
                self.execs.retain(|found| *found != exec);
                Ok(map([]))
            }
            _ => Err(Fault::not_implemented()),
        }
    }

    /// `cat` gives its input back; `flood N` writes so many pieces; `invalid` writes what is not UTF-8; everything
    /// else is written back and ends.
    fn run_exec(&mut self, exec: &str, command: Option<&Value>, out: &mut Out) {
        let words: Vec<String> =
            elements(command).iter().filter_map(loose::text).map(std::borrow::Cow::into_owned).collect();
        let exit = |code: i64| Message::notification("/container_exec/exit", vec![exec.into(), code.into()]);
        if !self.execs.iter().any(|found| found == exec) {
            let text = format!("Kontena::RpcError: Exec session ({exec}) not found");
            return out.push(Message::notification("/container_exec/error", vec![exec.into(), text.into()]));
        }
        match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["cat"] => {}
            ["flood", count] => {
                for piece in 0..count.parse::<u64>().unwrap_or(0) {
                    out.push(output(exec, "stdout", format!("{piece}\n").as_bytes()));
                }
                out.push(exit(0));
            }
            ["invalid"] => {
                out.push(output(exec, "stderr", &[0xff, 0xfe, b'x']));
                out.push(exit(3));
            }
            words => {
                out.push(output(exec, "stdout", words.join(" ").as_bytes()));
                out.push(exit(0));
            }
        }
    }

    /// Requests that a master owes an answer to for longer than it may. What was asked over an earlier connection
    /// may have been lost with it.
    pub(super) fn check_overdue(&mut self) {
        let (connection, record) = (self.connection, &self.record);
        self.asked.retain(|_, asked| {
            let overdue = asked.at.elapsed() >= OVERDUE_AFTER;
            if overdue && asked.connection == connection {
                record.fault(format!("{} was not answered within {OVERDUE_AFTER:?}", asked.method));
            }
            !overdue
        });
    }
}

fn output(exec: &str, stream: &str, chunk: &[u8]) -> Message {
    // Real agents send chunks as text even where they are not.
    let chunk = match String::from_utf8(chunk.to_vec()) {
        Ok(text) => Value::from(text),
        Err(_) => Value::Binary(chunk.to_vec()),
    };
    Message::notification("/container_exec/output", vec![exec.into(), stream.into(), chunk])
}

fn pod_container((service, number): &(String, i64), listed: &Value) -> Container {
    let text = |key: &str| text_at(listed, key).unwrap_or_default();
    let name = format!("{}-{number}", text("service_name"));
    let mut labels: Vec<(String, String)> = loose::entries(get(listed, "labels"))
        .map(|(key, value)| (key.into_owned(), loose::text(value).unwrap_or_default().into_owned()))
        .collect();
    let own = [
        ("io.kontena.container.type", "container".to_owned()),
        ("io.kontena.container.name", name.clone()),
        ("io.kontena.container.pod", name.clone()),
        ("io.kontena.container.deploy_rev", text("deploy_rev")),
        (
            "io.kontena.container.service_revision",
            integer_at(listed, "service_revision").unwrap_or(0).to_string(),
        ),
        ("io.kontena.service.instance_number", number.to_string()),
        ("io.kontena.service.id", service.clone()),
    ];
    for (key, value) in own {
        labels.retain(|(found, _)| found != key);
        labels.push((key.to_owned(), value));
    }
    Container::new(name, &text("image_name"), labels)
}
