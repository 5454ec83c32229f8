//! Commands in the server's own words, for what the driver's helpers would hide: whether a write matched,
//! whether a majority acknowledged it, or whether nothing is known.

use std::time::Duration;

use mongodb::bson::{Bson, Document, doc};
use mongodb::{ClientSession, Database};
use thiserror::Error;

/// `DuplicateKey`.
const DUPLICATE_KEY: i32 = 11_000;
/// `BSONObjectTooLarge`, and the codes that it has in an insert and in an update.
const TOO_LARGE: [i32; 3] = [10_334, 17_420, 17_419];

/// What went wrong with a call on the database.
#[derive(Clone, Debug, Error)]
pub enum Failure {
    /// A document with this key exists.
    #[error("the document exists already")]
    Duplicate,
    /// The document would be larger than the database takes; nothing was written.
    #[error("the document would be larger than the database takes")]
    TooLarge,
    /// The database user lacks a right.
    #[error("the database user may not do this: {0}")]
    Unauthorized(String),
    /// Everything else: the write may have been made or not.
    #[error("{message}")]
    Unknown {
        /// What the driver or the server said.
        message: String,
        /// The server advises to try the whole transaction again.
        transient: bool,
        /// The commit may have been made.
        commit_unknown: bool,
    },
}

impl Failure {
    pub(crate) fn unknown(message: impl Into<String>) -> Self {
        Self::Unknown { message: message.into(), transient: false, commit_unknown: false }
    }

    /// Whether the commit that failed so may have been made all the same.
    pub(crate) fn commit_unknown(&self) -> bool {
        matches!(self, Self::Unknown { commit_unknown: true, .. })
    }

    /// Whether the transaction that failed so is worth another try.
    pub(crate) fn transient(&self) -> bool {
        matches!(self, Self::Unknown { transient: true, .. })
    }
}

impl From<mongodb::error::Error> for Failure {
    fn from(error: mongodb::error::Error) -> Self {
        use mongodb::error::{ErrorKind, WriteFailure};
        match &*error.kind {
            ErrorKind::Command(command) if command.code == DUPLICATE_KEY => Self::Duplicate,
            ErrorKind::Write(WriteFailure::WriteError(error)) if error.code == DUPLICATE_KEY => {
                Self::Duplicate
            }
            ErrorKind::Command(command) if TOO_LARGE.contains(&command.code) => Self::TooLarge,
            ErrorKind::Write(WriteFailure::WriteError(error)) if TOO_LARGE.contains(&error.code) => {
                Self::TooLarge
            }
            // Unauthorized, AuthenticationFailed
            ErrorKind::Command(command) if matches!(command.code, 13 | 18) => {
                Self::Unauthorized(command.message.clone())
            }
            ErrorKind::Authentication { message, .. } => Self::Unauthorized(message.clone()),
            _ => Self::Unknown {
                message: error.to_string(),
                transient: error.contains_label(mongodb::error::TRANSIENT_TRANSACTION_ERROR),
                commit_unknown: error.contains_label(mongodb::error::UNKNOWN_TRANSACTION_COMMIT_RESULT),
            },
        }
    }
}

/// How many documents a write matched.
pub(crate) type Matched = i64;

/// Runs one write command outside of a transaction, acknowledged by a majority.
pub(crate) async fn write(
    database: &Database,
    mut command: Document,
    limit: Duration,
) -> Result<Matched, Failure> {
    command.insert("writeConcern", doc! { "w": "majority" });
    command.insert("maxTimeMS", millis(limit));
    matched(&database.run_command(command).await?)
}

/// Which statements of a command failed, by their position, and with which code.
pub(crate) type Faults = Vec<(usize, i64, String)>;

/// Runs one command of many statements, of which some may fail without the others, acknowledged by a majority.
pub(crate) async fn write_each(
    database: &Database,
    mut command: Document,
    limit: Duration,
) -> Result<(Matched, Faults), Failure> {
    command.insert("ordered", false);
    command.insert("writeConcern", doc! { "w": "majority" });
    command.insert("maxTimeMS", millis(limit));
    let reply = database.run_command(command).await?;
    if let Ok(error) = reply.get_document("writeConcernError") {
        return Err(Failure::unknown(error.get_str("errmsg").unwrap_or("write concern error")));
    }
    let errors = reply.get_array("writeErrors").map(Vec::as_slice).unwrap_or_default();
    let fault = |error: &Bson| {
        let error = error.as_document()?;
        let index = usize::try_from(integer(error, "index")?).ok()?;
        Some((index, integer(error, "code")?, error.get_str("errmsg").unwrap_or_default().to_owned()))
    };
    Ok((integer(&reply, "n").unwrap_or(0), errors.iter().filter_map(fault).collect()))
}

/// Whether a statement failed for a key that exists.
pub(crate) fn is_duplicate(code: i64) -> bool {
    code == i64::from(DUPLICATE_KEY)
}

/// Runs one write command in the session's open transaction.
pub(crate) async fn write_in(
    session: &mut ClientSession,
    database: &Database,
    mut command: Document,
    limit: Duration,
) -> Result<Matched, Failure> {
    command.insert("maxTimeMS", millis(limit));
    matched(&database.run_command(command).session(session).await?)
}

/// Reads the first document that a filter finds.
pub(crate) async fn find_first(
    database: &Database,
    collection: &str,
    filter: Document,
    read_concern: &str,
    limit: Duration,
) -> Result<Option<Document>, Failure> {
    let command = doc! {
        "find": collection,
        "filter": filter,
        "limit": 1,
        "singleBatch": true,
        "readConcern": { "level": read_concern },
        "maxTimeMS": millis(limit),
    };
    let reply = database.run_command(command).await?;
    let batch = reply.get_document("cursor").and_then(|cursor| cursor.get_array("firstBatch"));
    match batch.map(|batch| batch.first()) {
        Ok(None) => Ok(None),
        Ok(Some(Bson::Document(found))) => Ok(Some(found.clone())),
        Ok(Some(_)) | Err(_) => Err(Failure::unknown("the server answered a find without a cursor")),
    }
}

/// `maxTimeMS` for a limit; 0 would mean none.
pub(crate) fn millis(limit: Duration) -> i64 {
    i64::try_from(limit.as_millis()).unwrap_or(i64::MAX).max(1)
}

fn matched(reply: &Document) -> Result<Matched, Failure> {
    if let Ok(errors) = reply.get_array("writeErrors")
        && let Some(Bson::Document(error)) = errors.first()
    {
        return Err(match integer(error, "code") {
            Some(code) if code == i64::from(DUPLICATE_KEY) => Failure::Duplicate,
            Some(code) if TOO_LARGE.map(i64::from).contains(&code) => Failure::TooLarge,
            _ => Failure::unknown(error.get_str("errmsg").unwrap_or("write error")),
        });
    }
    if let Ok(error) = reply.get_document("writeConcernError") {
        return Err(Failure::unknown(error.get_str("errmsg").unwrap_or("write concern error")));
    }
    integer(reply, "n").ok_or_else(|| Failure::unknown("the server answered a write without a count"))
}

/// Reads an integer, whichever of its types the server chose.
pub(crate) fn integer(document: &Document, key: &str) -> Option<i64> {
    match document.get(key)? {
        Bson::Int32(value) => Some(i64::from(*value)),
        Bson::Int64(value) => Some(*value),
        #[expect(clippy::cast_possible_truncation, reason = "checked to be a whole number in range")]
        Bson::Double(value) if value.fract() == 0.0 && value.abs() < 9e15 => Some(*value as i64),
        _ => None,
    }
}

/// Reads a counter that is never negative.
pub(crate) fn counter(document: &Document, key: &str) -> Option<u64> {
    integer(document, key).and_then(|value| u64::try_from(value).ok())
}

/// A counter as the database stores it.
pub(crate) fn stored(counter: u64) -> Bson {
    Bson::Int64(i64::try_from(counter).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_inside_of_an_answer_fails_as_it_would_alone() {
        let answer = |code: i32| doc! { "ok": 1, "n": 0, "writeErrors": [{ "code": code, "errmsg": "no" }] };
        assert!(TOO_LARGE.iter().all(|code| matches!(matched(&answer(*code)), Err(Failure::TooLarge))));
        assert!(matches!(matched(&answer(DUPLICATE_KEY)), Err(Failure::Duplicate)));
        assert!(matches!(matched(&answer(112)), Err(Failure::Unknown { .. })));
    }
}
