//! What pods were frozen to, kept in memory: it never changes under its id, and many nodes ask for the same, again and
//! again while it is in use.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::{BoxFuture, try_join_all};
use kontena_core::id::Id;
use kontena_store::{Failure, InstanceRow, PodSources, Store};
use tokio::time::Instant;

use super::LIMIT;
use super::gather::{Gather, gather};

/// What nobody asked for in so long, or in twice that, is forgotten. An agent asks for all of its own each half minute.
const IN_USE: Duration = Duration::from_secs(180);
/// How many are kept in each of the two times; beyond that the earlier ones go at once.
const KEPT_MAX: usize = 2048;
/// How many are read together.
const TOGETHER: usize = 500;

/// Frozen pods by id.
pub(super) struct Frozen {
    kept: Mutex<Kept<PodSources>>,
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
        Self { kept: Mutex::new(Kept::new(Instant::now())), read }
    }

    /// What these instances are made of, as far as it was frozen.
    pub(super) async fn of(&self, rows: &[InstanceRow]) -> Result<HashMap<Id, Arc<PodSources>>, Failure> {
        let wanted: Vec<Id> = rows.iter().filter_map(|row| row.frozen).collect();
        let mut found: HashMap<Id, Arc<PodSources>> = {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.age(Instant::now());
            wanted.iter().filter_map(|id| Some((*id, kept.get(*id)?))).collect()
        };
        let missing = wanted.into_iter().filter(|id| !found.contains_key(id));
        let read = missing.map(async |id| Ok::<_, Failure>((id, self.read.ask(id).await?)));
        let read = try_join_all(read).await?;
        if read.is_empty() {
            return Ok(found);
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, sources) in read {
            let Some(sources) = sources else { continue };
            kept.insert(id, Arc::clone(&sources));
            found.insert(id, sources);
        }
        Ok(found)
    }
}

/// What was asked for lately, and what was asked for in the time before.
struct Kept<T> {
    now: HashMap<Id, Arc<T>>,
    before: HashMap<Id, Arc<T>>,
    since: Instant,
}

impl<T> Kept<T> {
    fn new(at: Instant) -> Self {
        Self { now: HashMap::new(), before: HashMap::new(), since: at }
    }

    fn get(&mut self, id: Id) -> Option<Arc<T>> {
        if let Some(found) = self.now.get(&id) {
            return Some(Arc::clone(found));
        }
        let found = self.before.remove(&id)?;
        self.insert(id, Arc::clone(&found));
        Some(found)
    }

    fn insert(&mut self, id: Id, what: Arc<T>) {
        if self.now.len() >= KEPT_MAX {
            self.before = std::mem::take(&mut self.now);
        }
        self.now.insert(id, what);
    }

    /// Forgets what nobody asked for.
    fn age(&mut self, at: Instant) {
        if at.saturating_duration_since(self.since) >= IN_USE {
            self.before = std::mem::take(&mut self.now);
            self.since = at;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: usize) -> Id {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        Id::from_bytes(bytes)
    }

    #[test]
    fn what_is_asked_for_stays_and_what_is_not_goes() {
        let begun = Instant::now();
        let mut kept = Kept::new(begun);
        kept.insert(id(1), Arc::new("used"));
        kept.insert(id(2), Arc::new("replaced"));
        for time in 1..=3 {
            kept.age(begun + IN_USE * time);
            assert_eq!(kept.get(id(1)).as_deref(), Some(&"used"));
        }
        assert_eq!(kept.get(id(2)), None);
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let mut kept = Kept::new(Instant::now());
        for number in 0..5 * KEPT_MAX {
            kept.insert(id(number), Arc::new(()));
            assert!(kept.now.len() + kept.before.len() <= 2 * KEPT_MAX);
        }
        assert!(kept.get(id(5 * KEPT_MAX - 1)).is_some() && kept.get(id(0)).is_none());
    }
}
