//! API calls through a load balancer, all the time, as command lines make them: a connection for each. Some only read,
//! some make something and remove it, which must never be sent to two masters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How many call, and how often.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Callers {
    /// Clients that read, and as many that write.
    pub(crate) each: usize,
    /// Between two calls of a client.
    pub(crate) every: Duration,
}

impl Default for Callers {
    fn default() -> Self {
        Self { each: 3, every: Duration::from_millis(5) }
    }
}

/// A call that was not answered as it should.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) begun: Instant,
    pub(crate) what: String,
}

#[derive(Debug, Default)]
struct Record {
    answered: AtomicU64,
    failures: Mutex<Vec<Failure>>,
}

/// The clients. Dropping it ends them.
pub(crate) struct Calls {
    record: Arc<Record>,
    clients: Vec<JoinHandle<()>>,
}

impl Drop for Calls {
    fn drop(&mut self) {
        for client in &self.clients {
            client.abort();
        }
    }
}

impl Calls {
    pub(crate) fn start(http: &Client, url: &str, token: &str, callers: Callers) -> Self {
        let record = Arc::new(Record::default());
        let clients = (0..callers.each * 2).map(|number| {
            let client = Caller {
                http: http.clone(),
                url: url.to_owned(),
                token: token.to_owned(),
                record: Arc::clone(&record),
            };
            tokio::spawn(async move {
                loop {
                    if number % 2 == 0 {
                        client.read().await;
                    } else {
                        client.write().await;
                    }
                    sleep(callers.every).await;
                }
            })
        });
        Self { clients: clients.collect(), record }
    }

    pub(crate) fn answered(&self) -> u64 {
        self.record.answered.load(Ordering::SeqCst)
    }

    /// How many were answered since the last question, and the failures since then.
    pub(crate) fn tally(&self) -> (u64, Vec<Failure>) {
        (self.record.answered.swap(0, Ordering::SeqCst), self.failures())
    }

    /// The failures since the last question.
    pub(crate) fn failures(&self) -> Vec<Failure> {
        std::mem::take(&mut *self.record.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Caller {
    http: Client,
    url: String,
    token: String,
    record: Arc<Record>,
}

impl Caller {
    async fn read(&self) {
        self.call(Method::GET, "/v1/grids", None, StatusCode::OK).await;
    }

    /// Not through the token routes, whose limit counts for all who share an address.
    async fn write(&self) {
        let name = format!("volume-{:016x}", rand::random::<u64>());
        let wish = json!({ "name": &name, "scope": "instance", "driver": "local" });
        let made = self.call(Method::POST, "/v1/volumes/grid-1", Some(&wish), StatusCode::CREATED).await;
        if made.is_some() {
            self.call(Method::DELETE, &format!("/v1/volumes/grid-1/{name}"), None, StatusCode::OK).await;
        }
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        wanted: StatusCode,
    ) -> Option<Value> {
        let begun = Instant::now();
        let what = match self.send(&method, path, body).await {
            Ok((status, answer)) if status == wanted => {
                self.record.answered.fetch_add(1, Ordering::SeqCst);
                return Some(answer);
            }
            Ok((status, answer)) => format!("{method} {path}: {status} {answer}"),
            Err(error) => format!("{method} {path}: {error:#}"),
        };
        let mut failures = self.record.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.push(Failure { begun, what });
        None
    }

    async fn send(&self, method: &Method, path: &str, body: Option<&Value>) -> Result<(StatusCode, Value)> {
        let request =
            self.http.request(method.clone(), format!("{}{path}", self.url)).bearer_auth(&self.token);
        let request = body.map_or(request.try_clone(), |body| Some(request.json(body)));
        let answer = request.context("a request without a body")?.send().await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }
}
