//! A lease store that takes the time of each call.

use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_core::election::{Answer, Command, LeaseStore, RaiseAnswer, Term};

use super::SharedMetrics;
use crate::clock::SystemClock;

/// `L`, measured. A call that nobody waits for any more counts as unknown.
pub(crate) struct Measured<L> {
    pub(crate) lease: L,
    pub(crate) metrics: SharedMetrics,
}

impl<L: LeaseStore> LeaseStore for Measured<L> {
    async fn execute(&self, command: Command, limit: Duration) -> Answer {
        let mut call = Call::begin(&self.metrics, name(&command));
        let answer = self.lease.execute(command, limit).await;
        call.answered = answer != Answer::Unknown;
        answer
    }

    async fn raise(&self, term: Term, limit: Duration) -> RaiseAnswer {
        let mut call = Call::begin(&self.metrics, "raise");
        let answer = self.lease.raise(term, limit).await;
        call.answered = answer != RaiseAnswer::Unknown;
        answer
    }
}

fn name(command: &Command) -> &'static str {
    match command {
        Command::Look => "look",
        Command::Create => "create",
        Command::Acquire { .. } => "acquire",
        Command::Renew { .. } => "renew",
        Command::Release { .. } => "release",
        Command::Raise { .. } => "raise",
    }
}

/// Counted when it is dropped, since a call that passed its limit just is.
struct Call<'a> {
    metrics: &'a SharedMetrics,
    name: &'static str,
    began: Duration,
    answered: bool,
}

impl<'a> Call<'a> {
    fn begin(metrics: &'a SharedMetrics, name: &'static str) -> Self {
        Self { metrics, name, began: SystemClock.now().monotonic, answered: false }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let took = SystemClock.now().monotonic.saturating_sub(self.began);
        self.metrics.call(self.name, self.answered, took);
    }
}
