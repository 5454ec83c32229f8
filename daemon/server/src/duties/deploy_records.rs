//! Forgets deploys that ended long ago: of each service the latest hundred are kept.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_store::Overfull;

use super::{Duty, DutyError, Leader, READ_LIMIT, TIDY_AFTER};

/// Of how many services they are removed in one run.
const TOGETHER: i64 = 50;

pub(crate) struct DeployRecords;

impl Duty for DeployRecords {
    fn name(&self) -> &'static str {
        "deploy_records"
    }

    fn after(&self) -> Duration {
        TIDY_AFTER
    }

    fn every(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let overfull = leader.store.old_deploys().overfull(TOGETHER, READ_LIMIT).await?;
            if !overfull.is_empty() {
                leader.commit(self.name(), overfull.iter().map(Overfull::forget).collect()).await?;
            }
            Ok(format!("removed old ones of {} services", overfull.len()))
        }
        .boxed()
    }
}
