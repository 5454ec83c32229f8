//! The administrator's login, as the original's command line does it with the first code.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::rig::PATIENCE;

/// The code: the masters get it as `INITIAL_ADMIN_CODE`.
pub(crate) const CODE: &str = "the-code-of-the-lab";

/// Logs in at a master; the administrator is there a moment after the first leader. Returns the token.
pub(crate) async fn login(http: &Client, master: &str) -> Result<String> {
    let body = json!({ "grant_type": "authorization_code", "code": CODE });
    let deadline = Instant::now() + PATIENCE;
    loop {
        let request = http.post(format!("{master}/oauth2/token")).header("Accept", "application/json");
        let answer = request.json(&body).send().await?;
        let status = answer.status();
        if status == StatusCode::CREATED {
            let answer: Value = answer.json().await?;
            return Ok(answer["access_token"].as_str().context("no token")?.to_owned());
        }
        ensure!(Instant::now() < deadline, "no login: {status}");
        sleep(Duration::from_millis(50)).await;
    }
}
