//! Containers: what was reported of them, and what their engines say when asked.

mod body;

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use kontena_core::exec::{Decoder, words};
use kontena_core::id::Id;
use kontena_store::{ContainerDetails, GridRow, LineFilter, NodeDetails};
use kontena_wire::agent::{Stream, outbound};
use kontena_wire::api;
use kontena_wire::rpc::{Fault, json};
use serde::Deserialize;
use serde_json::Value;

use super::answer::{empty, ok};
use super::caller::{Caller, Deed};
use super::container_logs;
use super::grids::InGrid;
use super::refused::{Refused, Reply};
use super::submitted::{At, Query, Submitted};
use crate::agents::{CallError, ExecEvent};
use crate::http::Api;
pub(super) use body::Surroundings;

/// For a command that is waited for.
const COMMAND_WITHIN: Duration = Duration::from_secs(300);
/// How much a command that is waited for may write, in bytes.
const OUTPUT_MAX: usize = 16 << 20;
/// The engine, or its agent, knows no such container.
const GONE: i64 = 404;

#[derive(Deserialize)]
pub(super) struct OnNode {
    grid: String,
    node: String,
    name: String,
}

/// A container with where it is.
pub(super) struct Found {
    pub(super) grid: GridRow,
    pub(super) node: NodeDetails,
    pub(super) container: ContainerDetails,
}

impl Found {
    /// What its engine calls it; whoever was never reported by one cannot be asked for.
    pub(super) fn engine_id(&self) -> Result<&str, Refused> {
        self.container.container_id.as_deref().ok_or_else(Refused::not_found)
    }

    pub(super) async fn note(&self, api: &Api, caller: &Caller, event: &'static str, body: &str) {
        let deed = Deed::new(event, "Container", self.container.id, &self.grid)
            .named(&self.container.name)
            .said(body);
        caller.did(api, deed).await;
    }
}

pub(super) async fn find(api: &Api, caller: &Caller, at: &OnNode) -> Result<Found, Refused> {
    let grid = api.resources.grid(caller, &at.grid).await?;
    let node = api.resources.store.host_nodes().named(grid.id, &at.node).await?;
    let node = node.ok_or_else(Refused::not_found)?;
    let container = api.resources.store.containers().named(node.id, &at.name).await?;
    Ok(Found { grid, node, container: container.ok_or_else(Refused::not_found)? })
}

pub(super) async fn list(State(api): State<Api>, caller: Caller, At(at): At<InGrid>, query: Query) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let store = &api.resources.store;
    let (containers, host_nodes) = (store.containers(), store.host_nodes());
    let (containers, nodes) = futures_util::try_join!(
        containers.of_grid(grid.id, query.text("all").is_some()),
        host_nodes.of_grid(grid.id),
    )?;
    let mut services: Vec<Id> = containers.iter().filter_map(|container| container.service).collect();
    services.sort_unstable();
    services.dedup();
    let services = store.service_references().service_paths(services).await?;
    let around = Surroundings::new(&grid, &nodes, services);
    Ok(ok(api::Containers { containers: containers.iter().map(|row| around.show(row)).collect() }))
}

pub(super) async fn show(State(api): State<Api>, caller: Caller, At(at): At<OnNode>) -> Reply {
    let Found { grid, node, container } = find(&api, &caller, &at).await?;
    let services = api.resources.store.service_references().service_paths(container.service).await?;
    Ok(ok(Surroundings::new(&grid, [&node], services).show(&container)))
}

pub(super) async fn top(State(api): State<Api>, caller: Caller, At(at): At<OnNode>) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let call = outbound::container_processes(found.engine_id()?);
    Ok(ok(json(&api.agents.request(found.node.id, call).await?)))
}

pub(super) async fn inspect(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<OnNode>,
    submitted: Submitted,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let call = outbound::inspect_container(found.engine_id()?);
    found.note(&api, &caller, "inspect", &submitted.raw).await;
    match api.agents.request(found.node.id, call).await {
        Ok(description) => Ok(ok(json(&description))),
        Err(CallError::Fault(Fault { code: GONE, .. })) => Ok(empty(StatusCode::NOT_FOUND)),
        Err(error) => Err(error.into()),
    }
}

pub(super) async fn logs(State(api): State<Api>, caller: Caller, At(at): At<OnNode>, query: Query) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let filter = LineFilter { container: Some(found.container.id), ..LineFilter::default() };
    container_logs::answer(&api, filter, &query).await
}

/// Runs a command to its end. Unlike the original's way, this does not keep the agent from everything else.
pub(super) async fn run(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<OnNode>,
    submitted: Submitted,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let command = submitted.fields.get("cmd").unwrap_or(&Value::Null);
    let command = words(command).ok_or_else(|| match command {
        Value::Null => Refused::field("cmd", "Cmd is required"),
        _ => Refused::field("cmd", "Cmd isn't an array"),
    })?;
    found.note(&api, &caller, "exec", &submitted.raw).await;
    let outcome = tokio::time::timeout(COMMAND_WITHIN, outcome_of(&api, &found, &command)).await;
    match outcome.unwrap_or(Err(Refused::Agent(CallError::Late(COMMAND_WITHIN)))) {
        Err(Refused::Agent(CallError::Fault(Fault { code: GONE, .. }))) => Ok(empty(StatusCode::NOT_FOUND)),
        Err(refused) => Err(refused),
        Ok((stdout, stderr, code)) => Ok(ok((stdout, stderr, code))),
    }
}

type Outcome = (Vec<String>, Vec<String>, i64);

async fn outcome_of(api: &Api, found: &Found, command: &[String]) -> Result<Outcome, Refused> {
    let mut exec = api.agents.exec(found.node.id, found.engine_id()?).await?;
    exec.run(command, false, false).await?;
    let (mut stdout, mut stderr) = (Gathered::default(), Gathered::default());
    let mut left = OUTPUT_MAX;
    loop {
        match exec.next().await {
            ExecEvent::Output(stream, piece) => {
                left = left.checked_sub(piece.len()).ok_or_else(|| failed("the command wrote too much"))?;
                match stream {
                    Stream::Stdout => stdout.take(&piece),
                    Stream::Stderr => stderr.take(&piece),
                }
            }
            ExecEvent::Exit(code) => return Ok((stdout.finish(), stderr.finish(), code)),
            ExecEvent::Error(error) => return Err(failed(&error)),
        }
    }
}

fn failed(why: &str) -> Refused {
    Refused::Agent(CallError::Fault(Fault::new(500, why)))
}

/// The pieces of one stream.
#[derive(Default)]
struct Gathered {
    pieces: Vec<String>,
    decoder: Decoder,
}

impl Gathered {
    fn take(&mut self, piece: &[u8]) {
        let text = self.decoder.take(piece);
        if !text.is_empty() {
            self.pieces.push(text);
        }
    }

    fn finish(mut self) -> Vec<String> {
        let rest = self.decoder.finish();
        if !rest.is_empty() {
            self.pieces.push(rest);
        }
        self.pieces
    }
}
