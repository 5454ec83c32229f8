//! Deadlines, and calls that are made again until theirs.

use std::future::Future;
use std::time::Duration;

use kontena_store::Failure;
use tokio::time::Instant;

/// Before a failed call is made again.
const PAUSE: Duration = Duration::from_millis(250);

/// A point in time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Instant);

impl Deadline {
    pub(super) fn has_passed(self) -> bool {
        Instant::now() >= self.0
    }
}

/// So long from now.
pub(super) fn deadline(within: Duration) -> Deadline {
    Deadline(Instant::now() + within)
}

/// Makes a call until it succeeds or `within` has passed. Making it twice must be the same as once.
pub(super) async fn until_done<T, Fut>(within: Duration, call: impl Fn() -> Fut) -> Result<T, Failure>
where
    Fut: Future<Output = Result<T, Failure>>,
{
    let until = deadline(within);
    loop {
        match call().await {
            Ok(done) => return Ok(done),
            Err(failure) if until.has_passed() => return Err(failure),
            Err(failure) => tracing::debug!(%failure, "tried again"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
