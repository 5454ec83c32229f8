//! Who waits for reports of the instances of a service.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kontena_core::id::Id;
use tokio::sync::Notify;

use super::Agents;

/// By service.
#[derive(Default)]
pub(super) struct Watchers(Mutex<HashMap<Id, Arc<Notify>>>);

impl Watchers {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<Id, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most one waits for a service: whoever carries out its deploy.
    pub(super) fn watch(&self, agents: Agents, service: Id) -> Watch {
        let told = Arc::clone(self.all().entry(service).or_default());
        Watch { agents, service, told }
    }

    /// An instance of a service was reported.
    pub(super) fn reported(&self, service: &str) {
        if let Some(told) = service.parse().ok().and_then(|service: Id| self.all().get(&service).cloned()) {
            told.notify_one();
        }
    }
}

/// Wakes its holder.
pub(crate) struct Watch {
    agents: Agents,
    service: Id,
    told: Arc<Notify>,
}

impl Watch {
    /// Until an instance is reported; at once if that happened since the last time.
    pub(crate) async fn reported(&self) {
        self.told.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.agents.0.watchers.all().remove(&self.service);
    }
}
