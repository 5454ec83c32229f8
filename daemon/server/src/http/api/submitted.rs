//! What a client sent: a body bounded in size, depth and time, and the names in its path.

use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::path::Path;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::refused::Refused;

/// No sensible body is larger; a stack file with everything in it is some hundred kilobytes.
const BODY_MAX: usize = 4 << 20;
/// Nor are parameters of `OAuth2`; these bodies are read before it is known who sends them.
const PARAMETERS_MAX: usize = 64 << 10;
/// The database takes documents nested a hundred deep, of which the store needs some.
const DEPTH_MAX: usize = 64;
/// How long a body may take to come.
const WITHIN: Duration = Duration::from_secs(20);

/// A JSON object; nothing at all counts as an empty one.
pub(super) struct Submitted {
    /// The object.
    pub(super) fields: Map<String, Value>,
    /// As it came, for the audit log.
    pub(super) raw: String,
}

async fn read(request: Request, most: usize) -> Result<Vec<u8>, Refused> {
    match tokio::time::timeout(WITHIN, to_bytes(request.into_body(), most)).await {
        Ok(Ok(bytes)) => Ok(bytes.into()),
        Ok(Err(_)) => Err(Refused::TooLarge),
        Err(_) => Err(Refused::Late),
    }
}

/// Reads a JSON object that the database could store.
fn object(text: &str) -> Option<Map<String, Value>> {
    match serde_json::from_str(text).ok()? {
        Value::Object(fields) if fields.iter().all(|(key, value)| storable(key, value, DEPTH_MAX)) => {
            Some(fields)
        }
        _ => None,
    }
}

fn storable(key: &str, value: &Value, depth: usize) -> bool {
    let Some(deeper) = depth.checked_sub(1) else { return false };
    // The names of fields end with a zero in the database's format.
    !key.contains('\0')
        && match value {
            Value::Array(items) => items.iter().all(|item| storable("", item, deeper)),
            Value::Object(fields) => fields.iter().all(|(key, value)| storable(key, value, deeper)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
        }
}

impl<S: Send + Sync> FromRequest<S> for Submitted {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let raw = String::from_utf8(read(request, BODY_MAX).await?).map_err(|_| Refused::Json)?;
        let fields = if raw.trim().is_empty() { Map::new() } else { object(&raw).ok_or(Refused::Json)? };
        Ok(Self { fields, raw })
    }
}

/// The parameters of an `OAuth2` request, from a JSON object, a form, or the query. Blank ones are null.
pub(super) struct Parameters(pub(super) Result<Map<String, Value>, ()>);

impl<S: Send + Sync> FromRequest<S> for Parameters {
    type Rejection = Refused;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refused> {
        let kind =
            request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let json = kind.split(';').next().is_some_and(|kind| kind.trim() == "application/json");
        let mut fields = form(request.uri().query().unwrap_or_default().as_bytes());
        let body = read(request, PARAMETERS_MAX).await?;
        if json {
            let text = String::from_utf8(body).unwrap_or_default();
            let text = if text.trim().is_empty() { "{}" } else { &text };
            let Some(object) = object(text) else { return Ok(Self(Err(()))) };
            fields.extend(object);
        } else {
            fields.extend(form(&body));
        }
        let blank = |value: &Value| value.as_str().is_some_and(|text| text.trim().is_empty());
        let fields = fields
            .into_iter()
            .map(|(key, value)| if blank(&value) { (key, Value::Null) } else { (key, value) });
        Ok(Self(Ok(fields.collect())))
    }
}

/// The last of repeated parameters stands.
pub(super) fn form(bytes: &[u8]) -> Map<String, Value> {
    url::form_urlencoded::parse(bytes)
        .filter(|(key, _)| !key.contains('\0'))
        .map(|(key, value)| (key.into_owned(), Value::String(value.into_owned())))
        .collect()
}

/// The query's parameters.
pub(super) struct Query(pub(super) Map<String, Value>);

impl Query {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The items between commas. Nothing at all counts as not given.
    pub(super) fn list(&self, name: &str) -> Option<Vec<&str>> {
        self.text(name).filter(|list| !list.is_empty()).map(|list| list.split(',').collect())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Query {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        Ok(Self(form(parts.uri.query().unwrap_or_default().as_bytes())))
    }
}

/// The names in the path. What is no text matches nothing.
pub(super) struct At<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for At<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let Path(names) = Path::from_request_parts(parts, state).await.map_err(|_| Refused::NoRoute)?;
        Ok(Self(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_objects_that_can_be_stored_are_read() {
        assert!(object("{\"a\": [1, {\"b\": null}]}").is_some());
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(object(&nested(DEPTH_MAX)).is_some());
        for text in ["[1]", "1", "null", "{", "{\"a\\u0000\": 1}", &nested(DEPTH_MAX + 1), &nested(100_000)] {
            assert!(object(text).is_none(), "{}", text.get(..text.len().min(30)).unwrap_or_default());
        }
    }
}
