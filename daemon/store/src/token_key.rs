//! The key of the digests of tokens, for masters without a vault key: `cluster {_id: "token_key", key}`, made once
//! by whichever master needs it first.

use std::time::Duration;

use kontena_core::token::KEY_LENGTH;
use mongodb::Database;
use mongodb::bson::{Binary, Document, doc, spec::BinarySubtype};

use crate::client::Store;
use crate::command::{Failure, find_first, write};
use crate::sentinel::CLUSTER;

const ID: &str = "token_key";

/// The document.
#[derive(Clone, Debug)]
pub struct TokenKey {
    database: Database,
}

impl Store {
    /// The key of the digests of tokens.
    #[must_use]
    pub fn token_key(&self) -> TokenKey {
        TokenKey { database: self.database().clone() }
    }
}

impl TokenKey {
    /// The key, if one was made.
    pub async fn get(&self, limit: Duration) -> Result<Option<[u8; KEY_LENGTH]>, Failure> {
        let found = find_first(&self.database, CLUSTER, doc! { "_id": ID }, "majority", limit).await?;
        found.map(|found| key(&found)).transpose()
    }

    /// The key; `fresh` becomes it if none was made.
    pub async fn get_or_make(
        &self,
        fresh: [u8; KEY_LENGTH],
        limit: Duration,
    ) -> Result<[u8; KEY_LENGTH], Failure> {
        if let Some(key) = self.get(limit).await? {
            return Ok(key);
        }
        let binary = Binary { subtype: BinarySubtype::Generic, bytes: fresh.to_vec() };
        let insert = doc! { "insert": CLUSTER, "documents": [{ "_id": ID, "key": binary }] };
        match write(&self.database, insert, limit).await {
            Ok(_) => Ok(fresh),
            // Another master was faster.
            Err(Failure::Duplicate) => {
                let made = self.get(limit).await?;
                made.ok_or_else(|| Failure::unknown("the key of tokens is not there yet"))
            }
            Err(failure) => Err(failure),
        }
    }
}

fn key(found: &Document) -> Result<[u8; KEY_LENGTH], Failure> {
    let bytes = found.get_binary_generic("key").ok().and_then(|bytes| bytes.as_slice().try_into().ok());
    bytes.ok_or_else(|| Failure::unknown("the key of tokens in the database is not understood"))
}
