//! Marks masters that were lost as ended, ends what they left open, and forgets those that ended long ago.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_core::clock::Clock;
use kontena_store::{Effect, Masters};

use super::{Duty, DutyError, Leader, READ_LIMIT};
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
            // Also of who was found dead by its service manager. Their work is taken up by now, and would wait for them.
            let dead = picture.rows.iter().filter(|row| row.lost).chain(lost.iter().copied());
            match leader.store.end_transactions_of(dead.map(|row| row.id), READ_LIMIT).await {
                Ok(0) => {}
                Ok(open) => tracing::info!(open, "ended transactions that lost masters had left open"),
                // The database ends them itself, later.
                Err(failure) => tracing::warn!(%failure, "what lost masters left open could not be ended"),
            }
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
