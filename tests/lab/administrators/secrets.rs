//! Clients that write secrets through all masters all the time, and remember what was acknowledged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::GRIDS;
use super::clients::Clients;

/// How much a client writes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between two writes.
    pub(crate) pause: Duration,
    /// How many of the secrets that it made it keeps, if not all.
    pub(crate) kept: Option<usize>,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: Duration::from_millis(150), kept: None }
    }
}

/// The clients.
pub(crate) struct Secrets {
    clients: Arc<Clients>,
    writing: JoinSet<Memory>,
    stop: CancellationToken,
}

/// What one client knows of what it wrote.
#[derive(Default)]
struct Memory {
    /// Secrets of which the making was acknowledged, by turn, but for those that were removed since.
    made: BTreeMap<u64, String>,
    /// The secret that is changed again and again.
    register: String,
    /// The value of it that was acknowledged last.
    last: Option<u64>,
    /// Values of it of which nothing was heard: each may have taken effect at any time since.
    unknown: BTreeSet<u64>,
    refused: Vec<String>,
    /// Reads through another master that did not show what was acknowledged before.
    stale: u64,
    writes: u64,
    failures: u64,
}

impl Memory {
    /// Whether the changed secret may have this value.
    fn explains(&self, secret: &Value) -> bool {
        let value = secret["value"].as_str().and_then(|value| value.parse::<u64>().ok());
        value.is_some_and(|value| Some(value) == self.last || self.unknown.contains(&value))
    }

    /// Asks another master at once for what one acknowledged. It may be in trouble; if it answers, it knows.
    async fn read_back(&mut self, clients: &Clients, master: usize, path: &str, changed: bool) {
        let Ok((status, secret)) = clients.one(master, Method::GET, path, &Value::Null).await else { return };
        let stale = match status {
            StatusCode::OK => changed && !self.explains(&secret),
            status => !status.is_server_error(),
        };
        if stale {
            eprintln!("stale: {path}: {status} {secret}, and {:?} was acknowledged last", self.last);
            self.stale += 1;
        }
    }
}

/// What was found of the load.
pub(crate) struct Found {
    pub(crate) acknowledged: u64,
    pub(crate) failed: u64,
    /// Acknowledged writes that are not there.
    pub(crate) lost: u64,
    /// Reads through another master that did not show what was acknowledged before.
    pub(crate) stale: u64,
    /// Answers that no write may get.
    pub(crate) refused: u64,
}

impl Secrets {
    /// So many clients at each master.
    pub(crate) fn start(clients: &Arc<Clients>, each: usize, pace: Pace) -> Self {
        let (stop, mut writing) = (CancellationToken::new(), JoinSet::new());
        for number in 0..each * clients.masters() {
            writing.spawn(write(Arc::clone(clients), number, pace, stop.clone()));
        }
        Self { clients: Arc::clone(clients), writing, stop }
    }

    /// Ends the writing and looks for all that was acknowledged. To be called when it is calm.
    pub(crate) async fn conclude(mut self) -> Result<Found> {
        self.stop.cancel();
        let mut memories = Vec::new();
        while let Some(memory) = self.writing.join_next().await {
            memories.push(memory?);
        }
        let mut there = BTreeMap::new();
        for grid in 1..=GRIDS {
            let path = format!("/v1/grids/grid-{grid}/secrets");
            let (status, list) = self.clients.any(Method::GET, &path, &Value::Null).await?;
            ensure!(status == StatusCode::OK, "{path}: {status}");
            let secrets = list["secrets"].as_array().context("no secrets")?;
            there.extend(
                secrets.iter().filter_map(|secret| Some((secret["name"].as_str()?.to_owned(), grid))),
            );
        }
        let mut found = Found { acknowledged: 0, failed: 0, lost: 0, stale: 0, refused: 0 };
        for memory in memories {
            found.acknowledged += memory.writes;
            found.failed += memory.failures;
            found.stale += memory.stale;
            found.refused += u64::try_from(memory.refused.len())?;
            for refusal in memory.refused.iter().take(3) {
                eprintln!("a write was refused: {refusal}");
            }
            for lost in memory.made.values().filter(|name| !there.contains_key(*name)) {
                eprintln!("lost: the secret {lost}, whose making was acknowledged");
                found.lost += 1;
            }
            found.lost += u64::from(!self.is_kept(&memory, &there).await?);
        }
        Ok(found)
    }

    /// Whether the changed secret has the value that was acknowledged last, or one of which nothing is known.
    async fn is_kept(&self, memory: &Memory, there: &BTreeMap<String, usize>) -> Result<bool> {
        let Some(last) = memory.last else { return Ok(true) };
        let Some(grid) = there.get(&memory.register) else {
            eprintln!("lost: the secret {}", memory.register);
            return Ok(false);
        };
        let path = format!("/v1/secrets/grid-{grid}/{}", memory.register);
        let (status, secret) = self.clients.any(Method::GET, &path, &Value::Null).await?;
        ensure!(status == StatusCode::OK, "{path}: {status}");
        let kept = memory.explains(&secret);
        if !kept {
            let value = &secret["value"];
            eprintln!("lost: {} is {value}, and {last} was acknowledged last", memory.register);
        }
        Ok(kept)
    }
}

/// Makes a secret and changes another, in turn, through one master.
async fn write(clients: Arc<Clients>, number: usize, pace: Pace, stop: CancellationToken) -> Memory {
    let grid = number % GRIDS + 1;
    let master = number % clients.masters();
    // Earlier clients of this number made others.
    let own = rand::random::<u32>();
    let mut memory = Memory { register: format!("REGISTER_{number}_{own}"), ..Memory::default() };
    let mut turn = 0_u64;
    while !stop.is_cancelled() {
        turn += 1;
        let changes = turn.is_multiple_of(2);
        let name = if changes { memory.register.clone() } else { format!("MADE_{number}_{own}_{turn}") };
        let asked = if changes {
            // What is known of it must not depend on when an unknown one takes effect.
            memory.unknown.insert(turn);
            let body = json!({ "name": name, "value": turn.to_string(), "upsert": true });
            clients.one(master, Method::PUT, &format!("/v1/secrets/grid-{grid}/{name}"), &body).await
        } else {
            let body = json!({ "name": name, "value": "kept" });
            clients.one(master, Method::POST, &format!("/v1/grids/grid-{grid}/secrets"), &body).await
        };
        match asked {
            Ok((status, _)) if status.is_success() => {
                memory.writes += 1;
                if changes {
                    memory.unknown.remove(&turn);
                    memory.last = Some(turn);
                } else {
                    memory.made.insert(turn, name.clone());
                }
                let other = (master + 1) % clients.masters();
                memory.read_back(&clients, other, &format!("/v1/secrets/grid-{grid}/{name}"), changes).await;
            }
            Ok((status, answer)) if !status.is_server_error() => {
                memory.refused.push(format!("{name}: {status} {answer}"));
            }
            Ok(_) | Err(_) => memory.failures += 1,
        }
        if pace.kept.is_some_and(|kept| memory.made.len() > kept)
            && let Some((_, oldest)) = memory.made.pop_first()
        {
            // Whether it is still there is nobody's promise from now on.
            let path = format!("/v1/secrets/grid-{grid}/{oldest}");
            let _removed = clients.one(master, Method::DELETE, &path, &Value::Null).await;
        }
        sleep(pace.pause).await;
    }
    memory
}
