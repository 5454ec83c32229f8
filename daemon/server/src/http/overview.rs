//! What runs in all grids, for administrators: read when asked for, never remembered. A list that is as the client
//! has it is not sent again.

mod events;
mod services;
mod stacks;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use kontena_store::{DeployGlance, Failure};
use kontena_wire::services::Deploy;
use serde::Serialize;
use tokio::sync::Semaphore;

use super::cluster::rfc3339;
use super::refusal;

pub(super) use events::list as grid_events;
pub(super) use services::{list as services, of_node, show as service};
pub(super) use stacks::{list as stacks, show as stack};

/// How long a request waits, its turn included.
const LIMIT: Duration = Duration::from_secs(5);
/// How many services and stacks are listed at most.
const LISTED: i64 = 20_000;
/// How many of these questions are put to the database at once: who only looks must not slow those who work.
static TURNS: Semaphore = Semaphore::const_new(3);

/// Waits for its turn and for the database.
async fn read<T>(question: impl Future<Output = Result<T, Failure>>) -> Result<T, Box<Response>> {
    let asked = async {
        // It is never closed.
        let _turn = TURNS.acquire().await.ok();
        question.await
    };
    let refused = |why: String| Err(Box::new(refusal(StatusCode::SERVICE_UNAVAILABLE, why)));
    match tokio::time::timeout(LIMIT, asked).await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(failure)) => refused(failure.to_string()),
        Err(_) => refused("the database does not answer in time, or too many ask for lists".to_owned()),
    }
}

/// The body, or 304 if the client has it.
fn unless_known(headers: &HeaderMap, body: &impl Serialize) -> Response {
    let bytes = match serde_json::to_vec(body) {
        Ok(bytes) => bytes,
        Err(error) => return refusal(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    };
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let known = headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(CONTENT_TYPE, "application/json")], bytes).into_response()
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

fn deploy(glance: DeployGlance) -> Deploy {
    let DeployGlance { id, state, created_at, started_at, finished_at, reason } = glance;
    Deploy {
        id: id.to_string(),
        state,
        created_at: rfc3339(created_at),
        started_at: started_at.map(rfc3339),
        finished_at: finished_at.map(rfc3339),
        reason,
    }
}
