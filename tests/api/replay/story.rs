//! The recorded calls, one after another.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::Value;

use super::allowed::ALLOWED;
use super::unify::Bindings;
use crate::world::{Answer, Request, World};

#[derive(Deserialize)]
struct Recorded {
    calls: Vec<Call>,
}

#[derive(Deserialize)]
struct Call {
    request: Sent,
    response: Received,
}

#[derive(Deserialize)]
struct Sent {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

#[derive(Deserialize)]
struct Received {
    status: u16,
    headers: Vec<(String, String)>,
    #[serde(default)]
    body: String,
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

    pub(super) async fn play(&mut self, world: &World, name: &str) -> Result<()> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/http/{name}.jsonl"));
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        for line in text.lines() {
            let recorded: Recorded = serde_json::from_str(line)?;
            for call in recorded.calls {
                if belongs_elsewhere(&call.request.path) {
                    continue;
                }
                self.call(world, name, &call).await?;
            }
        }
        Ok(())
    }

    async fn call(&mut self, world: &World, story: &str, call: &Call) -> Result<()> {
        let Sent { method, path, headers, body } = &call.request;
        let headers = headers.iter().filter(|(name, _)| !OWN_HEADERS.contains(&name.to_lowercase().as_str()));
        let request = Request {
            method: method.parse::<Method>()?,
            path: self.bindings.apply(path),
            token: None,
            headers: headers.map(|(name, value)| (name.clone(), self.bindings.apply(value))).collect(),
            body: self.bindings.apply(body),
        };
        let answer = world.ask(request).await?;
        let differences = self.compare(&call.response, &answer);
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

    fn compare(&mut self, recorded: &Received, now: &Answer) -> Vec<String> {
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
            (Ok(expected), Ok(found)) => self.bindings.unify("", &expected, &found, &mut differences),
            _ if recorded.body == now.text => {}
            _ => differences.push(format!("text {:?} became {:?}", recorded.body, now.text)),
        }
        // Same values must be the same bytes too, but for what is made anew.
        if differences.is_empty() && recorded.body.contains("\\u003") && !now.text.contains("\\u003") {
            differences.push("not escaped as the original does".to_owned());
        }
        differences
    }

    pub(super) fn conclude(self) -> Result<()> {
        let Self { calls, same, excused, differences, used, bindings: _ } = self;
        println!(
            "{calls} recorded calls: {same} the same, {excused} different on purpose, {} differences",
            differences.len()
        );
        let unused: Vec<_> = ALLOWED
            .iter()
            .enumerate()
            .filter(|(index, _)| !used.contains(index))
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

/// Services, stacks and containers are judged by tests of their own.
fn belongs_elsewhere(path: &str) -> bool {
    ["/v1/services", "/v1/stacks", "/services", "/stacks", "/v1/containers", "/container_logs"]
        .iter()
        .any(|part| path.contains(part))
}
