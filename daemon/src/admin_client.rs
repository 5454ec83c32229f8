//! Asking a master: over its admin socket where there is one, else over TCP with the token.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use kontena_wire::cluster::{LeaderAnswer, Refusal};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;

use crate::cli::Connection;
use crate::config::{self, Config};

const TIMEOUT: Duration = Duration::from_secs(10);

/// A master that can be asked.
pub(crate) struct AdminClient {
    http: reqwest::Client,
    base: String,
    token: Option<SecretString>,
    runtime: tokio::runtime::Runtime,
}

/// What a master answered.
pub(crate) enum Reply {
    /// As asked.
    Done(Vec<u8>),
    /// Another master must be asked.
    Ask(String),
}

impl AdminClient {
    /// Finds the master to ask: the one at `--url`, else the one on this host.
    pub(crate) fn find(path: &Path, connection: &Connection) -> anyhow::Result<Self> {
        let config = config::load(path)?;
        let Config { settings, admin_socket, admin_token, .. } = config;
        let builder = reqwest::Client::builder().timeout(TIMEOUT).no_proxy();
        let local = connection.url.is_none() && admin_socket.exists();
        let builder = if local { builder.unix_socket(admin_socket) } else { builder };
        let base = match &connection.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None if settings.listen.ip().is_unspecified() => {
                format!("http://127.0.0.1:{}", settings.listen.port())
            }
            None => format!("http://{}", settings.listen),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { http: builder.build()?, base, token: admin_token, runtime })
    }

    /// The master on this host, over its administration socket only.
    pub(crate) fn local(path: &Path) -> anyhow::Result<Self> {
        let socket = config::load(path)?.admin_socket;
        if !socket.exists() {
            bail!("there is no {}: this works on a host with a running kontena-master", socket.display());
        }
        Self::find(path, &Connection { url: None })
    }

    /// The same administrator, asking another master.
    pub(crate) fn redirect(self, base: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build()?;
        Ok(Self { http, base, ..self })
    }

    /// Which master this is.
    pub(crate) fn id(&self) -> anyhow::Result<String> {
        // Who does not lead says so with another status.
        let answer = self.runtime.block_on(async {
            let answer = self.http.get(format!("{}/leader", self.base)).send().await?;
            answer.bytes().await
        });
        let body = answer.with_context(|| format!("no master answers at {}", self.base))?;
        let answer: LeaderAnswer =
            serde_json::from_slice(&body).context("the master's answer is not understood")?;
        Ok(answer.id)
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask<B: Serialize>(
        &self,
        method: Method,
        path: &str,
        body: Option<&B>,
    ) -> anyhow::Result<Reply> {
        self.runtime.block_on(async {
            let mut request = self.http.request(method, format!("{}{path}", self.base));
            if let Some(token) = &self.token {
                request = request.bearer_auth(token.expose_secret());
            }
            if let Some(body) = body {
                request = request.json(body);
            }
            let answer = request.send().await.with_context(|| {
                format!(
                    "no master answers at {}: is kontena-master running? (systemctl status kontena-master)",
                    self.base
                )
            })?;
            let status = answer.status();
            let body = answer.bytes().await?;
            if status.is_success() {
                return Ok(Reply::Done(body.to_vec()));
            }
            match serde_json::from_slice::<Refusal>(&body) {
                Ok(Refusal { error: _, ask: Some(other) }) if status == StatusCode::CONFLICT => {
                    Ok(Reply::Ask(other))
                }
                Ok(Refusal { error, .. }) => bail!("{error}"),
                Err(_) => bail!("{} answered {status}", self.base),
            }
        })
    }
}
