//! What pods were frozen to, kept in memory: it never changes under its id, and many nodes ask for the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::future::{BoxFuture, try_join_all};
use kontena_core::id::Id;
use kontena_store::{Failure, InstanceRow, PodSources, Store};

use super::LIMIT;
use super::gather::{Gather, gather};

/// How many are kept; beyond that all are read anew.
const KEPT_MAX: usize = 4096;
/// How many are read together.
const TOGETHER: usize = 500;

/// Frozen pods by id.
pub(super) struct Frozen {
    kept: Mutex<HashMap<Id, Arc<PodSources>>>,
    read: Gather<Id, Option<Arc<PodSources>>>,
}

impl Frozen {
    /// What reads them is added to `tasks`.
    pub(super) fn new(store: &Store, tasks: &mut Vec<BoxFuture<'static, ()>>) -> Self {
        let pods = store.pods();
        let read = gather(tasks, TOGETHER, move |ids: Vec<Id>| {
            let pods = pods.clone();
            async move {
                let read = pods.frozen(&ids, LIMIT).await?;
                let read: HashMap<Id, Arc<PodSources>> =
                    read.into_iter().map(|(id, sources)| (id, Arc::new(sources))).collect();
                Ok(ids.iter().map(|id| read.get(id).cloned()).collect())
            }
        });
        Self { kept: Mutex::default(), read }
    }

    /// What these instances are made of, as far as it was frozen.
    pub(super) async fn of(&self, rows: &[InstanceRow]) -> Result<HashMap<Id, Arc<PodSources>>, Failure> {
        let wanted: Vec<Id> = rows.iter().filter_map(|row| row.frozen).collect();
        let mut found: HashMap<Id, Arc<PodSources>> = {
            let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.iter().filter_map(|id| Some((*id, Arc::clone(kept.get(id)?)))).collect()
        };
        let missing = wanted.into_iter().filter(|id| !found.contains_key(id));
        let read = missing.map(async |id| Ok::<_, Failure>((id, self.read.ask(id).await?)));
        let read = try_join_all(read).await?;
        if read.is_empty() {
            return Ok(found);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() + read.len() > KEPT_MAX {
            kept.clear();
        }
        for (id, sources) in read {
            let Some(sources) = sources else { continue };
            kept.insert(id, Arc::clone(&sources));
            found.insert(id, sources);
        }
        Ok(found)
    }
}
