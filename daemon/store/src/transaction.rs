//! Several writes that take effect together or not at all, for what no leader is needed.
//!
//! The driver would repeat a transaction for two minutes; here it gets some tries within the time of a request.

use std::time::Duration;

use mongodb::ClientSession;
use mongodb::bson::{Document, doc};

use crate::client::Store;
use crate::command::{Failure, write_in};
use crate::document::fresh;
use crate::table::{LIMIT, inserting};

/// How often the writes are tried when others write the same documents.
const TRIES: u32 = 12;
/// How often a commit without an answer is repeated.
const COMMITS: u32 = 3;
/// Before the second try; doubles, up to 32 times this.
const PAUSE: Duration = Duration::from_millis(4);

/// One write of several.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    /// Inserts a document, created and updated now.
    Insert { collection: &'static str, fields: Document },
    /// Changes the one document that must be there; if it is not, nothing of all is done.
    Change { collection: &'static str, filter: Document, change: Document },
    /// Changes all that the filter finds.
    ChangeAll { collection: &'static str, filter: Document, change: Document },
    /// Changes many documents of a collection in one command, each by its own statement, as the server takes them.
    /// Each must find its document, or make it; if one does not, nothing of all is done.
    Each { collection: &'static str, statements: Vec<Document> },
    /// Removes the one document that must be there; if it is not, nothing of all is done.
    Remove { collection: &'static str, filter: Document },
    /// Removes all that the filter finds.
    RemoveAll { collection: &'static str, filter: Document },
}

/// Whether all writes were made, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// What had to be there was not.
    Unmatched,
}

impl Store {
    /// Makes all `writes` or none.
    pub(crate) async fn transact(&self, writes: &[Write]) -> Result<Outcome, Failure> {
        let mut session = self.client().start_session().await?;
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            match self.attempt(&mut session, writes).await {
                Err(failure) if failure.transient() => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE * 32);
                }
                outcome => return outcome,
            }
        }
        self.attempt(&mut session, writes).await
    }

    /// The same with one try, for what can be done otherwise.
    pub(crate) async fn attempt_once(&self, writes: &[Write]) -> Result<Outcome, Failure> {
        let mut session = self.client().start_session().await?;
        self.attempt(&mut session, writes).await
    }

    async fn attempt(&self, session: &mut ClientSession, writes: &[Write]) -> Result<Outcome, Failure> {
        session.start_transaction().await?;
        for write in writes {
            let matched = self.write(session, write).await;
            if !matches!(matched, Ok(true)) {
                // A transaction that is left open ends with the session.
                let _aborted = session.abort_transaction().await;
                return matched.map(|_| Outcome::Unmatched);
            }
        }
        for _ in 1..COMMITS {
            match session.commit_transaction().await.map_err(Failure::from) {
                Err(failure) if failure.commit_unknown() => {}
                committed => return committed.map(|()| Outcome::Done),
            }
        }
        session.commit_transaction().await?;
        Ok(Outcome::Done)
    }

    async fn write(&self, session: &mut ClientSession, write: &Write) -> Result<bool, Failure> {
        let collection = |name: &str| self.database().collection::<Document>(name);
        Ok(match write.clone() {
            Write::Insert { collection: name, mut fields } => {
                let id = fields.remove("_id").unwrap_or_else(|| fresh().into());
                let made = inserting(fields, doc! {});
                collection(name).update_one(doc! { "_id": id }, made).upsert(true).session(session).await?;
                true
            }
            Write::Change { collection: name, filter, change } => {
                collection(name).update_one(filter, change).session(session).await?.matched_count == 1
            }
            Write::ChangeAll { collection: name, filter, change } => {
                collection(name).update_many(filter, change).session(session).await?;
                true
            }
            Write::Each { collection: name, statements } => {
                let expected = i64::try_from(statements.len()).unwrap_or(i64::MAX);
                let command = doc! { "update": name, "updates": statements };
                write_in(session, self.database(), command, LIMIT).await? == expected
            }
            Write::Remove { collection: name, filter } => {
                collection(name).delete_one(filter).session(session).await?.deleted_count == 1
            }
            Write::RemoveAll { collection: name, filter } => {
                collection(name).delete_many(filter).session(session).await?;
                true
            }
        })
    }
}
