//! Those who only look: followers of the masters' event streams and of followed logs, and readers of lists.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use kontena_testkit::master::TOKEN;
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::administrators::Clients;

/// What is followed at each master, and whether as an administrator of the host.
const STREAMS: [(&str, bool); 3] = [
    ("/v1/cluster/events", true),
    ("/v1/grids/grid-1/event_logs?follow=1", false),
    ("/v1/grids/grid-2/container_logs?follow=1", false),
];
/// What is read at each master, one after the other.
const LISTS: [&str; 7] = [
    "/v1/grids",
    "/v1/grids/grid-1/nodes",
    "/v1/grids/grid-1/services",
    "/v1/grids/grid-2/stacks",
    "/v1/grids/grid-1/container_logs?limit=50",
    "/v1/grids/grid-2/metrics",
    "/v1/audit_logs?limit=50",
];
/// Between two lists.
const READ_EVERY: Duration = Duration::from_millis(500);
/// Before a stream that ended is opened again.
const REOPEN: Duration = Duration::from_millis(500);
/// A stream that says nothing for longer is dead: an empty sign of life comes more often.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// They look as long as it lives.
pub(super) struct Followers {
    streams: Vec<(String, Arc<AtomicU64>)>,
    reads: Arc<Reads>,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Reads {
    answered: AtomicU64,
    failed: AtomicU64,
    refused: AtomicU64,
}

impl Drop for Followers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Followers {
    pub(super) fn start(clients: &Arc<Clients>) -> Result<Self> {
        let http = kontena_testkit::http::client().read_timeout(SILENCE_MAX).build()?;
        let (reads, mut streams, mut tasks) = (Arc::new(Reads::default()), Vec::new(), Vec::new());
        for (number, master) in clients.urls().iter().enumerate() {
            for (path, local) in STREAMS {
                let heard = Arc::new(AtomicU64::new(0));
                streams.push((format!("{path} of master-{}", number + 1), Arc::clone(&heard)));
                let token = if local { TOKEN } else { clients.token() };
                tasks.push(tokio::spawn(follow(
                    http.clone(),
                    format!("{master}{path}"),
                    token.to_owned(),
                    heard,
                )));
            }
            tasks.push(tokio::spawn(read(Arc::clone(clients), number, Arc::clone(&reads))));
        }
        Ok(Self { streams, reads, tasks })
    }

    /// Streams on which nothing was ever heard.
    pub(super) fn silent(&self) -> Vec<&str> {
        let silent = self.streams.iter().filter(|(_, heard)| heard.load(Ordering::Relaxed) == 0);
        silent.map(|(name, _)| name.as_str()).collect()
    }

    /// Lists that were read, that could not be read, and that were refused.
    pub(super) fn reads(&self) -> (u64, u64, u64) {
        let Reads { answered, failed, refused } = &*self.reads;
        let count = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (count(answered), count(failed), count(refused))
    }
}

/// Follows a stream for ever; a master that dies or stops ends it.
async fn follow(http: Client, url: String, token: String, heard: Arc<AtomicU64>) {
    loop {
        // Why it ended does not matter: it is opened again.
        let _ended = listen(&http, &url, &token, &heard).await;
        sleep(REOPEN).await;
    }
}

async fn listen(http: &Client, url: &str, token: &str, heard: &AtomicU64) -> Result<()> {
    let mut answer = http.get(url).bearer_auth(token).send().await?.error_for_status()?;
    loop {
        let chunk = answer.chunk().await?.context("the stream ended")?;
        // A sign of life is a space, or a comment.
        let says = chunk.trim_ascii();
        heard.fetch_add(u64::from(!says.is_empty() && !says.starts_with(b":")), Ordering::Relaxed);
    }
}

async fn read(clients: Arc<Clients>, master: usize, reads: Arc<Reads>) {
    for path in LISTS.into_iter().cycle() {
        let count = match clients.one(master, Method::GET, path, &Value::Null).await {
            Ok((StatusCode::OK, _)) => &reads.answered,
            Ok((status, answer)) if !status.is_server_error() => {
                eprintln!("{path}: {status} {answer}");
                &reads.refused
            }
            Ok(_) | Err(_) => &reads.failed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        sleep(READ_EVERY).await;
    }
}
