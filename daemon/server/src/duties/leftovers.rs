//! Removes what refers to something that is gone, since it was written while that was being removed.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::{Duty, DutyError, Leader, READ_LIMIT, TIDY_AFTER};

/// How many of each kind are removed in one run.
const TOGETHER: i64 = 100;

pub(crate) struct Leftovers;

impl Duty for Leftovers {
    fn name(&self) -> &'static str {
        "leftovers"
    }

    fn after(&self) -> Duration {
        TIDY_AFTER
    }

    fn every(&self) -> Duration {
        Duration::from_secs(300)
    }

    fn deadline(&self) -> Duration {
        READ_LIMIT * 8
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let found = leader.store.leftovers(TOGETHER, READ_LIMIT).await?;
            let effects = found.clear();
            if !effects.is_empty() {
                leader.commit(self.name(), effects).await?;
            }
            Ok(format!("{} removed", found.count()))
        }
        .boxed()
    }
}
