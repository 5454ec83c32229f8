//! Who is reported offline meanwhile: agents change their masters, and nobody should hear of it.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::StreamExt;
use mongodb::Collection;
use mongodb::bson::{Document, doc, oid::ObjectId};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Before the stream is opened again.
const REOPEN: Duration = Duration::from_millis(50);

/// Counts the nodes that are reported offline while it runs.
pub(crate) struct Offline {
    task: JoinHandle<HashSet<String>>,
    stop: CancellationToken,
}

impl Offline {
    /// Begins to watch `host_nodes`.
    pub(crate) fn watch(nodes: Collection<Document>) -> Self {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut seen = HashSet::new();
            // The driver goes on over a change of the primary; who is lost for longer is not missed for it.
            while !stopped.is_cancelled() {
                tokio::select! {
                    () = stopped.cancelled() => {}
                    () = follow(&nodes, &mut seen) => sleep(REOPEN).await,
                }
            }
            seen
        });
        Self { task, stop }
    }

    /// Ends the watch; how many nodes there were.
    pub(crate) async fn end(self) -> u64 {
        self.stop.cancel();
        let seen = self.task.await.unwrap_or_default();
        u64::try_from(seen.len()).unwrap_or(u64::MAX)
    }
}

/// Follows until the stream fails.
async fn follow(nodes: &Collection<Document>, seen: &mut HashSet<String>) {
    let wanted = doc! { "$match": { "updateDescription.updatedFields.connected": false } };
    let Ok(mut stream) = nodes.watch().pipeline([wanted]).await else { return };
    while let Some(Ok(event)) = stream.next().await {
        let key = event.document_key.and_then(|key| key.get_object_id("_id").ok());
        seen.extend(key.map(ObjectId::to_hex));
    }
}
