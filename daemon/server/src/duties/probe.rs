//! Writes a batch of three rows as often as it can, to be judged by: it exists for measurements and runs only
//! when asked for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_core::clock::Clock;
use kontena_store::ProbeRow;

use super::{Duty, DutyError, Leader};
use crate::clock::SystemClock;

const PARTS: u64 = 3;

pub(crate) struct Probe {
    every: Duration,
    batches: AtomicU64,
    /// When the batch before was acknowledged, if it was.
    before: Mutex<Option<Duration>>,
}

impl Probe {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, batches: AtomicU64::new(0), before: Mutex::new(None) }
    }
}

impl Duty for Probe {
    fn name(&self) -> &'static str {
        "probe"
    }

    fn every(&self) -> Duration {
        self.every
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let batch = self.batches.fetch_add(1, Ordering::Relaxed) + 1;
            let before = self.before.lock().unwrap_or_else(PoisonError::into_inner).take();
            let rows = (1..=PARTS).map(|part| ProbeRow { term: leader.term, batch, part, before }.insert());
            leader.commit(self.name(), rows.collect()).await?;
            let acknowledged = SystemClock.now().boottime;
            *self.before.lock().unwrap_or_else(PoisonError::into_inner) = Some(acknowledged);
            Ok(format!("batch {batch}"))
        }
        .boxed()
    }
}
