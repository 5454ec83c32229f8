//! Logging in through an external authentication provider.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use kontena_core::access::LOCAL_ADMIN;
use kontena_core::login::{Identity, Provider, Redirect, expires_in};
use kontena_store::{Failure, Grant, LoginRequest, UserRow};

use super::answer::{HTML, typed};
use super::caller::Client;
use super::oauth::random_code;
use super::refused::{Refused, Reply};
use super::submitted::Query;
use crate::http::Api;

const AUTHENTICATION_FAILED: &str = "Authentication failed";

/// The provider, if one is configured.
pub(super) async fn provider(api: &Api) -> Result<Provider, Refused> {
    let values = api.resources.configuration().await?;
    Provider::from_configuration(&values).ok_or_else(|| {
        let description = "Authentication provider not configured";
        Refused::oauth(StatusCode::NOT_IMPLEMENTED, "server_error", description)
    })
}

fn redirect(location: &str) -> Reply {
    let mut response = typed(StatusCode::FOUND, HTML, Body::empty());
    let location = HeaderValue::from_str(location).map_err(|_| invalid("Invalid redirect_uri"))?;
    response.headers_mut().insert(LOCATION, location);
    Ok(response)
}

fn invalid(description: &str) -> Refused {
    Refused::oauth(StatusCode::BAD_REQUEST, "invalid_request", description)
}

/// Sends a browser to the provider.
pub(super) async fn begin(State(api): State<Api>, client: Client, query: Query) -> Reply {
    let provider = provider(&api).await?;
    let uri = query.text("redirect_uri").filter(|uri| !uri.is_empty());
    let uri = uri.ok_or_else(|| invalid("Missing redirect_uri"))?;
    Redirect::parse(uri).ok_or_else(|| invalid("Invalid redirect_uri"))?;
    let invited = match query.text("invite_code").filter(|code| !code.is_empty()) {
        None => None,
        Some(code) => {
            let user = api.resources.store.users().by_invite_code(code).await?;
            let unknown = || Refused::oauth(StatusCode::FORBIDDEN, "access_denied", "Invalid invite code");
            Some(user.ok_or_else(unknown)?)
        }
    };
    // The local administrator is nobody at the provider.
    let known = client.caller.map(|caller| caller.user).filter(|user| user.actor.email != LOCAL_ADMIN);
    let request = LoginRequest {
        user: invited.or(known).map(|user| user.id()),
        redirect_uri: uri.to_owned(),
        expires_in: expires_in(&query.0).unwrap_or_default(),
    };
    let state = hex::encode(rand::random::<[u8; 32]>());
    api.resources
        .store
        .authorization_requests()
        .begin(&api.resources.sessions.digester().await?.digest(&state), &request)
        .await?;
    redirect(&provider.authorize_url(&state))
}

/// Where the provider sends the browser back to.
pub(super) async fn callback(State(api): State<Api>, query: Query) -> Reply {
    let text = |status, text: &str| Refused::Text(status, text.to_owned());
    if let Some(error) = query.text("error") {
        let error: String = error.chars().filter(|character| !character.is_control()).take(200).collect();
        let message = format!("The authorization server returned an error: {error}");
        return Err(Refused::Text(StatusCode::BAD_GATEWAY, message));
    }
    let bad_state = || text(StatusCode::BAD_REQUEST, "invalid_request");
    let state = query.text("state").filter(|state| !state.is_empty() && state.len() <= 256);
    let digest = api.resources.sessions.digester().await?.digest(state.ok_or_else(bad_state)?);
    let request = api.resources.store.authorization_requests().take(&digest).await?.ok_or_else(bad_state)?;
    let provider = provider(&api).await?;
    let code = query.text("code").unwrap_or_default();
    let identity = match super::provider::identify(&provider, code).await {
        Ok(identity) => identity,
        Err(error) => {
            tracing::warn!(%error, "the authentication provider did not identify a user");
            return Err(text(StatusCode::BAD_REQUEST, AUTHENTICATION_FAILED));
        }
    };
    let user = user(&api, &request, &identity).await?.filter(|user| user.actor.email != LOCAL_ADMIN);
    let user = user.ok_or_else(|| text(StatusCode::FORBIDDEN, "Access denied"))?;
    match api.resources.store.users().logged_in(&user, &identity).await {
        Err(Failure::Duplicate) => return Err(text(StatusCode::BAD_REQUEST, AUTHENTICATION_FAILED)),
        noted => noted?,
    }
    finish(&api, &request, &user).await
}

async fn user(api: &Api, request: &LoginRequest, identity: &Identity) -> Result<Option<UserRow>, Refused> {
    let users = api.resources.store.users();
    Ok(match request.user {
        Some(id) => users.by_id(id).await?,
        None => users.by_identity(identity).await?,
    })
}

/// Gives the client a code for its token.
async fn finish(api: &Api, request: &LoginRequest, user: &UserRow) -> Result<Response, Refused> {
    let target = Redirect::parse(&request.redirect_uri).ok_or_else(|| invalid("Invalid redirect_uri"))?;
    let grant = Grant {
        user: user.id(),
        scopes: vec!["user".to_owned()],
        expires_in: Some(request.expires_in).filter(|seconds| *seconds > 0),
        description: None,
    };
    let (code, minted) = (random_code(), api.resources.mint().await?);
    api.resources.store.access_tokens().issue_code(&grant, &code, &minted).await?;
    let server = api.resources.server_name().await?;
    redirect(&target.with_code(&code, server.as_deref()))
}
