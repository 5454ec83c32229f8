//! Removes nodes that were meant to go: those with the label `ephemeral` that were not seen for hours, are no
//! members of etcd and hold nothing that would be lost with them.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_store::{Effect, HostNodes};

use super::schedule::{Due, Schedule};
use super::{Duty, DutyError, Leader, READ_LIMIT, TIDY_AFTER};

const NAME: &str = "ephemeral_nodes";
/// How long such a node may be away.
const AWAY: Duration = Duration::from_secs(6 * 3600);
/// How many are removed in one transaction.
const TOGETHER: usize = 20;

pub(crate) struct EphemeralNodes {
    schedule: Schedule,
}

impl Default for EphemeralNodes {
    fn default() -> Self {
        Self { schedule: Schedule::new(NAME, Duration::from_secs(3600)) }
    }
}

impl Duty for EphemeralNodes {
    fn name(&self) -> &'static str {
        NAME
    }

    fn after(&self) -> Duration {
        TIDY_AFTER
    }

    fn every(&self) -> Duration {
        self.schedule.pause()
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let last = match self.schedule.look(leader).await? {
                Due::Now(last) => last,
                Due::NotYet(report) => return Ok(report),
            };
            let gone = leader.store.host_nodes().ephemeral(AWAY, READ_LIMIT).await?;
            let mut batches: Vec<Vec<Effect>> = gone
                .chunks(TOGETHER)
                .map(|some| some.iter().flat_map(HostNodes::remove_ephemeral).collect())
                .collect();
            // With the last of them the run is over; one that is cut off before is repeated by whoever leads then.
            match batches.last_mut() {
                Some(batch) => batch.push(last.now(leader.term)),
                None => batches.push(vec![last.now(leader.term)]),
            }
            for effects in batches {
                leader.commit(NAME, effects).await?;
            }
            Ok(format!("{} nodes removed", gone.len()))
        }
        .boxed()
    }
}
