//! Questions to the external authentication provider.

use kontena_core::login::{ClientAuthentication, Identity, Provider, TokenRequest};
use reqwest::Client;
use serde_json::{Map, Value};
use thiserror::Error;

use crate::outward::{self, Unanswered};

/// Why nobody was identified.
#[derive(Debug, Error)]
pub(super) enum ProviderError {
    #[error(transparent)]
    Unanswered(#[from] Unanswered),
    #[error("its answer to a code holds no access_token")]
    NoToken,
    #[error("oauth2.userinfo_endpoint is no address")]
    Endpoint,
}

/// Exchanges a code for the user behind it.
pub(super) async fn identify(provider: &Provider, code: &str) -> Result<Identity, ProviderError> {
    let http = outward::client(provider.ignore_invalid_ssl)?;
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
            let fields = parameters.iter().map(|(name, value)| (*name, value.as_ref()));
            outward::form(http.post(endpoint), fields)
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
async fn answer(request: reqwest::RequestBuilder) -> Result<Value, Unanswered> {
    let body = outward::answer(request).await?;
    Ok(serde_json::from_slice(&body).unwrap_or_else(|_| Value::Object(super::submitted::form(&body))))
}
