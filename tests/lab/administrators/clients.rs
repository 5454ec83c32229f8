//! Those who ask the masters over HTTP, as command lines do: a connection for each call, to any master.

use std::time::Duration;

use anyhow::{Context, Result};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

use crate::login::login;

/// For one request: longer than most faults, so that little stays unknown.
const WITHIN: Duration = Duration::from_secs(15);

/// The administrator's client.
pub(crate) struct Clients {
    http: Client,
    masters: Vec<String>,
    token: String,
}

impl Clients {
    /// Logs in at the first of these masters.
    pub(crate) async fn login(masters: Vec<String>) -> Result<Self> {
        let http = kontena_testkit::http::client().timeout(WITHIN).pool_max_idle_per_host(0).build()?;
        let token = login(&http, masters.first().context("no masters")?).await?;
        Ok(Self { http, masters, token })
    }

    /// With a client and a token that are there already.
    pub(crate) fn new(http: Client, masters: Vec<String>, token: String) -> Self {
        Self { http, masters, token }
    }

    /// Where the masters are.
    pub(crate) fn urls(&self) -> &[String] {
        &self.masters
    }

    /// Who they are to the masters.
    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// How many masters there are.
    pub(crate) fn masters(&self) -> usize {
        self.masters.len()
    }

    /// Asks one of the masters.
    pub(crate) async fn one(
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
    pub(crate) async fn any(&self, method: Method, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        self.one(rand::random_range(0..self.masters()), method, path, body).await
    }
}
