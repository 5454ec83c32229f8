//! Large answers are compressed for clients that ask for it. A followed log never is: its chunks are its form.

use std::io::Write;

use axum::body::{Body, Bytes, HttpBody, to_bytes};
use axum::http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;

use super::answer::JSON;
use super::refused::Refused;

/// Smaller answers fit into a few packets as they are.
const WORTH_IT: u64 = 4 << 10;
/// Larger ones are compressed where they keep no other client waiting.
const AT_ONCE: usize = 64 << 10;
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// Whether a client takes gzip.
pub(super) fn accepts(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    offered.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let refused = |weight: &str| {
            weight.strip_prefix("q=").is_some_and(|weight| weight.parse::<f32>().is_ok_and(|q| q <= 0.0))
        };
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && !parts.any(refused)
    })
}

/// The answer, compressed if that is worth it.
pub(super) async fn compressed(response: Response) -> Response {
    let size = response.body().size_hint().exact();
    let json = response.headers().get(CONTENT_TYPE).is_some_and(|kind| kind == JSON);
    if !json || size.is_none_or(|size| size < WORTH_IT) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    // All of it is there already: its size is known.
    let Ok(bytes) = to_bytes(body, usize::MAX).await else { return Refused::Busy.into_response() };
    let gzipped = if bytes.len() > AT_ONCE {
        let bytes = bytes.clone();
        tokio::task::spawn_blocking(move || gzip(&bytes)).await.ok().flatten()
    } else {
        gzip(&bytes)
    };
    parts.headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    match gzipped {
        Some(gzipped) => {
            parts.headers.remove(CONTENT_LENGTH);
            parts.headers.insert(CONTENT_ENCODING, GZIP);
            Response::from_parts(parts, Body::from(gzipped))
        }
        None => Response::from_parts(parts, Body::from(bytes)),
    }
}

fn gzip(bytes: &Bytes) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    encoder.write_all(bytes).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (offered, taken) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("identity", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(offered));
            assert_eq!(accepts(&headers), taken, "{offered}");
        }
    }
}
