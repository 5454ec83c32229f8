//! What pods were frozen to, kept in memory: it never changes under its id, and many nodes ask for the same.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kontena_core::id::Id;
use kontena_store::{Failure, InstanceRow, PodSources, Store};

use super::LIMIT;

/// How many are kept; beyond that all are read anew.
const KEPT_MAX: usize = 4096;

/// Frozen pods by id.
#[derive(Default)]
pub(super) struct Frozen(Mutex<HashMap<Id, Arc<PodSources>>>);

impl Frozen {
    /// What these instances are made of, as far as it was frozen.
    pub(super) async fn of(
        &self,
        store: &Store,
        rows: &[InstanceRow],
    ) -> Result<HashMap<Id, Arc<PodSources>>, Failure> {
        let wanted: Vec<Id> = rows.iter().filter_map(|row| row.frozen).collect();
        let mut found: HashMap<Id, Arc<PodSources>> = {
            let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.iter().filter_map(|id| Some((*id, Arc::clone(kept.get(id)?)))).collect()
        };
        let missing: Vec<Id> = wanted.into_iter().filter(|id| !found.contains_key(id)).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let read = store.pods().frozen(&missing, LIMIT).await?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() + read.len() > KEPT_MAX {
            kept.clear();
        }
        for (id, sources) in read {
            let sources = Arc::new(sources);
            kept.insert(id, Arc::clone(&sources));
            found.insert(id, sources);
        }
        Ok(found)
    }
}
