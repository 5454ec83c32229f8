//! Logs that are followed: one JSON object in each chunk, a space when nothing comes, and no end.
//!
//! The command line reads on after a connection that ended in the middle of its body, and gives up after any other
//! end; so a stopping master ends the stream with an error.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::stream;
use kontena_core::id::Id;
use kontena_store::Failure;
use tokio_util::sync::CancellationToken;

use super::answer::{JSON, typed};

/// How many entries are read at once after the first batch.
pub(super) const BATCH: i64 = 300;
/// Between two looks for new entries, and between two signs of life.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After so many failed looks the client had better ask another master.
const FAILURES_MAX: u32 = 20;
const ALIVE: Bytes = Bytes::from_static(b" ");

/// An entry, ready to be sent.
pub(super) struct Entry {
    pub(super) id: Id,
    pub(super) json: Vec<u8>,
}

struct State<F> {
    next: F,
    stopping: CancellationToken,
    waiting: VecDeque<Bytes>,
    last: Option<Id>,
    failures: u32,
    started: bool,
    ended: bool,
}

/// An endless answer from what `next` finds after an id.
pub(super) fn follow<F>(stopping: CancellationToken, next: F) -> Response
where
    F: Fn(Option<Id>) -> BoxFuture<'static, Result<Vec<Entry>, Failure>> + Send + Sync + 'static,
{
    let state = State {
        next,
        stopping,
        waiting: VecDeque::new(),
        last: None,
        failures: 0,
        started: false,
        ended: false,
    };
    let chunks = stream::unfold(state, |mut state| async move {
        if state.ended {
            return None;
        }
        let chunk = match state.waiting.pop_front() {
            Some(chunk) => Ok(chunk),
            None => state.look().await,
        };
        state.ended = chunk.is_err();
        Some((chunk, state))
    });
    typed(StatusCode::OK, JSON, Body::from_stream(chunks))
}

impl<F> State<F>
where
    F: Fn(Option<Id>) -> BoxFuture<'static, Result<Vec<Entry>, Failure>>,
{
    /// The first chunk of what has come meanwhile, or a sign of life.
    async fn look(&mut self) -> io::Result<Bytes> {
        let end = || Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the log goes on elsewhere"));
        if self.started {
            tokio::select! {
                () = self.stopping.cancelled() => return end(),
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
        self.started = true;
        let found = tokio::select! {
            () = self.stopping.cancelled() => return end(),
            found = (self.next)(self.last) => found,
        };
        match found {
            Ok(entries) => {
                self.failures = 0;
                self.last = entries.last().map(|entry| entry.id).or(self.last);
                self.waiting.extend(entries.into_iter().map(|entry| Bytes::from(entry.json)));
                self.waiting.push_back(ALIVE);
            }
            Err(failure) => {
                tracing::debug!(%failure, "a followed log waits for the database");
                self.failures += 1;
                if self.failures > FAILURES_MAX {
                    return end();
                }
            }
        }
        Ok(self.waiting.pop_front().unwrap_or(ALIVE))
    }
}
