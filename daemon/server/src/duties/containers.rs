//! Removes containers that were marked as deleted a while ago.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_store::Containers;

use super::{Duty, DutyError, Leader, READ_LIMIT, TIDY_AFTER};

/// How long a deleted container stays to be seen.
const KEPT: Duration = Duration::from_secs(60);

pub(crate) struct DeletedContainers;

impl Duty for DeletedContainers {
    fn name(&self) -> &'static str {
        "containers"
    }

    fn after(&self) -> Duration {
        TIDY_AFTER
    }

    fn every(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            if leader.store.containers().has_deleted(KEPT, READ_LIMIT).await? {
                leader.commit(self.name(), vec![Containers::forget(KEPT)]).await?;
                Ok("removed those that were deleted".to_owned())
            } else {
                Ok("none to remove".to_owned())
            }
        }
        .boxed()
    }
}
