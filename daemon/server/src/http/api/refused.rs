//! Every way in which a request is refused, with the original's status and body.

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use kontena_core::form::Invalid;
use kontena_core::vault::Undecryptable;
use kontena_store::Failure;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::answer::{Answer, HTML, empty, typed};
use crate::agents::CallError;

/// What a handler answers.
pub(super) type Reply = Result<Response, Refused>;

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) enum Refused {
    /// 422: the fields' faults.
    Invalid(Invalid),
    /// The fields' faults, with another status.
    InvalidAs(StatusCode, Invalid),
    /// 400: no JSON object.
    Json,
    /// 413: the body is larger than any sensible one, or what it makes than the database takes.
    TooLarge,
    /// 408: the body did not come.
    Late,
    /// 404 with a text.
    Missing(String),
    /// 404 with an empty object.
    Nothing,
    /// 404 without a body.
    NoRoute,
    /// 403: the grid is not the caller's.
    Denied,
    /// 403 with a text.
    Forbidden(&'static str),
    /// In the format that the client accepts.
    OAuth(OAuth),
    /// 429.
    TooMany,
    /// 503: no vault key.
    NoVault,
    /// 503: too much waits already.
    Busy,
    /// The database failed.
    Database(Failure),
    /// 500: the call on an agent brought nothing.
    Agent(CallError),
    /// A stored value cannot be read.
    Vault(Undecryptable),
    /// A text as JSON, as the callback of the provider answers.
    Text(StatusCode, String),
}

/// An error of the `OAuth2` routes, rendered when the request's headers are at hand.
#[derive(Clone, Debug)]
pub(super) struct OAuth {
    pub(super) status: StatusCode,
    pub(super) error: &'static str,
    pub(super) description: Option<String>,
}

impl Refused {
    pub(super) fn not_found() -> Self {
        Self::Missing("Not found".to_owned())
    }

    pub(super) fn field(field: &str, message: impl Into<String>) -> Self {
        Self::Invalid(Invalid::of(field, message))
    }

    pub(super) fn oauth(status: StatusCode, error: &'static str, description: impl Into<String>) -> Self {
        Self::OAuth(OAuth { status, error, description: Some(description.into()) })
    }

    /// Without a word why.
    pub(super) fn bare_oauth(status: StatusCode, error: &'static str) -> Self {
        Self::OAuth(OAuth { status, error, description: None })
    }

    pub(super) fn access_denied() -> Self {
        Self::bare_oauth(StatusCode::FORBIDDEN, "access_denied")
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::TooLarge => Self::TooLarge,
            failure => Self::Database(failure),
        }
    }
}

impl From<CallError> for Refused {
    fn from(error: CallError) -> Self {
        match error {
            CallError::UnknownNode => Self::not_found(),
            CallError::Unavailable(failure) => Self::Database(failure),
            other => Self::Agent(other),
        }
    }
}

impl From<Invalid> for Refused {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Undecryptable> for Refused {
    fn from(undecryptable: Undecryptable) -> Self {
        Self::Vault(undecryptable)
    }
}

fn error(status: StatusCode, error: impl Serialize) -> Response {
    Answer(status, json!({ "error": error })).into_response()
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::Invalid(Invalid(faults)) => error(StatusCode::UNPROCESSABLE_ENTITY, faults),
            Self::InvalidAs(status, Invalid(faults)) => error(status, faults),
            Self::Json => error(StatusCode::BAD_REQUEST, "Invalid json"),
            Self::TooLarge => error(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large"),
            Self::Late => error(StatusCode::REQUEST_TIMEOUT, "The request did not come to its end"),
            Self::Missing(text) => error(StatusCode::NOT_FOUND, text),
            Self::Nothing => Answer(StatusCode::NOT_FOUND, json!({})).into_response(),
            Self::NoRoute => empty(StatusCode::NOT_FOUND),
            Self::Denied => error(StatusCode::FORBIDDEN, "Access denied"),
            Self::Forbidden(text) => error(StatusCode::FORBIDDEN, text),
            Self::OAuth(oauth) => {
                let mut response = empty(oauth.status);
                response.extensions_mut().insert(oauth);
                response
            }
            Self::TooMany => typed(
                StatusCode::TOO_MANY_REQUESTS,
                super::answer::JSON,
                "{ \"error\": \"too_many_requests\" }",
            ),
            Self::NoVault => error(StatusCode::SERVICE_UNAVAILABLE, "Vault not configured"),
            Self::Busy => error(StatusCode::SERVICE_UNAVAILABLE, "The master is busy: try again"),
            Self::Database(failure) => {
                tracing::warn!(%failure, "a request failed at the database");
                error(StatusCode::SERVICE_UNAVAILABLE, "The database does not answer: try again")
            }
            Self::Agent(error) => {
                let (code, message) = match &error {
                    CallError::Fault(fault) => (fault.code, fault.message.clone()),
                    other => (503, other.to_string()),
                };
                let body = json!({ "code": code, "message": message, "backtrace": [] });
                Answer(StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
            }
            Self::Vault(undecryptable) => {
                tracing::error!(%undecryptable, "a stored value cannot be read");
                let body = json!({ "message": "Internal server error" });
                Answer(StatusCode::INTERNAL_SERVER_ERROR, body).into_response()
            }
            Self::Text(status, text) => Answer(status, text).into_response(),
        }
    }
}

/// 403 of the token layer, for a token that is missing, unknown or expired.
pub(super) fn bad_token(description: &'static str) -> Response {
    let body = json!({ "error": "invalid_token", "error_description": description });
    let mut response = Answer(StatusCode::FORBIDDEN, body).into_response();
    let challenge = format!(
        "Bearer realm=\"kontena_master\", error=\"invalid_token\", error_description=\"{description}\""
    );
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        // Titled as the original sends it; names of headers have no case.
        response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Renders an `OAuth2` error in what the client accepts.
pub(super) fn render(oauth: &OAuth, request: &HeaderMap) -> Response {
    let OAuth { status, error, description } = oauth;
    let media = |name: HeaderName| {
        let value = request.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_owned()
    };
    let accept = media(header::ACCEPT);
    let json = accept == "application/json" || media(header::CONTENT_TYPE) == "application/json";
    if json {
        let mut body = Map::new();
        body.insert("error".to_owned(), (*error).into());
        body.insert("error_description".to_owned(), description.clone().map_or(Value::Null, Value::String));
        return Answer(*status, body).into_response();
    }
    let text = description.as_deref().unwrap_or_default();
    match accept.as_str() {
        "application/x-www-form-urlencoded" => {
            let mut form = url::form_urlencoded::Serializer::new(String::new());
            form.append_pair("error", error).append_pair("error_description", text);
            let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
            typed(*status, kind, form.finish())
        }
        "text/plain" => {
            let body = format!("error:{error};error_description:{text}");
            typed(*status, HeaderValue::from_static("text/plain"), body)
        }
        _ => {
            let body = format!(
                "<html><head><title>Error</title></head><body><h3>Error</h3><p><b>{error}</b> {}</p></body></html>",
                escaped(text)
            );
            typed(*status, HTML, body)
        }
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
