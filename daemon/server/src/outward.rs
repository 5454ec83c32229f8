//! Requests to servers of others: bounded in time and size, over no proxy, along no redirect.

use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response};
use thiserror::Error;

/// For one request.
const WITHIN: Duration = Duration::from_secs(8);
/// No answer about one user, or one master, is larger.
const ANSWER_MAX: usize = 1 << 20;

/// Why there is no answer. Nothing of what was answered is told: it may hold secrets.
#[derive(Debug, Error)]
pub(crate) enum Unanswered {
    #[error("{0}")]
    Unreachable(String),
    #[error("it answered {0}")]
    Status(u16),
    #[error("it answered with more than {ANSWER_MAX} bytes")]
    TooLarge,
}

impl From<reqwest::Error> for Unanswered {
    fn from(error: reqwest::Error) -> Self {
        // The address may carry a token.
        Self::Unreachable(error.without_url().to_string())
    }
}

/// How this program names itself. Some providers, GitHub among them, refuse who does not.
const USER_AGENT: &str = concat!("kontena-master/", env!("CARGO_PKG_VERSION"));

/// A client with the certificates of the system. It is made for the purpose: all this happens rarely.
pub(crate) fn client(ignore_invalid_ssl: bool) -> Result<Client, Unanswered> {
    let builder = Client::builder().user_agent(USER_AGENT).timeout(WITHIN).no_proxy();
    let builder = builder.redirect(Policy::none());
    Ok(builder.tls_danger_accept_invalid_certs(ignore_invalid_ssl).build()?)
}

/// The request with these fields, as browsers send them.
pub(crate) fn form<'a>(
    request: RequestBuilder,
    fields: impl IntoIterator<Item = (&'static str, &'a str)>,
) -> RequestBuilder {
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form)
}

/// The body of an answer that says it is one.
pub(crate) async fn answer(request: RequestBuilder) -> Result<Vec<u8>, Unanswered> {
    let mut response = request.header(ACCEPT, "application/json").send().await?;
    if !response.status().is_success() {
        return Err(Unanswered::Status(response.status().as_u16()));
    }
    body(&mut response, ANSWER_MAX).await?.ok_or(Unanswered::TooLarge)
}

/// What an answer holds; nothing, if that is more than `most` bytes.
pub(crate) async fn body(response: &mut Response, most: usize) -> reqwest::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > most {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}
