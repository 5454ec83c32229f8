//! Keeps masters of the original from leading beside ours, and notices when one runs.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_store::OriginalLock;

use super::{Duty, DutyError, Leader, READ_LIMIT};
use crate::events;

#[derive(Default)]
pub(crate) struct HoldOriginalLock {
    newest: Mutex<Option<String>>,
}

impl Duty for HoldOriginalLock {
    fn name(&self) -> &'static str {
        "original_lock"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            leader.commit(self.name(), vec![OriginalLock::hold()]).await?;
            let newest = leader.store.original_lock().newest_message(READ_LIMIT).await?;
            let mut known = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut *known, newest);
            Ok(if before.is_some() && *known != before {
                tracing::warn!(
                    MESSAGE_ID = events::ORIGINAL_RUNS,
                    "a master of the original is running on this database: stop it"
                );
                "held; a master of the original is running on this database: stop it".to_owned()
            } else {
                "held".to_owned()
            })
        }
        .boxed()
    }
}
