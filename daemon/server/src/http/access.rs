//! Who may administer: whoever can connect to the administration socket, and over TCP the bearer of the token.

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;

use super::{Api, refusal};

/// The way a client came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Over TCP, from anywhere.
    Network,
    /// Over the UNIX socket, whose file mode decides who can connect.
    AdminSocket,
}

pub(super) async fn administrators_only(
    State((api, admission)): State<(Api, Admission)>,
    request: Request,
    next: Next,
) -> Response {
    if admission == Admission::AdminSocket {
        return next.run(request).await;
    }
    let Some(token) = api.tunables.borrow().admin_token.clone() else {
        return refusal(
            StatusCode::FORBIDDEN,
            "administration over TCP is off: set [admin] token_file in the configuration of the master, or use \
             its admin socket",
        );
    };
    let offered = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    match offered.and_then(|value| value.strip_prefix("Bearer ")) {
        Some(offered) if token.matches(offered) => next.run(request).await,
        Some(_) => refusal(StatusCode::FORBIDDEN, "this is not the token in [admin] token_file"),
        None => refusal(StatusCode::UNAUTHORIZED, "send the token in [admin] token_file as a bearer token"),
    }
}
