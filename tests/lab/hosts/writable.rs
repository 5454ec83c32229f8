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

/// When a write was sent and when it was acknowledged, by boot time.
type Writes = Arc<Mutex<Vec<Range<Duration>>>>;

/// Writes all the time, and remembers when that succeeded.
pub(crate) struct Writable {
    acknowledged: Writes,
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

    /// The times between `from` and `to` in which `pace` passed from one acknowledgement to the next, in their order. What
    /// was sent before a fault may be acknowledged after it: such a time begins when the last write before it was sent.
    pub(crate) fn gaps(&self, from: Duration, to: Duration, pace: Duration) -> Vec<Range<Duration>> {
        gaps(&self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner), from, to, pace)
    }
}

fn gaps(writes: &[Range<Duration>], from: Duration, to: Duration, pace: Duration) -> Vec<Range<Duration>> {
    let within = writes.iter().filter(|write| (from..=to).contains(&write.start));
    let mut last = from..from;
    let mut gaps = Vec::new();
    for write in within.cloned().chain([to..to]) {
        if write.end > last.end + pace {
            gaps.push(last.start..write.end.min(to));
        }
        last = write;
    }
    gaps
}

impl Drop for Writable {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn write([quick, patient]: [Collection<Document>; 2], acknowledged: Writes, slow: Arc<AtomicBool>) {
    loop {
        let slow = slow.load(Ordering::Relaxed);
        let (collection, patience) = if slow { (&patient, PATIENCE_SLOW) } else { (&quick, PATIENCE) };
        let sent = clock::now();
        let write = collection.insert_one(doc! {}).write_concern(WriteConcern::majority());
        if let Ok(Ok(_)) = timeout(patience, async { write.await }).await {
            acknowledged.lock().unwrap_or_else(PoisonError::into_inner).push(sent..clock::now());
        }
        sleep(EVERY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_database_is_back_when_it_acknowledges_and_was_away_since_it_was_last_asked_with_success() {
        let ms = Duration::from_millis;
        let writes = [(90, 95), (120, 180), (1750, 2100), (2120, 2450), (2460, 2465)];
        let writes = writes.map(|(sent, acknowledged)| ms(sent)..ms(acknowledged));
        assert_eq!(gaps(&writes, ms(100), ms(2500), ms(500)), [ms(120)..ms(2100)]);
        assert_eq!(gaps(&writes, ms(100), ms(1900), ms(500)), [ms(120)..ms(1900)], "whoever asks in between");
        assert_eq!(gaps(&writes, ms(2110), ms(3000), ms(500)), [ms(2460)..ms(3000)]);
        // Just elected, it acknowledges whenever its members tell each other how far they are, however late each was sent.
        for sent in [2030, 2090] {
            let writes = [(90, 95), (sent, 2100), (2540, 2600), (2620, 2625)];
            let writes = writes.map(|(sent, acknowledged)| ms(sent)..ms(acknowledged));
            assert_eq!(gaps(&writes, ms(90), ms(2700), ms(450)), [ms(90)..ms(2100), ms(sent)..ms(2600)]);
        }
        assert_eq!(gaps(&[], ms(100), ms(400), ms(500)), []);
    }
}
