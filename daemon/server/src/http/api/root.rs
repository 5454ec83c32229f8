//! What needs no token: what this is, whether it works, and the page that shows a code.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::USER_AGENT;
use axum::http::{HeaderMap, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::answer::{Answer, HTML, ok, typed};
use super::token_layer;
use crate::http::Api;

/// How long the database may take to answer a ping.
const PING_WITHIN: Duration = Duration::from_secs(3);

/// Shows what comes after `code=` in the fragment, which never reaches a server.
const CODE_PAGE: &str = r#"<!DOCTYPE html>
<html>
  <head>
    <title>Authorization code</title>
    <meta name="referrer" content="no-referrer">
  </head>
  <body>
    <p>Authorization code:</p>
    <pre id="code" style="background: #000; color: #fff; padding: 10px; font-size: 24pt"></pre>
    <script>
      var code = new URLSearchParams(window.location.hash.slice(1)).get('code');
      document.getElementById('code').innerText = code || 'none was given';
    </script>
  </body>
</html>
"#;

pub(super) async fn index(State(api): State<Api>) -> Response {
    ok(json!({
        "name": "Kontena Master",
        "tagline": "The Container Platform",
        "version": api.settings.compat_version,
    }))
}

pub(super) async fn ping(State(api): State<Api>) -> Response {
    match api.resources.store.ping(PING_WITHIN).await {
        Ok(()) => ok(json!({ "message": "pong" })),
        Err(failure) => {
            tracing::warn!(%failure, "the database does not answer a ping");
            let body = json!({ "error": "Internal server error" });
            Answer(StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
        }
    }
}

pub(super) async fn no_passwords(headers: HeaderMap) -> Response {
    let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let text = if agent.starts_with("kontena-cli") {
        "Logging in with a password is not supported: upgrade kontena-cli and use kontena master login"
    } else {
        "Logging in with a password is not supported"
    };
    Answer(StatusCode::FORBIDDEN, text).into_response()
}

pub(super) async fn code() -> Response {
    typed(StatusCode::OK, HTML, CODE_PAGE)
}

/// Every path and method that nothing else handles.
pub(super) async fn nothing(uri: Uri) -> Response {
    token_layer::no_route(uri.path())
}
