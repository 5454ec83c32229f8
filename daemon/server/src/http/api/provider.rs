//! Questions to the external authentication provider: bounded in time and size, over no proxy, along no redirect.

use std::time::Duration;

use kontena_core::login::{ClientAuthentication, Identity, Provider, TokenRequest};
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use serde_json::{Map, Value};
use thiserror::Error;

/// For one request.
const WITHIN: Duration = Duration::from_secs(8);
/// No answer about one user is larger.
const ANSWER_MAX: usize = 1 << 20;

/// Why nobody was identified. Nothing of the provider's answers is told: they may hold secrets.
#[derive(Debug, Error)]
pub(super) enum ProviderError {
    #[error("{0}")]
    Unreachable(String),
    #[error("it answered {0}")]
    Status(u16),
    #[error("it answered with more than {ANSWER_MAX} bytes")]
    TooLarge,
    #[error("its answer to a code holds no access_token")]
    NoToken,
    #[error("oauth2.userinfo_endpoint is no address")]
    Endpoint,
}

impl From<reqwest::Error> for ProviderError {
    fn from(error: reqwest::Error) -> Self {
        // The address may carry a token.
        Self::Unreachable(error.without_url().to_string())
    }
}

/// Exchanges a code for the user behind it. The client, with the certificates of the system, is made for the purpose:
/// people log in rarely, and most masters have no provider.
pub(super) async fn identify(provider: &Provider, code: &str) -> Result<Identity, ProviderError> {
    let builder = Client::builder().timeout(WITHIN).no_proxy().redirect(Policy::none());
    let http = builder.tls_danger_accept_invalid_certs(provider.ignore_invalid_ssl).build()?;
    let token = token(&http, provider, code).await?;
    let url = provider.userinfo_url(&token).ok_or(ProviderError::Endpoint)?;
    let request = http.get(url);
    let request = if provider.userinfo_basic {
        request.basic_auth(&provider.client_id, Some(&provider.client_secret))
    } else {
        request.bearer_auth(&token)
    };
    Ok(provider.identity(&answer(request).await?))
}

async fn token(http: &Client, provider: &Provider, code: &str) -> Result<String, ProviderError> {
    let parameters = provider.token_parameters(code);
    let form = || {
        let pairs = parameters.iter().map(|(name, value)| (*name, value.as_ref()));
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
    };
    let mut endpoint = provider.token_endpoint.clone();
    let request = match provider.token_request {
        TokenRequest::Query => {
            endpoint
                .query_pairs_mut()
                .extend_pairs(parameters.iter().map(|(name, value)| (name, value.as_ref())));
            http.get(endpoint)
        }
        TokenRequest::Json => {
            let body: Map<String, Value> =
                parameters.iter().map(|(name, value)| ((*name).to_owned(), value.as_ref().into())).collect();
            http.post(endpoint).json(&body)
        }
        TokenRequest::Form => {
            http.post(endpoint).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form())
        }
    };
    let request = match provider.code_authentication {
        ClientAuthentication::Basic => request.basic_auth(&provider.client_id, Some(&provider.client_secret)),
        ClientAuthentication::Parameters => request,
    };
    let token = answer(request).await?.get("access_token").and_then(Value::as_str).map(str::to_owned);
    token.ok_or(ProviderError::NoToken)
}

/// The answer as JSON, or as the form that some providers answer with.
async fn answer(request: RequestBuilder) -> Result<Value, ProviderError> {
    let mut response = request.header(ACCEPT, "application/json").send().await?;
    if !response.status().is_success() {
        return Err(ProviderError::Status(response.status().as_u16()));
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_MAX {
            return Err(ProviderError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(serde_json::from_slice(&body).unwrap_or_else(|_| Value::Object(super::submitted::form(&body))))
}
