//! Logs that are followed: one JSON object in each chunk, a space when nothing comes, and no end.
//!
//! The command line reads on after a connection that ended in the middle of its body, and gives up after any other
//! end; so a stopping master ends the stream with an error.
//!
//! Several masters write into one log, and the ids of entries order them only as well as their clocks agree. So
//! what was written in the last seconds is read again, and what was sent already is passed over.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::future::BoxFuture;
use futures_util::stream;
use kontena_core::id::Id;
use kontena_store::{Failure, Page};
use tokio_util::sync::CancellationToken;

use super::answer::{JSON, typed};

/// How many entries are read at once after the first batch.
const BATCH: i64 = 300;
/// Before the next look for new entries, if the last one brought some: there may be more already.
const LOOK_ON: Duration = Duration::from_millis(100);
/// Before the next look after one that brought none, and so between two signs of life.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// After so many failed looks the client had better ask another master.
const FAILURES_MAX: u32 = 20;
/// How far the ids of two masters may be apart, in seconds.
const APART: u32 = 3;
/// How many entries are remembered to have been sent.
const SENT_MAX: usize = 2_000;
const ALIVE: Bytes = Bytes::from_static(b" ");

/// An entry, ready to be sent.
pub(super) struct Entry {
    pub(super) id: Id,
    pub(super) json: Vec<u8>,
}

struct State<F> {
    next: F,
    place: Place,
    stopping: CancellationToken,
    waiting: VecDeque<Bytes>,
    failures: u32,
    /// Before the next look. None: it is the first.
    pause: Option<Duration>,
    ended: bool,
}

/// An endless answer from the pages that `next` reads.
pub(super) fn follow<F>(stopping: CancellationToken, page: Page, limit: i64, next: F) -> Response
where
    F: Fn(Page, i64) -> BoxFuture<'static, Result<Vec<Entry>, Failure>> + Send + Sync + 'static,
{
    let chunks = stream::unfold(State::new(stopping, page, limit, next), |mut state| async move {
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
    F: Fn(Page, i64) -> BoxFuture<'static, Result<Vec<Entry>, Failure>>,
{
    fn new(stopping: CancellationToken, page: Page, limit: i64, next: F) -> Self {
        let (place, waiting) = (Place::new(page, limit), VecDeque::new());
        Self { next, place, stopping, waiting, failures: 0, pause: None, ended: false }
    }

    /// The first chunk of what has come meanwhile, or a sign of life.
    async fn look(&mut self) -> io::Result<Bytes> {
        let end = || Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the log goes on elsewhere"));
        if let Some(pause) = self.pause.replace(LOOK_EVERY) {
            tokio::select! {
                () = self.stopping.cancelled() => return end(),
                () = tokio::time::sleep(pause) => {}
            }
        }
        let (page, limit) = self.place.next();
        let found = tokio::select! {
            () = self.stopping.cancelled() => return end(),
            found = (self.next)(page, limit) => found,
        };
        match found {
            Ok(mut entries) => {
                self.failures = 0;
                entries.retain(|entry| self.place.is_new(entry.id));
                if !entries.is_empty() {
                    self.pause = Some(LOOK_ON);
                }
                self.place.sent(entries.iter().map(|entry| entry.id));
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

/// How far a log has been read.
struct Place {
    first: (Page, i64),
    /// Nothing up to here is of interest any more.
    floor: Option<Id>,
    /// What was sent of what is above.
    sent: BTreeSet<Id>,
    /// Whether anything was sent at all.
    begun: bool,
}

impl Place {
    fn new(page: Page, limit: i64) -> Self {
        let floor = match page {
            Page::After(id) => Some(id),
            Page::Newest | Page::Since(_) => None,
        };
        Self { first: (page, limit), floor, sent: BTreeSet::new(), begun: false }
    }

    /// What to read next. As long as nothing came, the first question is asked again.
    fn next(&self) -> (Page, i64) {
        match self.floor {
            Some(floor) if self.begun => {
                (Page::After(floor), BATCH.saturating_add(i64::try_from(self.sent.len()).unwrap_or(0)))
            }
            _ => self.first,
        }
    }

    fn is_new(&self, id: Id) -> bool {
        !self.sent.contains(&id)
    }

    fn sent(&mut self, ids: impl IntoIterator<Item = Id>) {
        self.sent.extend(ids);
        let (Some(oldest), Some(newest)) = (self.sent.first().copied(), self.sent.last()) else { return };
        let mut floor = self.floor.unwrap_or(oldest).max(seconds_before(*newest, APART));
        if let Some(surplus) = self.sent.len().checked_sub(SENT_MAX + 1) {
            floor = self.sent.iter().nth(surplus).copied().unwrap_or(floor).max(floor);
        }
        self.sent = self.sent.split_off(&floor);
        self.sent.remove(&floor);
        (self.floor, self.begun) = (Some(floor), true);
    }
}

/// The least id that was made so many seconds before another.
fn seconds_before(id: Id, seconds: u32) -> Id {
    let mut bytes = [0; 12];
    let [one, two, three, four, ..] = id.bytes();
    let at = u32::from_be_bytes([one, two, three, four]).saturating_sub(seconds);
    let (time, _) = bytes.split_at_mut(4);
    time.copy_from_slice(&at.to_be_bytes());
    Id::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn id(second: u32, rest: u8) -> Id {
        let mut bytes = [rest; 12];
        bytes[..4].copy_from_slice(&second.to_be_bytes());
        Id::from_bytes(bytes)
    }

    /// Reads as the database does.
    fn read(log: &BTreeSet<Id>, (page, limit): (Page, i64)) -> Vec<Id> {
        let limit = usize::try_from(limit).unwrap();
        match page {
            Page::After(after) => log.iter().copied().filter(|id| *id > after).take(limit).collect(),
            Page::Newest | Page::Since(_) => {
                let mut newest: Vec<Id> = log.iter().rev().copied().take(limit).collect();
                newest.reverse();
                newest
            }
        }
    }

    fn look(place: &mut Place, log: &BTreeSet<Id>) -> Vec<Id> {
        let mut found = read(log, place.next());
        found.retain(|id| place.is_new(*id));
        place.sent(found.iter().copied());
        found
    }

    #[test]
    fn what_another_master_writes_a_little_late_is_not_lost_and_nothing_comes_twice() {
        let mut log: BTreeSet<Id> = (0..10).map(|number| id(100, number)).collect();
        let mut place = Place::new(Page::Newest, 3);
        assert_eq!(look(&mut place, &log), [id(100, 7), id(100, 8), id(100, 9)]);
        log.extend([id(102, 5), id(103, 1)]);
        assert_eq!(look(&mut place, &log), [id(102, 5), id(103, 1)]);
        // Of a master whose clock is behind.
        log.extend([id(101, 1), id(102, 4)]);
        assert_eq!(look(&mut place, &log), [id(101, 1), id(102, 4)]);
        log.insert(id(110, 1));
        assert_eq!(look(&mut place, &log), [id(110, 1)]);
        assert_eq!(place.sent.len(), 1, "what is long ago is forgotten");
        assert_eq!(look(&mut place, &log), []);
    }

    #[test]
    fn a_rush_is_read_in_batches_to_its_end() {
        let log: BTreeSet<Id> = (0..20_000_u32)
            .map(|number| {
                let mut bytes = [0; 12];
                bytes[..4].copy_from_slice(&100_u32.to_be_bytes());
                bytes[8..].copy_from_slice(&number.to_be_bytes());
                Id::from_bytes(bytes)
            })
            .collect();
        let first = *log.first().unwrap();
        let mut place = Place::new(Page::After(first), 100);
        let mut all = vec![first];
        loop {
            let found = look(&mut place, &log);
            if found.is_empty() {
                break;
            }
            assert!(found.len() <= 300 && place.sent.len() <= SENT_MAX);
            all.extend(found);
        }
        assert!(all.iter().eq(log.iter()));
    }

    #[tokio::test]
    async fn a_rush_is_followed_faster_than_silence() {
        let looks = AtomicU32::new(0);
        let rush = move |_: Page, _: i64| -> BoxFuture<'static, Result<Vec<Entry>, Failure>> {
            let second = looks.fetch_add(1, Ordering::Relaxed);
            let count = if second < 4 { 250 } else { 0 };
            let entry = |number| Entry { id: id(second, number), json: b"{}".to_vec() };
            Box::pin(ready(Ok((0..count).map(entry).collect())))
        };
        let mut state = State::new(CancellationToken::new(), Page::Newest, 250, rush);
        let begun = tokio::time::Instant::now();
        for _ in 0..4 {
            assert_eq!(state.look().await.unwrap(), "{}");
            assert_eq!(state.waiting.len(), 250, "the rest, and a sign of life");
            state.waiting.clear();
        }
        let took = begun.elapsed();
        assert!(took >= 3 * LOOK_ON && took < 3 * LOOK_EVERY, "{took:?}");
        assert_eq!(state.look().await.unwrap(), ALIVE);
        assert_eq!(state.pause, Some(LOOK_EVERY));
    }

    #[test]
    fn an_empty_log_is_asked_the_same_again() {
        let mut place = Place::new(Page::Newest, 7);
        assert_eq!(look(&mut place, &BTreeSet::new()), []);
        assert_eq!(place.next(), (Page::Newest, 7));
    }
}
