//! Who of the masters is still there, judged by sequence numbers that stand still.
//!
//! A database outage makes nobody gone: silence is counted only between the observer's own acknowledged
//! heartbeats, and anew after any failure of them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::election::HolderId;

/// Between two heartbeats of a master.
pub const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// How many intervals a sequence number must stand still until its master counts as lost.
const INTERVALS_TO_LOSE: u32 = 3;

/// A database that takes so long to acknowledge a leader's heartbeat is far away: what the leader does is a sequence of
/// calls, and those of one effect have to be made within a second.
const FAR: Duration = Duration::from_millis(150);
/// Another master is nearer if the database answers it in such a part of that time.
const NEARER: u32 = 5;
/// For so many heartbeats in a row: a slow moment is no distance.
const FAR_FOR: u32 = 5;

/// What an observer remembers of the heartbeats of all masters.
#[derive(Clone, Debug, Default)]
pub struct Roll {
    entries: HashMap<HolderId, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    seq: u64,
    moved_at: Duration,
}

impl Roll {
    /// Takes in what a read showed, which followed an acknowledged heartbeat of the observer's own. `now` is
    /// monotonic time.
    pub fn read(&mut self, now: Duration, seen: impl IntoIterator<Item = (HolderId, u64)>) {
        let before = std::mem::take(&mut self.entries);
        self.entries = seen
            .into_iter()
            .map(|(id, seq)| {
                let entry = before
                    .get(&id)
                    .filter(|entry| entry.seq == seq)
                    .copied()
                    .unwrap_or(Entry { seq, moved_at: now });
                (id, entry)
            })
            .collect();
    }

    /// A heartbeat of the observer or its read failed: whatever stood still before proves nothing.
    pub fn failed(&mut self) {
        self.entries.clear();
    }

    /// How long ago a master was seen to move, if it was seen since the last failure.
    #[must_use]
    pub fn silent_for(&self, now: Duration, id: HolderId) -> Option<Duration> {
        Some(now.saturating_sub(self.entries.get(&id)?.moved_at))
    }

    /// Whether a master counts as lost. Who was never seen does not.
    #[must_use]
    pub fn is_lost(&self, now: Duration, id: HolderId) -> bool {
        self.silent_for(now, id).is_some_and(|silence| silence >= HEARTBEAT_EVERY * INTERVALS_TO_LOSE)
    }
}

/// Whether a leader is so far from the database, and another master so near, that the other one should lead.
#[derive(Clone, Copy, Debug, Default)]
pub struct Remoteness {
    looks: u32,
}

impl Remoteness {
    /// Takes in how long the database took to acknowledge the last heartbeat of this master, if it leads, and of the
    /// nearest that would take over. Says that it should give way, and begins anew then.
    pub fn look(&mut self, leader: Option<Duration>, nearest: Option<Duration>) -> bool {
        let (Some(own), Some(other)) = (leader, nearest) else {
            self.looks = 0;
            return false;
        };
        let far = own >= FAR && other * NEARER <= own;
        self.looks = if far { self.looks + 1 } else { 0 };
        let gives_way = self.looks >= FAR_FOR;
        if gives_way {
            self.looks = 0;
        }
        gives_way
    }
}

/// Heartbeats that [`Slowness`] remembers.
const REMEMBERED: usize = 20;
/// From so many slow ones among them on, an administrator is told.
const SLOW_FROM: usize = 4;

/// Whether a database keeps being slow to acknowledge a master's heartbeats: it is far away, or packets are lost on the
/// way. A moment is not worth telling.
#[derive(Clone, Debug, Default)]
pub struct Slowness {
    taken: VecDeque<Duration>,
}

/// What there is to tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// How many heartbeats were slow.
    pub slow: usize,
    /// Of how many.
    pub of: usize,
    /// What the slowest took.
    pub slowest: Duration,
}

impl Slowness {
    /// Takes in how long the last heartbeat took, whatever came of it.
    pub fn look(&mut self, took: Duration) {
        if self.taken.len() == REMEMBERED {
            self.taken.pop_front();
        }
        self.taken.push_back(took);
    }

    /// What there is to tell, if there is: a heartbeat that takes `from` is slow.
    #[must_use]
    pub fn told(&self, from: Duration) -> Option<Slow> {
        let slow = self.taken.iter().filter(|took| **took >= from).count();
        let slowest = self.taken.iter().max().copied().unwrap_or_default();
        (slow >= SLOW_FROM).then_some(Slow { slow, of: self.taken.len(), slowest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: HolderId = HolderId::from_bytes([1; 16]);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_stands_still_over_three_intervals_is_lost_and_moving_brings_it_back() {
        let mut roll = Roll::default();
        for second in 0..3 {
            roll.read(at(second), [(A, 7)]);
            assert!(!roll.is_lost(at(second), A));
        }
        roll.read(at(3), [(A, 7)]);
        assert!(roll.is_lost(at(3), A));
        roll.read(at(4), [(A, 8)]);
        assert!(!roll.is_lost(at(4), A));
    }

    #[test]
    fn after_a_failure_silence_is_counted_anew() {
        let mut roll = Roll::default();
        roll.read(at(0), [(A, 7)]);
        roll.read(at(2), [(A, 7)]);
        roll.failed();
        roll.read(at(62), [(A, 7)]);
        assert!(!roll.is_lost(at(64), A));
        assert!(roll.is_lost(at(65), A));
    }

    #[test]
    fn a_database_that_keeps_being_slow_is_told_and_a_moment_is_not() {
        let told = |taken: &[u64]| {
            let mut slowness = Slowness::default();
            for ms in taken {
                slowness.look(Duration::from_millis(*ms));
            }
            slowness
                .told(Duration::from_millis(150))
                .map(|told| (told.slow, told.of, told.slowest.as_millis()))
        };
        assert_eq!(told(&[900, 900, 900]), None);
        assert_eq!(told(&[149; 40]), None);
        assert_eq!(told(&[200, 250, 200, 200]), Some((4, 4, 250)));
        assert_eq!(told(&[&[3; 30][..], &[3, 210, 3, 3, 200].repeat(4)].concat()), Some((8, 20, 210)));
        assert_eq!(told(&[&[900; 20][..], &[3; 17]].concat()), None, "it is over");
    }

    #[test]
    fn a_leader_gives_way_to_one_who_is_nearer_and_stays_so() {
        let ms = |ms| Some(Duration::from_millis(ms));
        let looks = |own, other, times: u32| {
            let mut remoteness = Remoteness::default();
            (0..times).filter(|_| remoteness.look(own, other)).count()
        };
        assert_eq!(looks(ms(200), ms(40), FAR_FOR - 1), 0, "a slow moment");
        assert_eq!(looks(ms(200), ms(40), FAR_FOR * 2), 2);
        assert_eq!(looks(ms(200), ms(41), 99), 0, "the other one is hardly nearer");
        assert_eq!(looks(ms(149), ms(1), 99), 0, "it is not far");
        assert_eq!(looks(ms(900), None, 99) + looks(None, ms(1), 99), 0);
        let mut remoteness = Remoteness::default();
        for _ in 0..9 {
            assert!(!(0..FAR_FOR - 1).any(|_| remoteness.look(ms(200), ms(1))));
            assert!(!remoteness.look(ms(3), ms(1)), "it was a slow moment");
        }
    }
}
