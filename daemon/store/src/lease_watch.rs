//! Hints that the lease changed, from a change stream. They make masters look sooner; a stream that is broken
//! or late costs time only, so every failure just opens it again.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use kontena_core::election::Bus;
use mongodb::Collection;
use mongodb::bson::{Document, doc};
use mongodb::change_stream::event::ResumeToken;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::client::Store;
use crate::lease::LEASES;

/// How long the server may hold a request for events back while there are none. A waiting stream wakes at
/// once, so a long time costs no latency and saves commands.
const AWAIT: Duration = Duration::from_secs(10);
/// Before a broken stream is opened again.
const REOPEN: Duration = Duration::from_millis(250);

/// The receiving side of the hints.
#[derive(Clone, Debug, Default)]
pub struct LeaseWatch {
    changed: Arc<Notify>,
}

impl Bus for LeaseWatch {
    async fn lease_changed(&self) {
        self.changed.notified().await;
    }
}

impl LeaseWatch {
    /// Reads the stream of `store` until cancelled. A wait for the next event, or for a database that is away,
    /// ends with the cancellation too.
    pub async fn run(self, store: Store, cancel: CancellationToken) {
        let leases = store.database().collection::<Document>(LEASES);
        let mut resume_at = None;
        loop {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = self.follow(&leases, &mut resume_at) => {}
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return,
                () = tokio::time::sleep(REOPEN) => {}
            }
        }
    }

    /// Follows one stream to its end.
    async fn follow(&self, leases: &Collection<Document>, resume_at: &mut Option<ResumeToken>) {
        let opened = leases
            .watch()
            .pipeline([doc! { "$project": { "_id": 1, "operationType": 1 } }])
            .max_await_time(AWAIT)
            .resume_after(resume_at.take())
            .await;
        let mut stream = match opened {
            Ok(stream) => stream.with_type::<Document>(),
            // The token may be what is wrong: the next one starts from now, and the look catches up.
            Err(error) => return tracing::debug!(%error, "the lease cannot be watched"),
        };
        // Whatever happened before the stream was open is seen by looking once.
        self.changed.notify_one();
        while let Some(event) = stream.next().await {
            match event {
                Ok(_) => self.changed.notify_one(),
                Err(error) => {
                    tracing::debug!(%error, "the watch on the lease broke");
                    *resume_at = stream.resume_token();
                    break;
                }
            }
        }
    }
}
