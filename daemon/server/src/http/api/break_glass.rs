//! A way in when no other is left: an access token of the local administrator, made over the administration socket.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use kontena_core::access::LOCAL_ADMIN;
use kontena_store::Grant;
use kontena_wire::cluster::{AdminToken, AdminTokenWish};

use super::refused::Refused;
use crate::http::access::Administrator;
use crate::http::{Api, refusal};

const SCOPES: [&str; 2] = ["user", "owner"];
const DESCRIPTION: &str = "made over the administration socket";

pub(in crate::http) async fn make_admin_token(
    State(api): State<Api>,
    administrator: Administrator,
    wish: Option<Json<AdminTokenWish>>,
) -> Response {
    let Json(AdminTokenWish { expires_in }) = wish.unwrap_or_default();
    match make(&api, expires_in).await {
        Ok(Some(made)) => {
            administrator.did(&api, "create admin token", &made.id, Some(LOCAL_ADMIN.to_owned())).await;
            (StatusCode::CREATED, Json(made)).into_response()
        }
        Ok(None) => refusal(
            StatusCode::CONFLICT,
            "the database has no user \"admin\": there is one as soon as a leader has set up a new database, and none \
             where it was removed",
        ),
        Err(refused) => refused.into_response(),
    }
}

async fn make(api: &Api, expires_in: Option<u32>) -> Result<Option<AdminToken>, Refused> {
    let Some(admin) = api.resources.store.users().by_email(LOCAL_ADMIN).await? else { return Ok(None) };
    let grant = Grant {
        user: admin.id(),
        scopes: SCOPES.map(str::to_owned).to_vec(),
        expires_in: expires_in.filter(|seconds| *seconds > 0).map(i64::from),
        description: Some(DESCRIPTION.to_owned()),
    };
    let minted = api.resources.mint().await?;
    let row = api.resources.store.access_tokens().mint(&grant, &minted).await?;
    Ok(Some(AdminToken { id: row.id.to_string(), access_token: minted.token }))
}
