//! The recorded calls, one after another.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use super::allowed::ALLOWED;
use super::unify::Bindings;
use crate::engines::Exec;
use crate::world::{Answer, Request, World};

#[derive(Deserialize)]
struct Recorded {
    /// Seconds since the story began.
    t: f64,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    request: Sent,
    response: Received,
    /// Of a WebSocket.
    frames: Option<Vec<Frame>>,
}

#[derive(Deserialize)]
struct Frame {
    direction: String,
    payload: Option<String>,
    close: Option<Value>,
}

#[derive(Deserialize)]
struct Sent {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
struct Received {
    status: u16,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
    /// Of an answer without an end.
    chunks: Option<Vec<Chunk>>,
}

#[derive(Deserialize)]
struct Chunk {
    body: String,
}

/// Which calls of a story are played, and how exactly their answers must be the recorded ones.
#[derive(Clone, Copy)]
pub(super) struct Part {
    from: f64,
    until: f64,
    form_only: fn(&Call) -> bool,
    left_out: fn(&Call) -> bool,
    /// Leaves of an answer what can be judged.
    judged: fn(&mut Value),
}

impl Part {
    /// Everything but services and stacks, which stories of their own tell of.
    pub(super) const PLAIN: Self = Self {
        from: 0.0,
        until: f64::INFINITY,
        form_only: |_| false,
        left_out: is_of_services_or_stacks,
        judged: |_| (),
    };
    /// Everything but stacks, exactly.
    pub(super) const EXACT: Self = Self { left_out: is_of_stacks, ..Self::PLAIN };
    /// Everything but stacks, on a database of a later moment: values differ, and only the form must be the same.
    pub(super) const FORM: Self = Self { form_only: |_| true, ..Self::EXACT };
    /// Services without a stack, on another host: what it says of itself differs.
    pub(super) const SERVICES: Self = Self {
        form_only: is_of_the_host,
        left_out: is_of_no_service,
        judged: without_the_rest,
        ..Self::PLAIN
    };

    /// Everything but what containers wrote and what happened to them.
    pub(super) const STACKS: Self = Self { left_out: is_of_no_stack, ..Self::PLAIN };

    /// What was asked from this second of the story on.
    pub(super) fn from(self, from: f64) -> Self {
        Self { from, ..self }
    }

    /// What was asked before this second of the story.
    pub(super) fn until(self, until: f64) -> Self {
        Self { until, ..self }
    }
}

/// What was played, and what came out.
pub(super) struct Story {
    bindings: Bindings,
    calls: usize,
    same: usize,
    excused: usize,
    used: Vec<usize>,
    differences: Vec<String>,
}

/// Sent by the client itself.
const OWN_HEADERS: [&str; 5] =
    ["host", "content-length", "connection", "accept-encoding", "transfer-encoding"];

impl Story {
    pub(super) fn new() -> Self {
        Self {
            bindings: Bindings::default(),
            calls: 0,
            same: 0,
            excused: 0,
            used: Vec::new(),
            differences: Vec::new(),
        }
    }

    pub(super) async fn play(&mut self, world: &World, name: &str, part: Part) -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/http/{name}.jsonl"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for line in text.lines() {
            let Recorded { t, calls } = serde_json::from_str(line)?;
            let played = (part.from..part.until).contains(&t);
            for call in calls.into_iter().filter(|call| played && !(part.left_out)(call)) {
                self.bindings.form_only((part.form_only)(&call));
                self.call(world, name, &call, part.judged).await?;
            }
        }
        Ok(())
    }

    async fn call(&mut self, world: &World, story: &str, call: &Call, judged: fn(&mut Value)) -> Result<()> {
        let Sent { method, path, headers, body } = &call.request;
        let headers = headers.iter().filter(|(name, _)| !OWN_HEADERS.contains(&name.to_lowercase().as_str()));
        let request = Request {
            method: method.parse::<Method>()?,
            path: self.bindings.apply(&at_its_time(path, &call.response)),
            token: None,
            headers: headers.map(|(name, value)| (name.clone(), self.bindings.apply(value))).collect(),
            body: self.bindings.apply(body),
        };
        let differences = match (&call.frames, &call.response.chunks) {
            (Some(frames), _) => converse(world, request, frames).await?,
            (None, Some(chunks)) => self.listen(world, request, chunks).await?,
            (None, None) => {
                let now = finished(world, request, &call.response).await?;
                self.compare(&call.response, &now, judged)
            }
        };
        self.calls += 1;
        if differences.is_empty() {
            self.same += 1;
            return Ok(());
        }
        let told = format!("{method} {path} {}", body.get(..body.len().min(200)).unwrap_or_default());
        let open: Vec<&String> =
            differences.iter().filter(|difference| !self.used.excuse(story, &told, difference)).collect();
        if open.is_empty() {
            self.excused += 1;
            return Ok(());
        }
        for difference in open {
            let difference: String = difference.chars().take(400).collect();
            self.differences.push(format!("{story}: {told}\n    {difference}"));
        }
        Ok(())
    }

    /// Compares the first entry of a log that is followed.
    async fn listen(&mut self, world: &World, request: Request, chunks: &[Chunk]) -> Result<Vec<String>> {
        let first = world.first_chunk(request).await?;
        let mut differences = Vec::new();
        let recorded = chunks.first().map_or(" ", |chunk| chunk.body.as_str());
        match (serde_json::from_str::<Value>(recorded), serde_json::from_str::<Value>(&first)) {
            (Ok(expected), Ok(found)) => self.bindings.unify(
                ".logs",
                &Value::Array(vec![expected]),
                &Value::Array(vec![found]),
                &mut differences,
            ),
            _ if recorded == first => {}
            _ => differences.push(format!("chunk {recorded:?} became {first:?}")),
        }
        Ok(differences)
    }

    fn compare(&mut self, recorded: &Received, now: &Answer, judged: fn(&mut Value)) -> Vec<String> {
        let mut differences = Vec::new();
        if recorded.status != now.status.as_u16() {
            differences.push(format!(
                "status {} became {}: {}",
                recorded.status,
                now.status.as_u16(),
                now.text
            ));
            return differences;
        }
        let header = |name: &str| {
            let found = recorded.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        for name in [CONTENT_TYPE.as_str(), "www-authenticate"] {
            if header(name) != now.header(name) {
                differences.push(format!("{name}: {:?} became {:?}", header(name), now.header(name)));
            }
        }
        match (serde_json::from_str::<Value>(&recorded.body), serde_json::from_str::<Value>(&now.text)) {
            (Ok(mut expected), Ok(mut found)) => {
                judged(&mut expected);
                judged(&mut found);
                self.bindings.unify("", &expected, &found, &mut differences);
            }
            _ if recorded.body == now.text => {}
            _ => differences.push(format!("text {:?} became {:?}", recorded.body, now.text)),
        }
        // Same values must be the same bytes too, but for what is made anew.
        if differences.is_empty() && recorded.body.contains("\\u003") && !now.text.contains("\\u003") {
            differences.push("not escaped as the original does".to_owned());
        }
        differences
    }

    /// What a recorded text stands for.
    pub(super) fn stands_for(&self, recorded: &str) -> String {
        self.bindings.apply(recorded)
    }

    pub(super) fn conclude(self, names: &[&str]) -> Result<()> {
        let Self { calls, same, excused, differences, used, bindings: _ } = self;
        println!(
            "{calls} recorded calls: {same} the same, {excused} different on purpose, {} differences",
            differences.len()
        );
        let unused: Vec<_> = ALLOWED
            .iter()
            .enumerate()
            .filter(|(index, entry)| {
                names.contains(&entry.story) && !entry.sometimes && !used.contains(index)
            })
            .map(|(_, entry)| (entry.story, entry.call))
            .collect();
        ensure!(differences.is_empty(), "{}", differences.join("\n"));
        ensure!(unused.is_empty(), "allowed, but not seen: {unused:?}");
        Ok(())
    }
}

trait Excuse {
    fn excuse(&mut self, story: &str, call: &str, difference: &str) -> bool;
}

impl Excuse for Vec<usize> {
    fn excuse(&mut self, story: &str, call: &str, difference: &str) -> bool {
        let entry = ALLOWED.iter().position(|entry| {
            entry.story == story && call.starts_with(entry.call) && difference.contains(entry.difference)
        });
        self.extend(entry);
        entry.is_some_and(|entry| ALLOWED.get(entry).is_some_and(|entry| !entry.reason.is_empty()))
    }
}

/// Says what the client said, and compares what came of its command.
async fn converse(world: &World, request: Request, frames: &[Frame]) -> Result<Vec<String>> {
    let bearer = request.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    let token = bearer.and_then(|(_, value)| value.strip_prefix("Bearer ")).context("no token")?;
    let mut exec = Exec::open(world, 0, &request.path, token).await?;
    let said = |direction: &'static str| {
        let texts = frames.iter().filter(move |frame| frame.direction == direction);
        texts.filter_map(|frame| frame.payload.as_deref()).map(serde_json::from_str::<Value>)
    };
    for frame in said("client_to_master") {
        exec.say(&frame?).await?;
    }
    let (stdout, stderr, end, code) = exec.rest().await?;
    let (mut expected, mut expected_end) = ([String::new(), String::new()], Value::Null);
    for frame in said("master_to_client") {
        let frame = frame?;
        match frame["stream"].as_str() {
            Some(stream) => expected[usize::from(stream == "stderr")]
                .push_str(frame["chunk"].as_str().unwrap_or_default()),
            None => expected_end = frame,
        }
    }
    let close = frames.iter().find(|frame| frame.direction == "master_to_client" && frame.close.is_some());
    let expected_code = close.and_then(|frame| frame.close.as_ref()?["code"].as_u64()).unwrap_or(0);
    let mut differences = Vec::new();
    for (what, expected, found) in [("stdout", &expected[0], &stdout), ("stderr", &expected[1], &stderr)] {
        if expected != found {
            differences.push(format!("{what} {expected:?} became {found:?}"));
        }
    }
    if (&expected_end, expected_code) != (&end, u64::from(code)) {
        differences.push(format!("end {expected_end} {expected_code} became {end} {code}"));
    }
    Ok(differences)
}

fn is_of_services_or_stacks(call: &Call) -> bool {
    ["/v1/services", "/services"].iter().any(|part| call.request.path.contains(part)) || is_of_stacks(call)
}

fn is_of_stacks(call: &Call) -> bool {
    ["/v1/stacks", "/stacks"].iter().any(|part| call.request.path.contains(part))
}

/// Metrics are of the last hour, unless they are asked for by time.
fn at_its_time(path: &str, recorded: &Received) -> String {
    let body: Value = serde_json::from_str(&recorded.body).unwrap_or(Value::Null);
    match (path.ends_with("/metrics"), &body["from"], &body["to"]) {
        (true, Value::String(from), Value::String(to)) => format!("{path}?from={from}&to={to}"),
        _ => path.to_owned(),
    }
}

/// Asks; for a deploy that was finished when it was recorded, until this one is.
async fn finished(world: &World, request: Request, recorded: &Received) -> Result<Answer> {
    const PATIENCE: Duration = Duration::from_secs(30);
    let deadline = Instant::now() + PATIENCE;
    let is_awaited = request.path.contains("/deploys/") && !recorded.body.contains(UNFINISHED);
    loop {
        let answer = world.ask(request.clone()).await?;
        let body = answer.json();
        let over = matches!(body["state"].as_str(), Some("success" | "error"));
        let open = body["finished_at"].is_null() && !(over && body["service_deploys"].is_array());
        // A stack goes little by little.
        let goes = recorded.status == 404 && request.path.contains("/v1/stacks/");
        // The leader may deploy a changed service once more, sooner than the original did.
        let reported = request.path.ends_with("/instances") && !recorded.body.contains(UNREPORTED);
        let unreported = reported && answer.text.contains(UNREPORTED);
        let waits = answer.status.is_success() && (is_awaited && open || goes || unreported);
        if !waits || Instant::now() > deadline {
            return Ok(answer);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const UNFINISHED: &str = "\"finished_at\":null";
const UNREPORTED: &str = "\"rev\":null";

/// What is told of stacks is judged elsewhere, and what a deploy shows while it is under way is a matter of luck.
fn is_of_no_service(call: &Call) -> bool {
    let Sent { method, path, .. } = &call.request;
    let unfinished = path.contains("/deploys/") && call.response.body.contains(UNFINISHED);
    // Nodes are judged by the stories before.
    path.contains("/shop/") || path.ends_with("/nodes") || (method == "GET" && unfinished)
}

/// What a stack shows while it is deployed or removed is a matter of luck.
fn is_of_no_stack(call: &Call) -> bool {
    let Sent { method, path, .. } = &call.request;
    let body = &call.response.body;
    let state = serde_json::from_str::<Value>(body).unwrap_or_default()["state"].clone();
    // Those of its services are told with the deploy of a stack.
    let deploying = path.contains("/deploys/")
        && (path.contains("/v1/services/") || body.contains(UNFINISHED))
        || state == "ongoing";
    let removing = path.contains("/v1/stacks/") && (state == "stopped" || state == "partially_running");
    path.contains("container_logs")
        || path.contains("event_logs")
        || (method == "GET" && (deploying || removing))
}

/// Without the stack, and without what agents told; of what masters told each message once.
fn without_the_rest(answer: &mut Value) {
    if let Some(Value::Array(services)) = answer.get_mut("services") {
        services.retain(|service| service["id"].as_str().is_none_or(|id| !id.contains("/shop/")));
    }
    if let Some(Value::Array(events)) = answer.get_mut("logs") {
        events.retain(|event| event["type"] == "service:deploy");
        let message = |event: &Value| event["message"].as_str().map(str::to_owned);
        events.sort_by_key(message);
        events.dedup_by_key(|event| message(event));
    }
}

/// What engines say of their containers.
fn is_of_the_host(call: &Call) -> bool {
    call.request.path.ends_with("/containers")
}
