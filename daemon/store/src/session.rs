//! The name of a leader's database session, by which its successor ends what the leader left open.

use std::fmt;
use std::str::FromStr;

use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, Document, doc};
use thiserror::Error;

/// A logical session id, as the driver made it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SessionId([u8; 16]);

/// The text or document is no session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a session id is 32 hexadecimal digits")]
pub struct InvalidSessionId;

impl SessionId {
    /// Reads the `{id: UUID}` by which the server knows a session.
    pub(crate) fn from_document(document: &Document) -> Result<Self, InvalidSessionId> {
        match document.get("id") {
            Some(Bson::Binary(id)) => id.bytes.as_slice().try_into().map(Self).map_err(|_| InvalidSessionId),
            _ => Err(InvalidSessionId),
        }
    }

    pub(crate) fn to_document(self) -> Document {
        doc! { "id": Binary { subtype: BinarySubtype::Uuid, bytes: self.0.to_vec() } }
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId({self})")
    }
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidSessionId)?;
        Ok(Self(bytes))
    }
}
