//! `access_tokens`: tokens, and the codes that are exchanged for them.
//!
//! Exchange and refresh turn a row into its successor by one atomic write: exactly one of any number of clients on
//! any number of masters wins, and no crash can lose the session between two writes.

use kontena_core::id::Id;
use kontena_core::token::{Digest, last_four};
use mongodb::bson::{Bson, Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::{Read, oid};
use crate::table::Table;
use crate::users::{ROLES, USERS, UserRow, parse};

pub(crate) const TOKENS: &str = "access_tokens";
const BEARER: &str = "bearer";
const CODE: &str = "authorization_code";
/// How long a refreshed token lasts.
pub const REFRESHED_SECONDS: i64 = 7200;

/// A token or code, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRow {
    /// Its id.
    pub id: Id,
    /// Whose it is.
    pub user: Id,
    /// `bearer` or `authorization_code`.
    pub token_type: String,
    /// Not exchanged yet.
    pub code: Option<String>,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// For people.
    pub description: Option<String>,
    /// Of the access token.
    pub last_four: Option<String>,
    /// Of the refresh token.
    pub refresh_last_four: Option<String>,
    /// Seconds until it expires by the database's clock, negative when it has. None: never.
    pub expires_in: Option<i64>,
}

/// What a new token is good for.
#[derive(Clone, Debug)]
pub struct Grant {
    /// For whom.
    pub user: Id,
    /// What for.
    pub scopes: Vec<String>,
    /// Seconds. None: it never expires.
    pub expires_in: Option<i64>,
    /// For people.
    pub description: Option<String>,
}

/// The texts of a new token with their digests.
#[derive(Clone)]
pub struct Minted {
    /// The access token.
    pub token: String,
    /// Its digest.
    pub token_digest: Digest,
    /// The refresh token.
    pub refresh: String,
    /// Its digest.
    pub refresh_digest: Digest,
}

/// Who a verified token belongs to.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// The token.
    pub token: TokenRow,
    /// Its user, as it is at this moment.
    pub user: UserRow,
}

/// The collection.
#[derive(Clone, Debug)]
pub struct AccessTokens {
    tokens: Table,
}

impl Store {
    /// Tokens and codes.
    #[must_use]
    pub fn access_tokens(&self) -> AccessTokens {
        AccessTokens { tokens: Table::new(self.database(), TOKENS) }
    }
}

impl AccessTokens {
    /// The valid tokens with these digests, each with its user. Expired ones are among them.
    pub async fn sessions(&self, digests: &[Digest]) -> Result<Vec<(Digest, VerifiedToken)>, Failure> {
        let texts: Vec<&str> = digests.iter().map(Digest::as_str).collect();
        let pipeline = vec![
            doc! { "$match": { "token": { "$in": texts }, "deleted_at": null, "internal": true } },
            with_seconds(),
            doc! { "$lookup": { "from": USERS, "localField": "user_id", "foreignField": "_id", "as": "user" } },
            doc! { "$lookup": { "from": ROLES, "localField": "user.role_ids", "foreignField": "_id", "as": "roles" } },
        ];
        let found = self.tokens.aggregate(pipeline).await?;
        let mut sessions = Vec::with_capacity(found.len());
        for row in &found {
            let roles: Vec<Document> = row.documents("roles").into_iter().cloned().collect();
            let digest =
                digests.iter().find(|digest| row.get_str("token").is_ok_and(|t| t == digest.as_str()));
            // Without its user a token is worth nothing.
            if let (Some(digest), Some(user)) = (digest, row.documents("user").first()) {
                let session = VerifiedToken { token: self::row(row)?, user: parse(user, &roles)? };
                sessions.push((digest.clone(), session));
            }
        }
        Ok(sessions)
    }

    /// Whether tokens of the original are left, whose digests are expensive.
    pub async fn has_originals(&self) -> Result<bool, Failure> {
        let filter = doc! { "token": { "$gte": "$2", "$lt": "$3" } };
        Ok(self.tokens.one(filter).await?.is_some())
    }

    /// All tokens and codes of a user, expired ones too, the oldest first.
    pub async fn of_user(&self, user: Id) -> Result<Vec<TokenRow>, Failure> {
        let filter = doc! { "user_id": oid(user), "deleted_at": null, "internal": true };
        let rows = self
            .tokens
            .aggregate(vec![doc! { "$match": filter }, with_seconds(), doc! { "$sort": { "_id": 1 } }])
            .await?;
        rows.iter().map(row).collect()
    }

    /// A token by its id.
    pub async fn by_id(&self, id: Id) -> Result<Option<TokenRow>, Failure> {
        let filter = doc! { "_id": oid(id), "deleted_at": null, "internal": true };
        let rows = self.tokens.aggregate(vec![doc! { "$match": filter }, with_seconds()]).await?;
        rows.first().map(row).transpose()
    }

    /// Stores a new token.
    pub async fn mint(&self, grant: &Grant, minted: &Minted) -> Result<TokenRow, Failure> {
        let mut fields = granted(grant, BEARER);
        fields.extend(secrets(minted, grant.expires_in.is_some()));
        self.insert(grant, fields).await
    }

    /// Stores a new code. The row has the digest of a token that nobody gets to know, since the digests must differ.
    pub async fn issue_code(&self, grant: &Grant, code: &str, minted: &Minted) -> Result<TokenRow, Failure> {
        let mut fields = granted(grant, CODE);
        fields.extend(secrets(minted, false));
        fields.insert("code", code);
        self.insert(grant, fields).await
    }

    /// Turns a code into a token, once.
    pub async fn exchange(&self, code: &str, minted: &Minted) -> Result<Option<TokenRow>, Failure> {
        let filter = doc! { "code": code, "deleted_at": null };
        let expiring = doc! { "$ne": [{ "$ifNull": ["$expires_at", null] }, null] };
        let mut set = doc! { "token_type": BEARER, "updated_at": "$$NOW", "created_at": "$$NOW" };
        for (key, value) in secrets(minted, true) {
            let value = doc! { "$literal": value };
            let refresh = key.starts_with("refresh");
            let value: Bson = if refresh {
                doc! { "$cond": [expiring.clone(), value, "$$REMOVE"] }.into()
            } else {
                value.into()
            };
            set.insert(key, value);
        }
        // A null would collide in the unique index: the field has to go.
        let pipeline = vec![doc! { "$set": set }, doc! { "$unset": "code" }];
        self.turned(self.tokens.compute(filter, pipeline).await?).await
    }

    /// Turns a token into its successor, once, whether it has expired or not.
    pub async fn refresh(&self, digests: &[Digest], minted: &Minted) -> Result<Option<TokenRow>, Failure> {
        let digests: Vec<&str> = digests.iter().map(Digest::as_str).collect();
        let filter = doc! { "refresh_token": { "$in": digests }, "deleted_at": null, "internal": true };
        let mut set = doc! {
            "updated_at": "$$NOW",
            "created_at": "$$NOW",
            "expires_at": { "$add": ["$$NOW", REFRESHED_SECONDS * 1000] },
        };
        for (key, value) in secrets(minted, true) {
            set.insert(key, doc! { "$literal": value });
        }
        self.turned(self.tokens.compute(filter, vec![doc! { "$set": set }]).await?).await
    }

    /// Ends a token. Whether there was one.
    pub async fn remove(&self, id: Id) -> Result<bool, Failure> {
        self.tokens.remove(doc! { "_id": oid(id) }).await
    }

    async fn insert(&self, grant: &Grant, fields: Document) -> Result<TokenRow, Failure> {
        let computed = match grant.expires_in {
            Some(seconds) => doc! { "expires_at": { "$add": ["$$NOW", seconds.saturating_mul(1000)] } },
            None => doc! {},
        };
        let made = self.tokens.insert_computed(fields, computed).await?;
        Ok(TokenRow { expires_in: grant.expires_in, ..row(&made)? })
    }

    /// The seconds left are the database's to count.
    async fn turned(&self, row: Option<Document>) -> Result<Option<TokenRow>, Failure> {
        match row {
            Some(row) => self.by_id(row.own_id()?).await,
            None => Ok(None),
        }
    }
}

fn granted(grant: &Grant, token_type: &str) -> Document {
    let Grant { user, scopes, expires_in: _, description } = grant;
    doc! {
        "token_type": token_type,
        "internal": true,
        "expires_at": null,
        "scopes": scopes,
        "description": description,
        "user_id": oid(*user),
    }
}

fn secrets(minted: &Minted, expiring: bool) -> Document {
    let Minted { token, token_digest, refresh, refresh_digest } = minted;
    let mut fields = doc! { "token": token_digest.as_str(), "token_last_four": last_four(token) };
    if expiring {
        fields.insert("refresh_token", refresh_digest.as_str());
        fields.insert("refresh_token_last_four", last_four(refresh));
    }
    fields
}

fn with_seconds() -> Document {
    let left = doc! { "$divide": [{ "$subtract": ["$expires_at", "$$NOW"] }, 1000] };
    doc! { "$set": { "expires_in": { "$cond": [{ "$eq": [{ "$type": "$expires_at" }, "date"] }, { "$toLong": { "$floor": left } }, null] } } }
}

fn row(row: &Document) -> Result<TokenRow, Failure> {
    Ok(TokenRow {
        id: row.own_id()?,
        user: row.id("user_id").ok_or_else(|| Failure::unknown("a token has no user"))?,
        token_type: row.text("token_type").unwrap_or_else(|| BEARER.to_owned()),
        code: row.text("code"),
        scopes: row.texts("scopes"),
        description: row.text("description"),
        last_four: row.text("token_last_four"),
        refresh_last_four: row.text("refresh_token_last_four"),
        expires_in: row.whole("expires_in"),
    })
}
