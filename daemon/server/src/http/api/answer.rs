//! Answers with the original's bytes: what could break out of a page is escaped in JSON.

use std::io;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(super) const HTML: HeaderValue = HeaderValue::from_static("text/html");

/// A JSON body with its status.
pub(super) struct Answer<T>(pub(super) StatusCode, pub(super) T);

/// 200.
pub(super) fn ok<T: Serialize>(body: T) -> Response {
    Answer(StatusCode::OK, body).into_response()
}

/// 201.
pub(super) fn created<T: Serialize>(body: T) -> Response {
    Answer(StatusCode::CREATED, body).into_response()
}

/// An empty object.
#[derive(Serialize)]
pub(super) struct Nothing {}

/// No body at all, under a JSON type.
pub(super) fn empty(status: StatusCode) -> Response {
    typed(status, JSON, Body::empty())
}

pub(super) fn typed(status: StatusCode, kind: HeaderValue, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

impl<T: Serialize> IntoResponse for Answer<T> {
    fn into_response(self) -> Response {
        match encode(&self.1) {
            Ok(bytes) => typed(self.0, JSON, bytes),
            Err(error) => {
                tracing::error!(%error, "an answer cannot be written as JSON");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

/// A value as JSON.
pub(super) fn encode<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(256);
    value.serialize(&mut Serializer::with_formatter(&mut bytes, HtmlSafe))?;
    Ok(bytes)
}

struct HtmlSafe;

impl Formatter for HtmlSafe {
    fn write_string_fragment<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&']) {
            let (before, after) = rest.split_at(at);
            writer.write_all(before.as_bytes())?;
            let mut letters = after.chars();
            let escape: &[u8] = match letters.next() {
                Some('<') => b"\\u003c",
                Some('>') => b"\\u003e",
                _ => b"\\u0026",
            };
            writer.write_all(escape)?;
            rest = letters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }
}

/// Milliseconds since 1970 as most fields show them: `2018-01-31T12:00:00.123Z`.
pub(super) fn time(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

/// The same as fields of the type date and time show it: `2018-01-31T12:00:00.123+00:00`.
pub(super) fn offset_time(millis: i64) -> String {
    let mut text = time(millis);
    if text.pop().is_some() {
        text.push_str("+00:00");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_break_out_of_a_page_is_escaped_and_nothing_else() {
        let bytes = encode(&serde_json::json!({ "a<b": "{\"email\"=>:m} & äö€\n" })).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert_eq!(text, r#"{"a\u003cb":"{\"email\"=\u003e:m} \u0026 äö€\n"}"#);
    }

    #[test]
    fn times_are_written_to_the_millisecond_in_both_styles() {
        assert_eq!(time(1_517_400_000_123), "2018-01-31T12:00:00.123Z");
        assert_eq!(offset_time(1_517_400_000_000), "2018-01-31T12:00:00.000+00:00");
        assert_eq!(time(-62_135_596_800_000), "0001-01-01T00:00:00.000Z");
        assert_eq!(time(i64::MAX), "");
    }
}
