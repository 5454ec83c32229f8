//! Tokens: exchanged, refreshed, made, listed and ended.

use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use kontena_core::id::Id;
use kontena_core::login::{Invitation, Symbols, TokenWish, parameter};
use kontena_core::token::{is_access_token, is_refresh_token};
use kontena_store::{Grant, Minted, TokenRow, UserRow};
use kontena_wire::api;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::answer::{created, empty, encode, ok, typed};
use super::caller::{Caller, Client};
use super::refused::{Refused, Reply};
use super::submitted::{At, Parameters};
use crate::http::Api;

const NO_INVITES: &str = "You do not have the permission to create invites";
/// The longest code that is looked for.
const CODE_MAX: usize = 256;

#[derive(Deserialize)]
pub(super) struct OfToken {
    token: String,
}

/// What is shown of a token that was just made.
enum Fresh<'a> {
    Minted(&'a Minted),
    No,
}

fn parameters(parameters: Parameters) -> Result<Map<String, Value>, Refused> {
    let invalid = |text| Refused::oauth(StatusCode::BAD_REQUEST, "invalid_request", text);
    let fields = parameters.0.map_err(|()| invalid("Invalid parameters"))?;
    if fields.is_empty() {
        return Err(Refused::bare_oauth(StatusCode::BAD_REQUEST, "invalid_request"));
    }
    Ok(fields)
}

pub(super) async fn token(State(api): State<Api>, headers: HeaderMap, given: Parameters) -> Reply {
    let fields = parameters(given)?;
    let minted = api.resources.mint().await?;
    let tokens = api.resources.store.access_tokens();
    let kind = parameter(&fields, "grant_type").unwrap_or_default();
    let row = match kind.as_str() {
        "authorization_code" => {
            let code = parameter(&fields, "code").ok_or_else(|| bad_grant(StatusCode::BAD_REQUEST, &kind))?;
            if code.len() > CODE_MAX { None } else { tokens.exchange(&code, &minted).await? }
        }
        "refresh_token" => {
            let refresh = parameter(&fields, "refresh_token")
                .ok_or_else(|| bad_grant(StatusCode::BAD_REQUEST, &kind))?;
            if is_refresh_token(&refresh) {
                let digests = api.resources.sessions.digests(&refresh).await?;
                tokens.refresh(&digests, &minted).await?
            } else {
                None
            }
        }
        _ => return Err(Refused::oauth(StatusCode::BAD_REQUEST, "unsupported_grant_type", "grant_type")),
    };
    let row = row.ok_or_else(|| bad_grant(StatusCode::NOT_FOUND, &kind))?;
    let user = user_of(&api, &row).await?;
    let server = api.resources.server_name().await?;
    let body = bearer(&row, &user, server, &Fresh::Minted(&minted));
    Ok(if wants_json(&headers) { created(body) } else { as_form(&body, parameter(&fields, "state")) })
}

fn bad_grant(status: StatusCode, kind: &str) -> Refused {
    Refused::oauth(status, "invalid_request", kind)
}

fn wants_json(headers: &HeaderMap) -> bool {
    let is_json = |name: HeaderName| {
        let value = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().is_some_and(|media| media.trim() == "application/json")
    };
    is_json(ACCEPT) || is_json(CONTENT_TYPE)
}

fn as_form(body: &api::Token, state: Option<String>) -> Response {
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    if let Some(state) = state {
        form.append_pair("state", &state);
    }
    form.append_pair("access_token", body.access_token.as_deref().unwrap_or_default());
    if let Some(refresh) = &body.refresh_token {
        form.append_pair("refresh_token", refresh);
    }
    if let Some(seconds) = body.expires_in {
        form.append_pair("expires_in", &seconds.to_string());
    }
    form.append_pair("username", if body.user.name.is_empty() { &body.user.email } else { &body.user.name });
    if let Some(name) = &body.server.name {
        form.append_pair("server_name", name);
    }
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    typed(StatusCode::CREATED, kind, form.finish())
}

pub(super) async fn authorize(State(api): State<Api>, client: Client, given: Parameters) -> Reply {
    let fields = parameters(given)?;
    match parameter(&fields, "response_type").as_deref() {
        Some("token") => issue(&api, client.caller, &fields, false).await,
        Some("code") => issue(&api, client.caller, &fields, true).await,
        Some("invite") => invite(&api, client.caller, &fields).await,
        _ => Err(Refused::oauth(
            StatusCode::BAD_REQUEST,
            "unsupported_response_type",
            "Unsupported response type. Supported: code, token, invite",
        )),
    }
}

async fn issue(api: &Api, caller: Option<Caller>, fields: &Map<String, Value>, as_code: bool) -> Reply {
    let caller = caller.filter(|caller| caller.has_scope("user")).ok_or_else(Refused::access_denied)?;
    let user = match parameter(fields, "user") {
        None => caller.user.clone(),
        Some(_) if !caller.actor().may_administrate() => {
            return Err(Refused::oauth(StatusCode::FORBIDDEN, "access_denied", NO_INVITES));
        }
        Some(email) => {
            let found = api.resources.store.users().by_email(&email).await?;
            found.ok_or_else(|| Refused::bare_oauth(StatusCode::NOT_FOUND, "not_found"))?
        }
    };
    let wish = TokenWish::read(fields).map_err(|faults| symbols(&faults))?;
    let wish = wish.ok_or_else(|| Refused::bare_oauth(StatusCode::BAD_REQUEST, "invalid_scope"))?;
    let TokenWish { scopes, expires_in, description } = wish;
    let grant = Grant { user: user.id(), scopes, expires_in, description };
    let (tokens, minted) = (api.resources.store.access_tokens(), api.resources.mint().await?);
    let server = api.resources.server_name().await?;
    if as_code {
        let row = tokens.issue_code(&grant, &random_code(), &minted).await?;
        return Ok(created(body(&row, &user, server, &Fresh::No)?));
    }
    let row = tokens.mint(&grant, &minted).await?;
    Ok(created(bearer(&row, &user, server, &Fresh::Minted(&minted))))
}

async fn invite(api: &Api, caller: Option<Caller>, fields: &Map<String, Value>) -> Reply {
    let provider = super::login::provider(api).await?;
    let caller = caller.ok_or_else(|| symbols(&Symbols::of("user", "nils")))?;
    let denied = || Refused::oauth(StatusCode::FORBIDDEN, "access_denied", NO_INVITES);
    if !caller.actor().may_manage_users() {
        return Err(denied());
    }
    let invitation = Invitation::read(fields).map_err(|faults| symbols(&faults))?;
    let code = random_code();
    if !api.resources.store.users().invite(&invitation, &code, caller.actor()).await? {
        return Err(denied());
    }
    let link = provider.invitation_link(&code);
    Ok(created(serde_json::json!({ "email": invitation.email, "invite_code": code, "link": link })))
}

fn symbols(symbols: &Symbols) -> Refused {
    Refused::oauth(StatusCode::BAD_REQUEST, "invalid_request", symbols.to_string())
}

/// 12 random hexadecimal digits.
pub(super) fn random_code() -> String {
    hex::encode(rand::random::<[u8; 6]>())
}

pub(super) async fn list(State(api): State<Api>, caller: Caller) -> Reply {
    let rows = api.resources.store.access_tokens().of_user(caller.id()).await?;
    let server = api.resources.server_name().await?;
    let tokens = rows.iter().map(|row| body(row, &caller.user, server.clone(), &Fresh::No));
    Ok(ok(api::Tokens { tokens: tokens.collect::<Result<_, _>>()? }))
}

pub(super) async fn show(State(api): State<Api>, caller: Caller, At(at): At<OfToken>) -> Reply {
    let row = find(&api, &caller, &at.token).await?;
    let user = user_of(&api, &row).await?;
    Ok(ok(body(&row, &user, api.resources.server_name().await?, &Fresh::No)?))
}

pub(super) async fn remove(State(api): State<Api>, caller: Caller, At(at): At<OfToken>) -> Reply {
    let row = find(&api, &caller, &at.token).await?;
    if !api.resources.store.access_tokens().remove(row.id).await? {
        return Err(Refused::bare_oauth(StatusCode::NOT_FOUND, "Not found"));
    }
    Ok(empty(StatusCode::CREATED))
}

/// A token by its id, or by itself.
async fn find(api: &Api, caller: &Caller, token: &str) -> Result<TokenRow, Refused> {
    let row = if let Ok(id) = token.parse::<Id>() {
        api.resources.store.access_tokens().by_id(id).await?
    } else if is_access_token(token) {
        api.resources.sessions.verify(token).await?.map(|session| session.token)
    } else {
        None
    };
    let row = row.ok_or_else(|| Refused::bare_oauth(StatusCode::NOT_FOUND, "Not found"))?;
    if row.user != caller.id() && !caller.actor().may_administrate() {
        return Err(Refused::bare_oauth(StatusCode::UNAUTHORIZED, "Unauthorized"));
    }
    Ok(row)
}

async fn user_of(api: &Api, row: &TokenRow) -> Result<UserRow, Refused> {
    let user = api.resources.store.users().by_id(row.user).await?;
    user.ok_or_else(|| Refused::bare_oauth(StatusCode::NOT_FOUND, "Not found"))
}

fn bearer(row: &TokenRow, user: &UserRow, server: Option<String>, fresh: &Fresh<'_>) -> api::Token {
    let minted = match fresh {
        Fresh::Minted(minted) => Some(minted),
        Fresh::No => None,
    };
    api::Token {
        id: row.id.to_string(),
        token_type: "bearer".to_owned(),
        access_token: minted.map(|minted| minted.token.clone()),
        refresh_token: minted.filter(|_| row.expires_in.is_some()).map(|minted| minted.refresh.clone()),
        access_token_last_four: row.last_four.clone(),
        refresh_token_last_four: row.refresh_last_four.clone(),
        expires_in: row.expires_in,
        scopes: row.scopes.join(","),
        description: row.description.clone(),
        user: token_user(user),
        server: api::Server { name: server },
    }
}

/// A token, or a code that is not exchanged yet.
fn body(row: &TokenRow, user: &UserRow, server: Option<String>, fresh: &Fresh<'_>) -> Result<Value, Refused> {
    let encoded = match &row.code {
        Some(code) if row.token_type == "authorization_code" => encode(&api::Code {
            id: row.id.to_string(),
            grant_type: "authorization_code".to_owned(),
            code: code.clone(),
            scopes: row.scopes.join(","),
            description: row.description.clone(),
            user: token_user(user),
            server: api::Server { name: server },
        }),
        _ => encode(&bearer(row, user, server, fresh)),
    };
    encoded.and_then(|bytes| serde_json::from_slice(&bytes)).map_err(|_| Refused::not_found())
}

fn token_user(user: &UserRow) -> api::TokenUser {
    api::TokenUser {
        id: user.id().to_string(),
        email: user.actor.email.clone(),
        name: user.name.clone().unwrap_or_default(),
    }
}
