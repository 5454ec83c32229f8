//! Who waits for reports of the instances of a service.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use kontena_core::id::Id;
use tokio::sync::watch;

use super::Agents;

/// By service: how many reports came.
#[derive(Default)]
pub(super) struct Watchers(Mutex<HashMap<Id, watch::Sender<usize>>>);

impl Watchers {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<Id, watch::Sender<usize>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// At most one waits for a service: whoever carries out its deploy.
    pub(super) fn watch(&self, agents: Agents, service: Id) -> Watch {
        let (sender, reports) = watch::channel(0);
        self.all().insert(service, sender);
        Watch { agents, service, reports, seen: 0 }
    }

    /// So many instances of a service were reported. Whether somebody waits for that here.
    pub(super) fn reported(&self, service: Id, count: usize) -> bool {
        match self.all().get(&service) {
            Some(reports) => {
                reports.send_modify(|all| *all += count);
                true
            }
            None => false,
        }
    }
}

/// Wakes its holder.
pub(crate) struct Watch {
    agents: Agents,
    service: Id,
    reports: watch::Receiver<usize>,
    seen: usize,
}

impl Watch {
    /// What is reported from now on counts; for all before it is looked now.
    pub(crate) fn look(&mut self) {
        self.seen = *self.reports.borrow_and_update();
    }

    /// Until so many instances were reported since the last look.
    pub(crate) async fn reported(&mut self, count: usize) {
        let wanted = self.seen + count;
        if self.reports.wait_for(|reports| *reports >= wanted).await.is_err() {
            // Nobody reports any more.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.agents.0.watchers.all().remove(&self.service);
    }
}
