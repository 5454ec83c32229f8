//! Who may administer: whoever can connect to the administration socket, and over TCP the bearer of the token for
//! it or of a master administrator's access token. What they do is noted in the audit log.

use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use kontena_core::id::Id;
use kontena_store::AuditEntry;

use super::serve::LocalPeer;
use super::{Api, refusal};

/// Who sends a master away while the database is away does not wait for it.
const NOTED_WITHIN: Duration = Duration::from_secs(2);

/// The way a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Over TCP, from anywhere.
    Network,
    /// Over the UNIX socket, whose file mode decides who can connect.
    AdminSocket,
}

/// An administrator who was let in.
#[derive(Clone, Debug)]
pub(super) struct Administrator {
    /// Of the original's users; none of them came with the token or over the socket.
    pub(super) user: Option<(Id, String)>,
    pub(super) address: String,
    pub(super) user_agent: Option<String>,
    /// How else it is known who that was.
    pub(super) way: String,
}

impl Administrator {
    /// Notes what was done with a master. That it cannot be noted does not undo it.
    pub(super) async fn did(&self, api: &Api, event: &str, master: &str, name: Option<String>) {
        let entry = AuditEntry {
            event_name: event.to_owned(),
            resource_type: "Master".to_owned(),
            resource_id: master.to_owned(),
            resource_name: name,
            grid: None,
            service: None,
            user: self.user.clone(),
            source_ip: self.address.clone(),
            user_agent: self.user_agent.clone(),
            request_body: None,
            event_description: Some(self.way.clone()),
        };
        match tokio::time::timeout(NOTED_WITHIN, api.resources.audit(entry)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::error!(%failure, event, way = self.way, "not in the audit log"),
            Err(_) => tracing::error!(event, way = self.way, "not in the audit log: no answer in time"),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Administrator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        // Who is let in below is put there.
        parts.extensions.get::<Self>().cloned().ok_or_else(|| StatusCode::FORBIDDEN.into_response())
    }
}

pub(super) async fn administrators_only(
    State((api, admission)): State<(Api, Admission)>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match identify(&api, admission, &parts).await {
        Ok(administrator) => {
            parts.extensions.insert(administrator);
            next.run(Request::from_parts(parts, body)).await
        }
        Err(response) => *response,
    }
}

async fn identify(api: &Api, admission: Admission, parts: &Parts) -> Result<Administrator, Box<Response>> {
    let user_agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).map(str::to_owned);
    let administrator = |user, address: String, way: String| {
        Ok(Administrator { user, address, user_agent: user_agent.clone(), way })
    };
    if admission == Admission::AdminSocket {
        let peer = parts.extensions.get::<LocalPeer>().copied().unwrap_or_default();
        let way = match peer.uid {
            Some(uid) => format!("over the administration socket by the user {uid} of {}", api.settings.name),
            None => format!("over the administration socket of {}", api.settings.name),
        };
        return administrator(None, "0.0.0.0".to_owned(), way);
    }
    let address = super::api::client_address(api, parts).to_string();
    let Some(offered) = super::api::bearer(&parts.headers) else {
        return Err(Box::new(refusal(
            StatusCode::UNAUTHORIZED,
            "send the token in [admin] (token or token_file), or an access token of a master administrator, as a \
             bearer token; or use the admin socket of the master",
        )));
    };
    let admin_token = api.tunables.borrow().admin_token.clone();
    if admin_token.is_some_and(|token| token.matches(offered)) {
        return administrator(None, address, "with the administration token".to_owned());
    }
    match api.resources.administrator(offered).await {
        Some(user) => administrator(Some(user), address, "with an access token".to_owned()),
        None => Err(Box::new(refusal(
            StatusCode::FORBIDDEN,
            "this is neither the token in [admin] (token or token_file) nor an access token of a master administrator",
        ))),
    }
}
