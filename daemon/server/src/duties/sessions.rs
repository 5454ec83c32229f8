//! Ends the sessions of nodes whose agents did not come back: those of masters that are gone, and those that were
//! lost. Until then a node counts as connected and keeps its containers, so that the loss of a master is nobody's
//! loss.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_core::clock::Clock;
use kontena_core::election::HolderId;
use kontena_store::{Effect, HostNodes};

use super::{Duty, DutyError, Leader, READ_LIMIT};
use crate::clock::SystemClock;

/// How long an agent may take to come back.
const GRACE: Duration = Duration::from_secs(20);
/// How long a node of an original master may be silent.
const STALE: Duration = Duration::from_secs(60);
/// How many nodes are given up in one transaction.
const TOGETHER: i64 = 50;

#[derive(Default)]
pub(crate) struct LostSessions {
    /// When this leader first saw that a holder of sessions is gone.
    gone_since: Mutex<HashMap<HolderId, Duration>>,
}

impl LostSessions {
    /// The holders that are gone for longer than the grace.
    fn dead(&self, leader: &Leader, holders: &[HolderId]) -> Vec<HolderId> {
        let now = SystemClock.now().monotonic;
        let picture = leader.picture.borrow();
        let gone = |holder: &HolderId| {
            let row = picture.rows.iter().find(|row| row.id == *holder);
            row.is_none_or(|row| row.ended || picture.roll.is_lost(now, *holder))
        };
        let mut since = self.gone_since.lock().unwrap_or_else(PoisonError::into_inner);
        // While the database does not answer nobody is known to be gone.
        if !picture.is_fresh(now) {
            since.clear();
            return Vec::new();
        }
        since.retain(|holder, _| holders.contains(holder) && gone(holder));
        for holder in holders.iter().filter(|holder| gone(holder)) {
            since.entry(*holder).or_insert(now);
        }
        since.iter().filter(|(_, at)| now.saturating_sub(**at) >= GRACE).map(|(holder, _)| *holder).collect()
    }
}

impl Duty for LostSessions {
    fn name(&self) -> &'static str {
        "sessions"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let nodes = leader.store.host_nodes();
            let holders = nodes.holders(READ_LIMIT).await?;
            let dead = self.dead(leader, &holders);
            let lost = nodes.lost(&dead, GRACE, STALE, TOGETHER, READ_LIMIT).await?;
            if lost.is_empty() {
                return Ok(format!("{} masters hold sessions, nobody is lost", holders.len()));
            }
            let effects: Vec<Effect> = lost.iter().flat_map(HostNodes::give_up).collect();
            leader.commit(self.name(), effects).await?;
            for node in &lost {
                tracing::info!(NODE = node.name, "did not come back: offline");
            }
            Ok(format!("{} nodes did not come back", lost.len()))
        }
        .boxed()
    }
}
