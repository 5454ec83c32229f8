//! Who may administer: whoever can connect to the administration socket, and over TCP the bearer of the token for
//! it or of a master administrator's access token.

use axum::extract::{Request, State};
use axum::http::StatusCode;
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
    let offered = super::api::bearer(request.headers()).map(str::to_owned);
    let admin_token = api.tunables.borrow().admin_token.clone();
    let is_admin_token = |offered: &str| admin_token.as_ref().is_some_and(|token| token.matches(offered));
    match offered {
        Some(offered) if is_admin_token(&offered) || api.resources.is_administrator(&offered).await => {
            next.run(request).await
        }
        Some(_) => refusal(
            StatusCode::FORBIDDEN,
            "this is neither the token in [admin] (token or token_file) nor an access token of a master administrator",
        ),
        None => refusal(
            StatusCode::UNAUTHORIZED,
            "send the token in [admin] (token or token_file), or an access token of a master administrator, as a \
             bearer token; or use the admin socket of the master",
        ),
    }
}
