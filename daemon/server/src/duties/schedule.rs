//! Duties with long pauses: each runs at its time whoever leads by then, since its last run stands in the database.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use kontena_store::LastRun;

use super::{DutyError, Leader, READ_LIMIT};

/// When such a duty is due.
pub(super) struct Schedule {
    duty: &'static str,
    every: Duration,
    /// Until it is due again, as far as the last look showed.
    left: Mutex<Duration>,
}

/// Whether it is.
pub(super) enum Due {
    /// Its effects must be committed with those of [`LastRun::now`].
    Now(LastRun),
    /// What is to be reported of that.
    NotYet(String),
}

impl Schedule {
    pub(super) fn new(duty: &'static str, every: Duration) -> Self {
        Self { duty, every, left: Mutex::new(every) }
    }

    /// Until the next look.
    pub(super) fn pause(&self) -> Duration {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks whether the duty is due. After its run the whole time begins anew.
    pub(super) async fn look(&self, leader: &Leader) -> Result<Due, DutyError> {
        let last = leader.store.schedules().last(self.duty, READ_LIMIT).await?;
        let left = last.ago.and_then(|ago| self.every.checked_sub(ago)).filter(|left| !left.is_zero());
        let pause = left.unwrap_or(self.every);
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = pause;
        Ok(match (left, last.ago) {
            (Some(_), Some(ago)) => Due::NotYet(format!("ran {} min ago", ago.as_secs() / 60)),
            _ => Due::Now(last),
        })
    }
}
