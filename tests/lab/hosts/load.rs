//! API calls through a real `HAProxy`, all the time: an upgrade must not cost one of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::StatusCode;
use tempfile::NamedTempFile;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::sleep;

/// Where `HAProxy` listens.
const FRONT: &str = "127.0.0.1:9300";
/// As many clients call at the same time.
const CLIENTS: usize = 4;
const EVERY: Duration = Duration::from_millis(5);

/// The load, and what came of it.
pub(crate) struct Load {
    counts: Arc<Counts>,
    clients: Vec<JoinHandle<()>>,
    _proxy: Child,
    _configuration: NamedTempFile,
}

#[derive(Debug, Default)]
struct Counts {
    answered: AtomicU64,
    failed: AtomicU64,
}

impl Load {
    /// Starts `HAProxy` before these masters, and clients before it.
    pub(crate) async fn start(masters: &[String], token: &str) -> Result<Self> {
        let configuration = NamedTempFile::new()?;
        std::fs::write(configuration.path(), haproxy(masters))?;
        let proxy = Command::new("haproxy")
            .arg("-db")
            .arg("-f")
            .arg(configuration.path())
            .kill_on_drop(true)
            .spawn()
            .context("cannot run haproxy (apt-get install haproxy)")?;
        let http = kontena_testkit::http::client().timeout(Duration::from_secs(10)).build()?;
        let url = format!("http://{FRONT}/v1/cluster");
        while !http
            .get(&url)
            .bearer_auth(token)
            .send()
            .await
            .is_ok_and(|answer| answer.status() == StatusCode::OK)
        {
            sleep(Duration::from_millis(50)).await;
        }
        let counts = Arc::new(Counts::default());
        let clients = (0..CLIENTS)
            .map(|_| tokio::spawn(call(http.clone(), url.clone(), token.to_owned(), Arc::clone(&counts))))
            .collect();
        Ok(Self { counts, clients, _proxy: proxy, _configuration: configuration })
    }

    /// How many calls were answered, and how many failed.
    pub(crate) fn stop(self) -> (u64, u64) {
        for client in &self.clients {
            client.abort();
        }
        (self.counts.answered.load(Ordering::SeqCst), self.counts.failed.load(Ordering::SeqCst))
    }
}

async fn call(http: reqwest::Client, url: String, token: String, counts: Arc<Counts>) {
    loop {
        match http.get(&url).bearer_auth(&token).send().await {
            Ok(answer) if answer.status() == StatusCode::OK => {
                counts.answered.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => {
                eprintln!("a call was answered {}", answer.status());
                counts.failed.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => {
                eprintln!("a call failed: {error:#}");
                counts.failed.fetch_add(1, Ordering::SeqCst);
            }
        }
        sleep(EVERY).await;
    }
}

/// As the documentation has it: a master gets requests while it is ready.
fn haproxy(masters: &[String]) -> String {
    let servers: Vec<_> = masters
        .iter()
        .enumerate()
        .map(|(index, address)| format!("    server m{index} {address} check inter 500ms fall 1 rise 1"))
        .collect();
    format!(
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 30s\n    timeout server 30s\n    \
         retries 3\n    option redispatch\n    retry-on conn-failure empty-response\n\nfrontend api\n    bind {FRONT}\n    default_backend masters\n\n\
         backend masters\n    option httpchk GET /readyz\n{}\n",
        servers.join("\n")
    )
}
