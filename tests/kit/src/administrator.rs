//! An administrator on the masters' hosts: uses the original's API over their administration sockets, whichever of
//! them answers.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use reqwest::{Client, Method, StatusCode};
use serde_json::Value;
use tokio::time::sleep;

use crate::http;
use crate::master::Master;

/// For one request.
const REQUEST: Duration = Duration::from_secs(10);
/// Until any master carries a request out: the first leader must have set up the database.
const PATIENCE: Duration = Duration::from_secs(30);

/// The administrator.
#[derive(Clone, Debug)]
pub struct Administrator {
    clients: Vec<Client>,
}

impl Administrator {
    /// Of these masters.
    pub fn of<'a>(masters: impl IntoIterator<Item = &'a Master>) -> Result<Self> {
        let sockets: Vec<PathBuf> = masters.into_iter().map(Master::admin_socket).collect();
        let client = |socket: PathBuf| http::client().unix_socket(socket).timeout(REQUEST).build();
        Ok(Self { clients: sockets.into_iter().map(client).collect::<Result<_, _>>()? })
    }

    /// Asks the first master that answers at all.
    pub async fn try_ask(&self, method: Method, path: &str, body: &Value) -> Result<(StatusCode, Value)> {
        for client in &self.clients {
            let mut request = client.request(method.clone(), format!("http://localhost{path}"));
            if !body.is_null() {
                request = request.json(body);
            }
            let Ok(answer) = request.send().await else { continue };
            let status = answer.status();
            let bytes = answer.bytes().await?;
            return Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)));
        }
        bail!("no master answers over its administration socket")
    }

    /// The same until it succeeds, as right after the start the administrator is not set up yet.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.try_ask(method.clone(), path, body).await;
            match answer {
                Ok((status, body)) if status.is_success() => return Ok(body),
                Ok((status, body)) if status == StatusCode::UNPROCESSABLE_ENTITY => {
                    bail!("{method} {path}: {status} {body}")
                }
                _ => {}
            }
            ensure!(Instant::now() < deadline, "{method} {path}: {answer:?}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Makes a service without a stack that has nothing but these fields beside its image.
    pub async fn make_service(&self, grid: &str, name: &str, fields: &Value) -> Result<()> {
        let mut body = serde_json::json!({ "name": name, "image": "busybox:latest", "stateful": false });
        let (body_fields, fields) = (body.as_object_mut(), fields.as_object());
        body_fields.context("an object")?.extend(fields.cloned().unwrap_or_default());
        self.ask(Method::POST, &format!("/v1/grids/{grid}/services"), &body).await.map(drop)
    }
}
