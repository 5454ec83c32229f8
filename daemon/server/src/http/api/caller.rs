//! Who asks, and what that lets them do.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use kontena_core::access::Actor;
use kontena_core::id::Id;
use kontena_store::{AuditEntry, GridRow, TokenRow, UserRow};

use super::refused::Refused;
use crate::http::Api;

/// Who sent a request: a user, if a valid token said so.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) caller: Option<Caller>,
}

/// A user who asks.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) user: UserRow,
    /// None: came by the administration socket.
    pub(super) token: Option<TokenRow>,
    address: IpAddr,
    user_agent: Option<String>,
    /// How it is known who that was, where no token tells it.
    way: Option<String>,
}

impl Caller {
    pub(super) fn new(
        user: UserRow,
        token: Option<TokenRow>,
        address: IpAddr,
        user_agent: Option<String>,
    ) -> Self {
        Self { user, token, address, user_agent, way: None }
    }

    /// The same, with a word for the audit log on how it is known who that was.
    pub(super) fn who_came(self, way: String) -> Self {
        Self { way: Some(way), ..self }
    }

    pub(super) fn actor(&self) -> &Actor {
        &self.user.actor
    }

    pub(super) fn id(&self) -> Id {
        self.user.id()
    }

    /// Whether the caller's token is good for something.
    pub(super) fn has_scope(&self, scope: &str) -> bool {
        self.token.as_ref().is_none_or(|token| token.scopes.iter().any(|held| held == scope))
    }

    /// Only master administrators pass, or tokens that were made for it.
    pub(super) fn administrates(&self) -> Result<(), Refused> {
        let scoped =
            self.token.as_ref().is_some_and(|token| token.scopes.iter().any(|held| held == "master_admin"));
        if self.actor().may_administrate() || scoped { Ok(()) } else { Err(Refused::access_denied()) }
    }

    /// Notes what the caller did. That it cannot be noted does not undo it.
    pub(super) async fn did(&self, api: &Api, deed: Deed<'_>) {
        let Deed { event, resource_type, resource_id, resource_name, grid, body, description } = deed;
        let entry = AuditEntry {
            event_name: event.to_owned(),
            resource_type: resource_type.to_owned(),
            resource_id: resource_id.map_or_else(|| "none".to_owned(), |id| id.to_string()),
            resource_name: resource_name.map(str::to_owned),
            grid: grid.map(|grid| grid.id),
            service: resource_id.filter(|_| resource_type == "GridService"),
            user: Some((self.id(), self.actor().email.clone())),
            source_ip: self.address.to_string(),
            user_agent: self.user_agent.clone(),
            request_body: body.map(|body| bounded(body).to_owned()),
            event_description: description.or_else(|| self.way.clone()),
        };
        if let Err(failure) = api.resources.store.audit_logs().add(entry).await {
            tracing::error!(%failure, event, resource_type, user = self.actor().email, "not in the audit log");
        }
    }
}

/// What somebody did, for the audit log.
#[derive(Default)]
pub(super) struct Deed<'a> {
    pub(super) event: &'static str,
    pub(super) resource_type: &'static str,
    /// None: none.
    pub(super) resource_id: Option<Id>,
    pub(super) resource_name: Option<&'a str>,
    pub(super) grid: Option<&'a GridRow>,
    /// None: it holds a secret.
    pub(super) body: Option<&'a str>,
    pub(super) description: Option<String>,
}

impl<'a> Deed<'a> {
    /// Something done to a thing of a grid: what, to which kind of thing, and to which.
    pub(super) fn new(event: &'static str, resource_type: &'static str, id: Id, grid: &'a GridRow) -> Self {
        Self { event, resource_type, resource_id: Some(id), grid: Some(grid), ..Self::default() }
    }

    /// How people know the thing.
    pub(super) fn named(self, name: &'a str) -> Self {
        Self { resource_name: Some(name), ..self }
    }

    /// What was sent for it.
    pub(super) fn said(self, body: &'a str) -> Self {
        Self { body: Some(body), ..self }
    }
}

/// An entry is no place for megabytes.
fn bounded(body: &str) -> &str {
    const MAX: usize = 64 << 10;
    let end = (0..=body.len().min(MAX)).rev().find(|end| body.is_char_boundary(*end)).unwrap_or(0);
    body.get(..end).unwrap_or_default()
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refused> {
        // The token layer puts it there.
        parts.extensions.get::<Self>().cloned().ok_or_else(Refused::access_denied)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        let client = Client::from_request_parts(parts, state).await?;
        client.caller.ok_or_else(Refused::access_denied)
    }
}
