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

/// Clients that read, and as many that write.
const EACH: usize = 3;
const EVERY: Duration = Duration::from_millis(5);

/// A call that was not answered as it should.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) begun: Instant,
    pub(super) what: String,
}

#[derive(Debug, Default)]
struct Record {
    answered: AtomicU64,
    failures: Mutex<Vec<Failure>>,
}

/// The clients. Dropping it ends them.
pub(super) struct Calls {
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
    pub(super) fn start(http: &Client, url: &str, token: &str) -> Self {
        let record = Arc::new(Record::default());
        let clients = (0..EACH * 2).map(|number| {
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
                    sleep(EVERY).await;
                }
            })
        });
        Self { clients: clients.collect(), record }
    }

    pub(super) fn answered(&self) -> u64 {
        self.record.answered.load(Ordering::SeqCst)
    }

    /// The failures since the last question.
    pub(super) fn failures(&self) -> Vec<Failure> {
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

    async fn write(&self) {
        let wish = json!({ "response_type": "token", "scope": "user" });
        let made = self.call(Method::POST, "/oauth2/authorize", Some(&wish), StatusCode::CREATED).await;
        let id = made.as_ref().and_then(|made| made["id"].as_str());
        if let Some(id) = id {
            self.call(Method::DELETE, &format!("/oauth2/tokens/{id}"), None, StatusCode::CREATED).await;
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
