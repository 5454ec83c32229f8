//! Those who ask the masters over HTTP, as command lines do: a connection for each call, to any master.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::rig::PATIENCE;

/// The code by which the administrator logs in.
pub(super) const CODE: &str = "the-code-of-the-lab";
/// For one request: longer than most faults, so that little stays unknown.
const WITHIN: Duration = Duration::from_secs(15);

/// The administrator's client.
pub(super) struct Clients {
    http: Client,
    masters: Vec<String>,
    token: String,
}

impl Clients {
    /// Logs in at the first of these masters.
    pub(super) async fn login(masters: Vec<String>) -> Result<Self> {
        let http = kontena_testkit::http::client().timeout(WITHIN).pool_max_idle_per_host(0).build()?;
        let first = masters.first().context("no masters")?;
        let body = json!({ "grant_type": "authorization_code", "code": CODE });
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = http.post(format!("{first}/oauth2/token")).header("Accept", "application/json");
            if let Ok(answer) = request.json(&body).send().await {
                let status = answer.status();
                if status == StatusCode::CREATED {
                    let answer: Value = answer.json().await?;
                    let token = answer["access_token"].as_str().context("no token")?.to_owned();
                    return Ok(Self { http, masters, token });
                }
                ensure!(Instant::now() < deadline, "no login: {status}");
            }
            ensure!(Instant::now() < deadline, "no login");
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// How many masters there are.
    pub(super) fn masters(&self) -> usize {
        self.masters.len()
    }

    /// Asks one of the masters.
    pub(super) async fn one(
        &self,
        master: usize,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<(StatusCode, Value)> {
        let master = self.masters.get(master).context("no such master")?;
        let mut request = self.http.request(method, format!("{master}{path}")).bearer_auth(&self.token);
        if !body.is_null() {
            request = request.json(body);
        }
        let answer = request.send().await?;
        let status = answer.status();
        let bytes = answer.bytes().await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    /// Asks any of them, as a load balancer chooses.
    pub(super) async fn any(&self, method: Method, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        self.one(rand::random_range(0..self.masters()), method, path, body).await
    }
}
