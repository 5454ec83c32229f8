//! Judges a run from outside: by the database's own order of events, and by what the masters say of themselves.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::StreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::{ChangeStreamEvent, OperationType, ResumeToken};
use mongodb::error::ErrorKind;
use mongodb::options::ClientOptions;
use mongodb::{Client, Database};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock;

/// The longest time without an event after which the stream is opened again.
const SILENCE_MAX: Duration = Duration::from_millis(500);
/// The same while packets are slow: to open it takes several round trips, which must not be begun anew all the time.
const SILENCE_MAX_SLOW: Duration = Duration::from_secs(5);
/// Before the stream is opened again.
const REOPEN: Duration = Duration::from_millis(20);
/// How many rows a probe batch has.
const PARTS: u64 = 3;

/// Watches the database of the masters for as long as it lives.
pub(crate) struct Judge {
    record: Arc<Mutex<Record>>,
    latest: watch::Receiver<Latest>,
    slow: Arc<AtomicBool>,
    task: JoinHandle<()>,
    client: Client,
}

/// The last probe batch that was seen whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Latest {
    pub(crate) term: u64,
    pub(crate) batch: u64,
    /// When it was seen, by boot time.
    pub(crate) at: Duration,
}

/// All that was seen.
#[derive(Debug, Default)]
struct Record {
    fence: u64,
    stale_effects: u64,
    batches: HashMap<(u64, u64), u64>,
    /// When each batch was acknowledged or seen whole, whichever was known to be earlier, in that order, with its term.
    whole: Vec<(Duration, u64)>,
    failure: Option<String>,
}

impl Judge {
    /// Begins to watch the database `name` of the replica set at `uri`.
    pub(crate) async fn start(uri: &str, name: &str) -> Result<Self> {
        let mut options = ClientOptions::parse(uri).await?;
        options.heartbeat_freq = Some(Duration::from_millis(500));
        // Longer than the slowest network that a scenario makes.
        options.connect_timeout = Some(Duration::from_secs(2));
        options.server_selection_timeout = Some(Duration::from_secs(3));
        let client = Client::with_options(options)?;
        let database = client.database(name);
        let stream = open(&database, None).await.context("cannot watch the database")?;
        let record = Arc::new(Mutex::new(Record::default()));
        let (sender, latest) = watch::channel(Latest::default());
        let slow = Arc::new(AtomicBool::new(false));
        let follower =
            Follower { database, record: Arc::clone(&record), latest: sender, slow: Arc::clone(&slow) };
        let task = tokio::spawn(follower.follow(stream));
        Ok(Self { record, latest, slow, task, client })
    }

    /// Whether the network is slow by intent.
    pub(crate) fn expect_slow(&self, slow: bool) {
        self.slow.store(slow, Ordering::Relaxed);
    }

    /// The last whole batch.
    pub(crate) fn latest(&self) -> Latest {
        *self.latest.borrow()
    }

    /// Waits for a whole batch that satisfies `wanted`.
    pub(crate) async fn wait_for(
        &self,
        what: &str,
        within: Duration,
        wanted: impl Fn(&Latest) -> bool,
    ) -> Result<Latest> {
        let mut latest = self.latest.clone();
        match tokio::time::timeout(within, latest.wait_for(|latest| wanted(latest))).await {
            Ok(Ok(latest)) => Ok(*latest),
            Ok(Err(_)) => bail!("the judge has ended: {}", self.record().failure.clone().unwrap_or_default()),
            Err(_) => bail!("no {what} within {within:?}; the last batch was {:?}", self.latest()),
        }
    }

    /// When the first whole batch of a term was there. Known best once its second one was seen.
    pub(crate) fn first_of_term(&self, wanted: u64) -> Option<Duration> {
        self.record().whole.iter().find(|(_, term)| *term == wanted).map(|(at, _)| *at)
    }

    /// When the first whole batch after `moment` was there.
    pub(crate) fn first_after(&self, moment: Duration) -> Option<Duration> {
        let record = self.record();
        record.whole.get(record.whole.partition_point(|(at, _)| *at <= moment)).map(|(at, _)| *at)
    }

    /// The longest time between `from` and `to` in which no batch became whole.
    pub(crate) fn longest_gap(&self, from: Duration, to: Duration) -> Range<Duration> {
        let record = self.record();
        let within = record.whole.iter().map(|(at, _)| *at).filter(|at| (from..=to).contains(at));
        let ends: Vec<Duration> = within.chain([to]).collect();
        let begins = [from].into_iter().chain(ends.iter().copied());
        let gaps = begins.zip(&ends).map(|(begin, end)| begin..*end);
        gaps.max_by_key(|gap| gap.end.saturating_sub(gap.start)).unwrap_or(from..to)
    }

    /// Rows that appeared after the fence rose above their term.
    pub(crate) fn stale_effects(&self) -> u64 {
        self.record().stale_effects
    }

    /// Batches of which not all rows appeared. To be asked when nothing is written any more.
    pub(crate) fn torn_batches(&self) -> u64 {
        let torn = self.record().batches.values().filter(|rows| **rows != PARTS).count();
        u64::try_from(torn).unwrap_or(u64::MAX)
    }

    /// Ends the watch.
    pub(crate) async fn stop(self) {
        self.task.abort();
        // It was just told to end.
        let _ended = self.task.await;
        self.client.shutdown().immediate(true).await;
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        locked(&self.record)
    }
}

fn locked(record: &Mutex<Record>) -> MutexGuard<'_, Record> {
    record.lock().unwrap_or_else(PoisonError::into_inner)
}

type Stream = ChangeStream<ChangeStreamEvent<Document>>;

async fn open(database: &Database, token: Option<ResumeToken>) -> mongodb::error::Result<Stream> {
    let pipeline = [doc! { "$match": { "ns.coll": { "$in": ["probe", "fences"] } } }];
    database.watch().pipeline(pipeline).resume_after(token).await
}

/// What follows the stream.
struct Follower {
    database: Database,
    record: Arc<Mutex<Record>>,
    latest: watch::Sender<Latest>,
    slow: Arc<AtomicBool>,
}

impl Follower {
    /// Follows the stream over its failures: opened again where it stood, it misses nothing and repeats nothing.
    async fn follow(self, mut stream: Stream) {
        let mut token = stream.resume_token();
        loop {
            match tokio::time::timeout(self.silence_max(), stream.next()).await {
                Ok(Some(Ok(event))) => {
                    let at = clock::now();
                    token = Some(event.id.clone());
                    if let Some(whole) = locked(&self.record).take_in(&event, at) {
                        self.latest.send_replace(whole);
                    }
                    continue;
                }
                Ok(Some(Err(error))) if !may_be_reopened(&error) => {
                    locked(&self.record).failure = Some(error.to_string());
                    return;
                }
                // The stream may be silent since nothing happens, or since the database cannot go on with it.
                Ok(_) | Err(_) => {}
            }
            drop(stream);
            stream = loop {
                match tokio::time::timeout(self.silence_max(), open(&self.database, token.clone())).await {
                    Ok(Ok(stream)) => break stream,
                    Ok(Err(_)) | Err(_) => tokio::time::sleep(REOPEN).await,
                }
            };
        }
    }

    fn silence_max(&self) -> Duration {
        if self.slow.load(Ordering::Relaxed) { SILENCE_MAX_SLOW } else { SILENCE_MAX }
    }
}

/// Whether the same place in the stream may still be there.
fn may_be_reopened(error: &mongodb::error::Error) -> bool {
    // ChangeStreamHistoryLost, ChangeStreamFatalError
    !matches!(&*error.kind, ErrorKind::Command(command) if matches!(command.code, 280 | 286))
}

impl Record {
    fn take_in(&mut self, event: &ChangeStreamEvent<Document>, at: Duration) -> Option<Latest> {
        let collection = event.ns.as_ref().and_then(|ns| ns.coll.as_deref());
        match (collection, &event.operation_type) {
            (Some("fences"), OperationType::Insert | OperationType::Replace) => {
                self.raise(event.full_document.as_ref().and_then(|fence| number(fence, "term")));
                None
            }
            (Some("fences"), OperationType::Update) => {
                let updated = event.update_description.as_ref().map(|update| &update.updated_fields);
                self.raise(updated.and_then(|fields| number(fields, "term")));
                None
            }
            (Some("probe"), OperationType::Insert) => {
                let row = event.full_document.as_ref()?;
                let (term, batch) = (number(row, "term")?, number(row, "batch")?);
                self.stale_effects += u64::from(term < self.fence);
                self.date(term, number(row, "before_us"));
                let rows = self.batches.entry((term, batch)).or_default();
                *rows += 1;
                (*rows == PARTS).then(|| {
                    self.whole.push((at, term));
                    Latest { term, batch, at }
                })
            }
            _ => None,
        }
    }

    /// The leader itself knows best when the batch before this one was acknowledged: it may be seen late.
    fn date(&mut self, term: u64, before_us: Option<u64>) {
        if let Some(before) = before_us.map(Duration::from_micros)
            && let Some((at, of)) = self.whole.last_mut()
            && *of == term
        {
            *at = before.min(*at);
        }
    }

    fn raise(&mut self, term: Option<u64>) {
        self.fence = self.fence.max(term.unwrap_or(0));
    }
}

fn number(document: &Document, key: &str) -> Option<u64> {
    match document.get(key)? {
        Bson::Int64(value) => u64::try_from(*value).ok(),
        Bson::Int32(value) => u64::try_from(*value).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_that_is_seen_late_is_dated_by_its_leader() {
        let ms = Duration::from_millis;
        let mut record = Record { whole: vec![(ms(100), 3), (ms(900), 4)], ..Record::default() };
        record.date(5, Some(150_000));
        record.date(4, None);
        record.date(4, Some(950_000));
        assert_eq!(record.whole, [(ms(100), 3), (ms(900), 4)], "of another term, unknown, or known better");
        record.date(4, Some(500_000));
        assert_eq!(record.whole[1].0, ms(500));
    }
}
