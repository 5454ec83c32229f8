//! When the database takes writes, as an outsider sees it: how long a lost primary stopped everybody.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use mongodb::bson::{Document, doc};
use mongodb::options::{ClientOptions, WriteConcern};
use mongodb::{Client, Collection};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::clock;

const EVERY: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_millis(400);
/// The same while packets are slow: a new connection alone takes several round trips.
const PATIENCE_SLOW: Duration = Duration::from_secs(5);

/// Writes all the time, and remembers when that succeeded.
pub(crate) struct Writable {
    acknowledged: Arc<Mutex<Vec<Duration>>>,
    slow: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Writable {
    pub(crate) async fn watch(uri: &str) -> Result<Self> {
        let mut options = ClientOptions::parse(uri).await?;
        options.heartbeat_freq = Some(Duration::from_millis(500));
        options.retry_writes = Some(false);
        let patient = |patience| {
            let mut options = options.clone();
            options.server_selection_timeout = Some(patience);
            options.connect_timeout = Some(patience);
            Client::with_options(options).map(|client| client.database("outside").collection("writes"))
        };
        let collections = [patient(PATIENCE)?, patient(PATIENCE_SLOW)?];
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let slow = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(write(collections, Arc::clone(&acknowledged), Arc::clone(&slow)));
        Ok(Self { acknowledged, slow, task })
    }

    /// Whether the network is slow by intent.
    pub(crate) fn expect_slow(&self, slow: bool) {
        self.slow.store(slow, Ordering::Relaxed);
    }

    /// The times between `from` and `to` without an acknowledged write that were longer than `pace`, in their order.
    pub(crate) fn gaps(&self, from: Duration, to: Duration, pace: Duration) -> Vec<Range<Duration>> {
        let acknowledged = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let within = acknowledged.iter().copied().filter(|at| (from..=to).contains(at));
        let ends: Vec<Duration> = within.chain([to]).collect();
        let begins = [from].into_iter().chain(ends.iter().copied());
        begins.zip(&ends).map(|(begin, end)| begin..*end).filter(|gap| gap.end > gap.start + pace).collect()
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write(
    [quick, patient]: [Collection<Document>; 2],
    acknowledged: Arc<Mutex<Vec<Duration>>>,
    slow: Arc<AtomicBool>,
) {
    loop {
        let slow = slow.load(Ordering::Relaxed);
        let (collection, patience) = if slow { (&patient, PATIENCE_SLOW) } else { (&quick, PATIENCE) };
        let sent = clock::now();
        let write = collection.insert_one(doc! {}).write_concern(WriteConcern::majority());
        if let Ok(Ok(_)) = timeout(patience, async { write.await }).await {
            // What was sent before a fault may be acknowledged after it: the time of sending counts.
            acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
        }
        sleep(EVERY).await;
    }
}
