//! Marks masters that were lost as ended, and forgets those that ended long ago.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_core::clock::Clock;
use kontena_store::{Effect, Masters};

use super::{Duty, DutyError, Leader};
use crate::clock::SystemClock;
use crate::events;

/// How long an ended master stays to be seen.
const FORGET_AFTER: Duration = Duration::from_secs(3600);

pub(crate) struct EndedMasters;

impl Duty for EndedMasters {
    fn name(&self) -> &'static str {
        "masters"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(5)
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let now = SystemClock.now().monotonic;
            let picture = leader.picture.borrow().clone();
            let lost: Vec<_> =
                picture.rows.iter().filter(|row| !row.ended && picture.roll.is_lost(now, row.id)).collect();
            let names: Vec<&str> = lost.iter().map(|row| row.name.as_str()).collect();
            let ended = picture.rows.iter().filter(|row| row.ended).count();
            let mut effects: Vec<Effect> = lost.iter().map(|row| Masters::end(row.id, row.seq)).collect();
            if ended > 0 {
                let claimers = leader.store.claimers().await?;
                effects.push(Masters::forget(FORGET_AFTER, &claimers));
            }
            if !effects.is_empty() {
                leader.commit(self.name(), effects).await?;
            }
            Ok(if names.is_empty() {
                format!("{} masters, {ended} of them ended", picture.rows.len())
            } else {
                tracing::warn!(MESSAGE_ID = events::MASTER_LOST, masters = names.join(", "), "lost");
                format!("marked as ended: {}", names.join(", "))
            })
        }
        .boxed()
    }
}
