//! Counts the primaries that a client has followed: what was seen on one of them says nothing of how long it
//! stood there when it is seen again on the next.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mongodb::ServerType;
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;

/// How often a member of the replica set became the primary, as one client saw it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Primaries(Arc<AtomicU64>);

impl Primaries {
    pub(crate) fn seen(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }

    /// Counts, when it is given to a client.
    pub(crate) fn handler(&self) -> EventHandler<SdamEvent> {
        let seen = Arc::clone(&self.0);
        EventHandler::callback(move |event| {
            if let SdamEvent::ServerDescriptionChanged(changed) = event
                && changed.new_description.server_type() == ServerType::RsPrimary
                && changed.previous_description.server_type() != ServerType::RsPrimary
            {
                seen.fetch_add(1, Ordering::SeqCst);
            }
        })
    }
}
