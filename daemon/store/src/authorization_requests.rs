//! `authorization_requests`: logins that wait for the external provider. Each can be answered once, within an hour.

use kontena_core::id::Id;
use kontena_core::token::Digest;
use mongodb::bson::{Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, oid, whole};
use crate::table::Table;

const REQUESTS: &str = "authorization_requests";

/// A login that was begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRequest {
    /// Who begins it, if known: by an invitation, or by an older token.
    pub user: Option<Id>,
    /// Where the browser goes in the end.
    pub redirect_uri: String,
    /// Seconds; 0 is for ever.
    pub expires_in: i64,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct AuthorizationRequests {
    requests: Table,
}

impl Store {
    /// Logins that wait for the provider.
    #[must_use]
    pub fn authorization_requests(&self) -> AuthorizationRequests {
        AuthorizationRequests { requests: Table::new(self.database(), REQUESTS) }
    }
}

impl AuthorizationRequests {
    /// Notes that a login was begun.
    pub async fn begin(&self, state: &Digest, request: &LoginRequest) -> Result<(), Failure> {
        let LoginRequest { user, redirect_uri, expires_in } = request;
        let mut fields = doc! {
            "redirect_uri": redirect_uri, "expires_in": whole(*expires_in), "state": state.as_str(),
        };
        if let Some(user) = user {
            fields.insert("user_id", oid(*user));
        }
        self.requests.insert(fields).await?;
        Ok(())
    }

    /// Takes the login that this state belongs to. Nobody can take it again.
    pub async fn take(&self, state: &Digest) -> Result<Option<LoginRequest>, Failure> {
        // The server removes old ones once a minute only.
        let fresh = doc! { "$lt": [{ "$subtract": ["$$NOW", "$created_at"] }, 3_600_000] };
        let filter = doc! { "state": state.as_str(), "deleted_at": null, "$expr": fresh };
        Ok(self.requests.take(filter).await?.as_ref().map(parse))
    }
}

fn parse(row: &Document) -> LoginRequest {
    LoginRequest {
        user: row.id("user_id"),
        redirect_uri: row.text_or_empty("redirect_uri"),
        expires_in: row.whole("expires_in").unwrap_or_default(),
    }
}
