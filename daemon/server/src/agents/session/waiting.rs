//! What an agent has called and what is not begun yet, in its order; and how much of that a master takes on.
//!
//! Of what is told of one container again and again two wait at most: the first, which keeps its place, so that what
//! changes all the time is told too, and the latest, at the end. So what waits is bounded by what a host has, not by
//! how long the database is away.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::time::Instant;

use crate::agents::calls::Effort;
use crate::agents::limits::{
    WAITING_ALL, WAITING_BYTES, WAITING_CALLS, WAITING_EACH, WAITING_OWN, WAITING_SHARED,
};

/// How many bytes wait of all agents of this process.
pub(super) static ALL: AtomicUsize = AtomicUsize::new(0);

/// Calls of one agent, and how many bytes each counts for.
pub(super) struct Waiting {
    efforts: VecDeque<(Effort, usize)>,
    bytes: usize,
    all: &'static AtomicUsize,
}

impl Waiting {
    /// None yet. `all` counts the bytes of whoever shares the memory.
    pub(super) fn new(all: &'static AtomicUsize) -> Self {
        Self { efforts: VecDeque::new(), bytes: 0, all }
    }

    /// Whether more may be read from the agent. If not, something waits, after which it may be again.
    pub(super) fn has_room(&self) -> bool {
        let most = if self.bytes < WAITING_OWN { WAITING_ALL } else { WAITING_SHARED };
        self.efforts.is_empty()
            || (self.efforts.len() < WAITING_CALLS
                && self.bytes < WAITING_BYTES
                && self.all.load(Ordering::Relaxed) < most)
    }

    /// Adds a call whose frame had `size` bytes. Returns one that is of no use any more, which is to be answered.
    pub(super) fn push(&mut self, effort: Effort, size: usize) -> Option<Effort> {
        let same = self.efforts.iter().enumerate().filter(|(_, (older, _))| effort.replaces(older));
        let second = same.map(|(place, _)| place).nth(1);
        let replaced = second.and_then(|place| self.efforts.remove(place));
        let replaced = replaced.map(|(older, size)| {
            self.release(size);
            older
        });
        let size = size + WAITING_EACH;
        self.bytes += size;
        self.all.fetch_add(size, Ordering::Relaxed);
        self.efforts.push_back((effort, size));
        replaced
    }

    /// The next one.
    pub(super) fn pop(&mut self) -> Option<Effort> {
        let Some((effort, size)) = self.efforts.pop_front() else {
            if self.efforts.capacity() > 32 {
                self.efforts.shrink_to_fit();
            }
            return None;
        };
        self.release(size);
        Some(effort)
    }

    /// When the first is overdue that waits for its answer.
    pub(super) fn due(&self) -> Option<Instant> {
        self.efforts.iter().find(|(effort, _)| effort.id.is_some()).map(|(effort, _)| effort.due)
    }

    /// The requests that have waited for too long. Those that only asked something are given up.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<u64> {
        let late = self.efforts.iter_mut().take_while(|(effort, _)| effort.due <= now);
        let ids = late.filter_map(|(effort, _)| effort.id.take()).collect();
        let mut given_up = 0;
        self.efforts.retain(|(effort, size)| {
            let stays = effort.due > now || effort.is_state();
            given_up += if stays { 0 } else { *size };
            stays
        });
        self.release(given_up);
        ids
    }

    fn release(&mut self, size: usize) {
        self.bytes -= size;
        self.all.fetch_sub(size, Ordering::Relaxed);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use kontena_wire::agent::{Call, Container, ContainerHealth};

    use super::*;
    use crate::agents::limits::ANSWER_WITHIN;

    fn fresh() -> Waiting {
        Waiting::new(Box::leak(Box::new(AtomicUsize::new(0))))
    }

    fn effort(id: u64, call: Call) -> Effort {
        Effort { id: Some(id), due: Instant::now() + ANSWER_WITHIN, call: Box::new(call) }
    }

    fn save(id: u64, container: &str) -> Effort {
        let container = Container { id: container.to_owned(), ..Container::default() };
        effort(id, Call::SaveContainer { node: "n".to_owned(), container: Box::new(container) })
    }

    fn health(id: u64, container: &str) -> Effort {
        let (container_id, status) = (container.to_owned(), "healthy".to_owned());
        effort(id, Call::ContainerHealth(ContainerHealth { container_id, status }))
    }

    fn gone(id: u64, container: &str) -> Effort {
        effort(id, Call::ContainerEvent { container_id: container.to_owned(), destroyed: true })
    }

    fn drained(mut waiting: Waiting) -> Vec<u64> {
        std::iter::from_fn(|| waiting.pop()?.id).collect()
    }

    #[test]
    fn of_one_container_the_first_and_the_latest_wait() {
        let mut waiting = fresh();
        let mut replaced = Vec::new();
        let told = [
            save(1, "a"),
            health(2, "a"),
            save(3, "b"),
            save(4, "a"),
            gone(5, "b"),
            save(6, "a"),
            save(7, "b"),
            health(8, "a"),
            health(9, "a"),
            save(10, "b"),
        ];
        for effort in told {
            replaced.extend(waiting.push(effort, 100).and_then(|older| older.id));
        }
        assert_eq!(replaced, [4, 8, 7]);
        assert_eq!(waiting.bytes, 7 * (100 + WAITING_EACH));
        assert_eq!(drained(waiting), [1, 2, 3, 5, 6, 9, 10]);
    }

    #[test]
    fn a_host_with_many_containers_is_read_while_the_database_is_away() {
        // Each round is all checks of fifty containers, of which each makes a report too.
        let mut waiting = fresh();
        for round in 0..18 {
            for container in 0..50 {
                assert!(waiting.has_room(), "in round {round}");
                waiting.push(save(1, &format!("c{container}")), 8 << 10);
                waiting.push(health(1, &format!("c{container}")), 200);
            }
        }
        assert!(waiting.has_room() && waiting.efforts.len() == 200);
        // Nor does a start with many of them stop it.
        let mut waiting = fresh();
        for container in 0..400 {
            waiting.push(save(1, &format!("c{container}")), 8 << 10);
        }
        assert!(waiting.has_room());
    }

    #[test]
    fn there_is_an_end_to_what_waits_of_one_and_of_all() {
        let mut waiting = fresh();
        for number in 0..WAITING_CALLS {
            assert!(waiting.has_room());
            waiting.push(gone(1, &number.to_string()), 1);
        }
        assert!(!waiting.has_room());
        waiting.pop();
        assert!(waiting.has_room());
        waiting.push(gone(1, "large"), WAITING_BYTES);
        assert!(!waiting.has_room());
        // Together they leave each its share, and in the end one call.
        let mut waiting = fresh();
        let all = waiting.all;
        let mut other = Waiting::new(all);
        all.fetch_add(WAITING_SHARED, Ordering::Relaxed);
        waiting.push(gone(1, "small"), 100);
        assert!(waiting.has_room());
        waiting.push(gone(1, "larger"), WAITING_OWN);
        assert!(!waiting.has_room());
        all.fetch_add(WAITING_ALL - WAITING_SHARED, Ordering::Relaxed);
        assert!(other.has_room());
        other.push(gone(1, "small"), 100);
        assert!(!other.has_room());
        // What is gone counts no more.
        drop((waiting, other));
        assert_eq!(all.load(Ordering::Relaxed), WAITING_ALL);
    }

    #[test]
    fn what_is_overdue_is_answered_and_only_state_stays() {
        let mut waiting = fresh();
        let now = Instant::now();
        waiting.push(health(1, "a"), 1);
        waiting.push(save(2, "a"), 1);
        assert_eq!(waiting.overdue(now), Vec::<u64>::new());
        assert!(waiting.due().is_some());
        let late = now + ANSWER_WITHIN * 2;
        assert_eq!(waiting.overdue(late), [1, 2]);
        assert_eq!((waiting.due(), waiting.bytes), (None, 1 + WAITING_EACH));
        assert!(waiting.pop().is_some_and(|effort| effort.is_state()) && waiting.pop().is_none());
        assert_eq!(waiting.all.load(Ordering::Relaxed), 0);
    }
}
