//! Users and tokens.

use serde::{Deserialize, Serialize};

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Object id.
    pub id: String,
    /// The name for the login.
    pub email: String,
    /// For people.
    pub name: Option<String>,
    /// What it was granted.
    pub roles: Vec<Role>,
}

/// A role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// Such as `master_admin`.
    pub name: String,
    /// For people.
    pub description: String,
}

/// Several users.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Users {
    /// The oldest first.
    pub users: Vec<User>,
}

/// A bearer token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Object id.
    pub id: String,
    /// `bearer`.
    pub token_type: String,
    /// Only when the token is new.
    pub access_token: Option<String>,
    /// Only when the token is new and expires.
    pub refresh_token: Option<String>,
    /// By which people recognise it.
    pub access_token_last_four: Option<String>,
    /// By which people recognise it.
    pub refresh_token_last_four: Option<String>,
    /// Seconds, negative when it has expired. None: never.
    pub expires_in: Option<i64>,
    /// Joined by commas.
    pub scopes: String,
    /// For people.
    pub description: Option<String>,
    /// Whose it is.
    pub user: TokenUser,
    /// Of which master.
    pub server: Server,
}

/// A code that is not exchanged yet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// Object id.
    pub id: String,
    /// `authorization_code`.
    pub grant_type: String,
    /// To be exchanged, once.
    pub code: String,
    /// Joined by commas.
    pub scopes: String,
    /// For people.
    pub description: Option<String>,
    /// Whose it is.
    pub user: TokenUser,
    /// Of which master.
    pub server: Server,
}

/// The user of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUser {
    /// Object id.
    pub id: String,
    /// The name for the login.
    pub email: String,
    /// Empty if there is none.
    pub name: String,
}

/// The master of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// As configured.
    pub name: Option<String>,
}

/// Several tokens and codes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// The oldest first.
    pub tokens: Vec<serde_json::Value>,
}
