//! Telling the cloud where the master is reached: once in a reign, and again when that changes. It is the same however
//! often it is told.

use std::convert::Infallible;

use kontena_core::cloud::MasterInfo;
use serde_json::Value;
use thiserror::Error;
use tokio::time::{sleep, timeout};

use super::{READ_LIMIT, Reign};
use crate::outward::{self, Unanswered};

/// Why the cloud does not know.
#[derive(Debug, Error)]
enum Untold {
    #[error("no token for the cloud: {0}")]
    NoToken(Unanswered),
    #[error("no token for the cloud: the answer of oauth2.token_endpoint holds none")]
    EmptyToken,
    #[error("the cloud's API: {0}")]
    Cloud(#[from] Unanswered),
}

/// Tells it whenever it is wanted and not told.
pub(super) async fn keep_told(reign: &Reign<'_>) -> Infallible {
    let mut told: Option<MasterInfo> = None;
    let mut said = String::new();
    loop {
        if let Ok(Ok(values)) = timeout(READ_LIMIT, reign.configuration()).await
            && let Some(info) = MasterInfo::from_configuration(&values)
            && told.as_ref() != Some(&info)
            && reign.may_speak()
        {
            match tell(&info).await {
                Ok(()) => {
                    tracing::info!("the cloud was told where this master is reached");
                    told = Some(info);
                    said.clear();
                }
                Err(why) if why.to_string() != said => {
                    tracing::warn!("the cloud was not told where this master is reached: {why}");
                    said = why.to_string();
                }
                Err(_) => {}
            }
        }
        sleep(reign.settings().look_every).await;
    }
}

async fn tell(info: &MasterInfo) -> Result<(), Untold> {
    let http = outward::client(info.ignore_invalid_ssl)?;
    let asked = outward::form(http.post(info.token_endpoint.clone()), info.token_form());
    let answer = outward::answer(asked).await.map_err(Untold::NoToken)?;
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let token = answer.get("access_token").and_then(Value::as_str).ok_or(Untold::EmptyToken)?;
    outward::answer(http.put(info.url.clone()).bearer_auth(token).json(&info.body())).await?;
    Ok(())
}
