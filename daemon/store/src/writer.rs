//! The one writer of a leader: every effect of every duty goes through it, behind the fence.
//!
//! One task owns one database session for the life of the process; the session's id stands in the fence, so
//! that a successor can end whatever is left open. Batches of one duty that wait together are committed
//! together. A transaction does its writes, then touches the fence under the leader's term, then commits with
//! majority; without a match on the fence it is aborted.

use std::collections::VecDeque;
use std::time::Duration;

use kontena_core::election::Term;
use mongodb::options::{ReadConcern, TransactionOptions, WriteConcern};
use mongodb::{ClientSession, Database};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::client::{ConnectionError, Store};
use crate::command::{Failure, write_in};
use crate::effect::{self, Effect};
use crate::fence;
use crate::session::SessionId;

/// How much goes into one transaction, and how long it may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most effects in one transaction.
    pub effects: usize,
    /// The most bytes in one transaction.
    pub bytes: usize,
    /// The longest time from the start of a transaction to the end of its commit.
    pub duration: Duration,
    /// The longest wait for an abort: the next transaction of the session ends an open one in any case.
    pub abort: Duration,
    /// How many batches may wait.
    pub queue: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            effects: 200,
            bytes: 1 << 20,
            duration: Duration::from_secs(1),
            abort: Duration::from_millis(250),
            queue: 64,
        }
    }
}

/// What one duty wants done at once, or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Whose effects these are. Batches of different duties are never mixed.
    pub duty: &'static str,
    /// The term under which the plan was made.
    pub term: Term,
    /// In this order.
    pub effects: Vec<Effect>,
}

/// Why a batch was not committed, or may not have been.
#[derive(Clone, Debug, Error)]
pub enum WriteError {
    /// This master may not act under the batch's term any more. Nothing was written.
    #[error("not the acting leader of this term")]
    NotActing,
    /// The fence stands at another term. Nothing was written.
    #[error("another leader's term is in force")]
    Superseded,
    /// A document was no longer as the plan saw it. Nothing was written.
    #[error("the plan is stale: a document changed meanwhile")]
    Stale,
    /// The batch alone is above the limits of a transaction. Nothing was written.
    #[error("a batch of {effects} effects and {bytes} bytes is above the limit")]
    TooLarge {
        /// Its effects.
        effects: usize,
        /// Its size.
        bytes: usize,
    },
    /// The database refused or did not answer before the commit. Nothing was written.
    #[error("not written: {0}")]
    Failed(Failure),
    /// The commit may have been made: read before concluding anything.
    #[error("it is not known whether the batch was committed")]
    Unknown,
    /// The writer has ended. Nothing was written.
    #[error("the writer has ended")]
    Closed,
}

type Reply = oneshot::Sender<Result<(), WriteError>>;

struct Job {
    batch: Batch,
    size: usize,
    reply: Reply,
}

/// Where duties hand in their batches.
#[derive(Clone, Debug)]
pub struct WriterHandle {
    jobs: mpsc::Sender<Job>,
    limits: Limits,
}

impl WriterHandle {
    /// Waits for a place in the queue, then until the batch is committed or was refused.
    pub async fn commit(&self, batch: Batch) -> Result<(), WriteError> {
        let effects = batch.effects.len();
        let size = batch.effects.iter().map(Effect::size).sum();
        if effects > self.limits.effects || size > self.limits.bytes {
            return Err(WriteError::TooLarge { effects, bytes: size });
        }
        let (reply, outcome) = oneshot::channel();
        self.jobs.send(Job { batch, size, reply }).await.map_err(|_| WriteError::Closed)?;
        outcome.await.map_err(|_| WriteError::Closed)?
    }
}

/// What the writer asks and tells the election.
pub trait Authority: Send + Sync + 'static {
    /// Whether this master may act under `term` at this moment.
    fn may_act(&self, term: Term) -> bool;
    /// The fence was found at another term than `term`.
    fn superseded(&self, term: Term);
}

/// The task behind a [`WriterHandle`].
pub struct Writer<A> {
    database: Database,
    session: ClientSession,
    id: SessionId,
    authority: A,
    limits: Limits,
    jobs: mpsc::Receiver<Job>,
    waiting: VecDeque<Job>,
}

/// A session to be made into a writer. It exists before the election does, which needs its id.
#[derive(Debug)]
pub struct WriterSession {
    session: ClientSession,
    id: SessionId,
}

impl WriterSession {
    /// Opens the session. Nothing is sent to the database yet.
    pub async fn open(store: &Store) -> Result<Self, ConnectionError> {
        let session =
            store.client().start_session().await.map_err(|error| ConnectionError::Uri(error.to_string()))?;
        let id = SessionId::from_document(session.id())
            .map_err(|_| ConnectionError::Uri("the driver made a session without an id".to_owned()))?;
        Ok(Self { session, id })
    }

    /// The name by which a successor can end it.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }
}

impl<A: Authority> Writer<A> {
    /// A writer on `session`, whose batches wait in a queue of bounded length.
    #[must_use]
    pub fn new(store: &Store, session: WriterSession, authority: A, limits: Limits) -> (Self, WriterHandle) {
        let (sender, jobs) = mpsc::channel(limits.queue);
        let WriterSession { session, id } = session;
        let database = store.database().clone();
        let writer = Self { database, session, id, authority, limits, jobs, waiting: VecDeque::new() };
        (writer, WriterHandle { jobs: sender, limits })
    }

    /// Commits batch after batch until cancelled. A batch that is open then is aborted.
    pub async fn run(mut self, cancel: CancellationToken) {
        tracing::debug!(session = %self.id, "the writer has started");
        while let Some(group) = self.next_group(&cancel).await {
            tokio::select! {
                biased;
                () = cancel.cancelled() => {}
                () = self.commit_group(group) => continue,
            }
            break;
        }
        self.abort().await;
    }

    /// The oldest batch, and those behind it that may share its transaction.
    async fn next_group(&mut self, cancel: &CancellationToken) -> Option<Vec<Job>> {
        let first = if let Some(job) = self.waiting.pop_front() {
            job
        } else {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return None,
                job = self.jobs.recv() => job?,
            }
        };
        let (mut effects, mut bytes) = (first.batch.effects.len(), first.size);
        let mut group = vec![first];
        while let Some(next) = self.waiting.pop_front().or_else(|| self.jobs.try_recv().ok()) {
            effects += next.batch.effects.len();
            bytes += next.size;
            let joins = group.first().is_some_and(|first| {
                first.batch.duty == next.batch.duty && first.batch.term == next.batch.term
            });
            if !joins || effects > self.limits.effects || bytes > self.limits.bytes {
                self.waiting.push_front(next);
                break;
            }
            group.push(next);
        }
        Some(group)
    }

    async fn commit_group(&mut self, group: Vec<Job>) {
        let outcome = self.attempt(&group).await;
        // One stale plan must not spoil those it happened to share a transaction with.
        if group.len() > 1 && matches!(outcome, Err(WriteError::Stale | WriteError::Failed(_))) {
            for job in group {
                let outcome = self.attempt(std::slice::from_ref(&job)).await;
                answer(job, outcome);
            }
        } else {
            for job in group {
                answer(job, outcome.clone());
            }
        }
    }

    async fn attempt(&mut self, group: &[Job]) -> Result<(), WriteError> {
        let Some(term) = group.first().map(|job| job.batch.term) else {
            return Ok(());
        };
        if !self.authority.may_act(term) {
            return Err(WriteError::NotActing);
        }
        let limit = self.limits.duration;
        let mut committing = false;
        let outcome = match tokio::time::timeout(limit, self.transact(term, group, &mut committing)).await {
            Ok(outcome) => outcome,
            Err(_) if committing => Err(WriteError::Unknown),
            Err(_) => Err(WriteError::Failed(Failure::unknown(format!("not done within {limit:?}")))),
        };
        if let Err(error) = &outcome {
            tracing::debug!(%error, %term, "a batch was not committed");
            self.abort().await;
            if let WriteError::Superseded = error {
                self.authority.superseded(term);
            }
        }
        outcome
    }

    async fn transact(&mut self, term: Term, group: &[Job], committing: &mut bool) -> Result<(), WriteError> {
        let limit = self.limits.duration;
        let options = TransactionOptions::builder()
            .read_concern(ReadConcern::snapshot())
            .write_concern(WriteConcern::majority())
            .build();
        let session = &mut self.session;
        session.start_transaction().with_options(options).await.map_err(failed)?;
        let effects = group.iter().flat_map(|job| &job.batch.effects);
        let duty = group.first().map_or("", |job| job.batch.duty);
        for (mut command, expected) in effect::commands(effects) {
            // Whoever looks at what the database does sees for whom.
            command.insert("comment", format!("duty {duty}"));
            let matched = write_in(session, &self.database, command, limit).await;
            match (matched, expected) {
                (Ok(matched), Some(expected)) if matched != expected => return Err(WriteError::Stale),
                (Ok(_), _) => {}
                (Err(Failure::Duplicate), _) => return Err(WriteError::Stale),
                (Err(failure), _) => return Err(WriteError::Failed(failure)),
            }
        }
        let touched = write_in(session, &self.database, fence::touch(term), limit).await;
        if touched.map_err(WriteError::Failed)? == 0 {
            return Err(WriteError::Superseded);
        }
        if !self.authority.may_act(term) {
            return Err(WriteError::NotActing);
        }
        *committing = true;
        // A commit that was not answered is committed again: the server knows the transaction by its number.
        // The limit of the whole attempt ends this.
        loop {
            match session.commit_transaction().await.map_err(Failure::from) {
                Ok(()) => return Ok(()),
                Err(failure) if failure.commit_unknown() => {}
                Err(failure) if failure.transient() => return Err(WriteError::Failed(failure)),
                Err(_) => return Err(WriteError::Unknown),
            }
        }
    }

    async fn abort(&mut self) {
        // Nothing depends on it: an abort that does not arrive is made up for by the next transaction's number.
        let _aborted = tokio::time::timeout(self.limits.abort, self.session.abort_transaction()).await;
    }
}

fn failed(error: mongodb::error::Error) -> WriteError {
    WriteError::Failed(Failure::from(error))
}

fn answer(job: Job, outcome: Result<(), WriteError>) {
    // Whoever asked may have been cancelled; the outcome stands all the same.
    let _heard = job.reply.send(outcome);
}
