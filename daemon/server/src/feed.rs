//! What this master observes, as a feed that many can follow: the latest entries are kept, each follower has a
//! bounded queue, and one that is too slow is told how much it missed. Nobody is stalled by a follower.

mod observer;
mod sight;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use kontena_core::election::{HolderId, Term};
use kontena_store::{HistoryRow, Person};
use kontena_wire::cluster::MasterState;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

pub(crate) use observer::{LeaseSight, Observer};

use crate::agents::Moves;
use crate::clock::wall_ms;
use crate::election::Standing;

/// How many entries are kept for those who come back.
const KEPT: usize = 512;
/// How many entries may wait for one follower.
const QUEUE: usize = 256;
/// How many may follow at the same time.
const FOLLOWERS: usize = 64;

/// What can be observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// How a term began, as it stands in the database.
    Election(HistoryRow),
    /// The lease changed hands.
    Lease { term: Term, holder: Option<Person> },
    /// This master became something else in the election.
    Standing(Standing),
    /// A master appeared (`was` is none), changed, or has ended (`is` is none).
    Master { master: Person, was: Option<MasterState>, is: Option<MasterState>, warnings: Vec<String> },
    /// A duty's last run ended otherwise than the one before.
    Duty { name: &'static str, failed: bool, result: String },
    /// Agents came to a master, or left it, within about a second.
    Agents { master: Person, moves: Moves },
    /// The database stopped answering, or answers again.
    Database { failure: Option<String> },
}

/// Something that was observed.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) place: Place,
    /// Milliseconds since 1970.
    pub(crate) at: i64,
    pub(crate) what: Happening,
}

/// Where a follower stands: the last term it knows from the history, which all masters share, and the number of
/// the entry among what this process observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) term: Term,
    pub(crate) entry: Option<(Run, u64)>,
}

/// One start of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run(u32);

impl Place {
    /// As it stands in an event's id.
    pub(crate) fn encode(self) -> String {
        match self.entry {
            Some((Run(run), number)) => format!("{}.{run:08x}.{number}", self.term),
            None => self.term.to_string(),
        }
    }

    /// Reads an id that any master gave out. Anything else is no place.
    pub(crate) fn decode(id: &str) -> Option<Self> {
        let mut parts = id.splitn(3, '.');
        let term = Term(parts.next()?.parse().ok()?);
        let entry = match (parts.next(), parts.next()) {
            (None, _) => None,
            (Some(run), Some(number)) => {
                Some((Run(u32::from_str_radix(run, 16).ok()?), number.parse().ok()?))
            }
            (Some(_), None) => return None,
        };
        Some(Self { term, entry })
    }
}

/// The feed. Cloned freely.
#[derive(Clone, Debug)]
pub(crate) struct Feed {
    run: Run,
    kept: Arc<Mutex<Kept>>,
    sender: broadcast::Sender<Arc<Entry>>,
    /// Followers are sent away when this ends.
    pub(crate) closing: CancellationToken,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Arc<Entry>>,
    published: u64,
    recorded: Term,
}

/// What a new follower gets first, and then.
#[derive(Debug)]
pub(crate) struct Following {
    /// The entries that were kept, as far as the follower does not know them.
    pub(crate) backlog: Vec<Arc<Entry>>,
    /// Whether the backlog goes on exactly where the follower stood.
    pub(crate) seamless: bool,
    /// What comes.
    pub(crate) live: broadcast::Receiver<Arc<Entry>>,
}

impl Feed {
    pub(crate) fn new(id: HolderId, closing: CancellationToken) -> Self {
        let run = u32::from_str_radix(id.to_string().get(..8).unwrap_or("0"), 16).unwrap_or(0);
        let (sender, _) = broadcast::channel(QUEUE);
        Self { run: Run(run), kept: Arc::default(), sender, closing }
    }

    /// Adds to the feed.
    pub(crate) fn publish(&self, what: Happening) {
        let at = match &what {
            Happening::Election(row) => row.at,
            _ => wall_ms(),
        };
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Happening::Election(row) = &what {
            kept.recorded = kept.recorded.max(row.term);
        }
        kept.published += 1;
        let place = Place { term: kept.recorded, entry: Some((self.run, kept.published)) };
        let entry = Arc::new(Entry { place, at, what });
        if kept.entries.len() == KEPT {
            kept.entries.pop_front();
        }
        kept.entries.push_back(Arc::clone(&entry));
        // Under the lock, so that a new follower gets each entry once: in its backlog or live. Without followers
        // nobody takes it, which is no failure.
        let _followers = self.sender.send(entry);
    }

    /// The history is known up to this term: nobody who follows from here on needs to be told of it again.
    fn recorded(&self, term: Term) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.recorded = kept.recorded.max(term);
    }

    /// Begins to follow behind `place`, or from the oldest entry that is kept. None if too many follow already.
    pub(crate) fn follow(&self, place: Option<Place>) -> Option<Following> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if self.sender.receiver_count() >= FOLLOWERS {
            return None;
        }
        let own = place.and_then(|place| place.entry).filter(|(run, _)| *run == self.run);
        // Numbers are consecutive: the newest kept one has the number of all that was published.
        let oldest = kept.published - u64::try_from(kept.entries.len()).unwrap_or(0);
        let known = own.map_or(0, |(_, number)| number);
        let backlog = kept
            .entries
            .iter()
            .filter(|entry| entry.place.entry.is_none_or(|(_, number)| number > known))
            .cloned()
            .collect();
        let seamless = own.is_some_and(|(_, number)| number >= oldest && number <= kept.published);
        Some(Following { backlog, seamless, live: self.sender.subscribe() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed() -> Feed {
        Feed::new(HolderId::from_bytes([0xab; 16]), CancellationToken::new())
    }

    fn standing(term: u64) -> Happening {
        Happening::Standing(Standing::Acting(Term(term)))
    }

    fn places(following: &Following) -> Vec<String> {
        following.backlog.iter().map(|entry| entry.place.encode()).collect()
    }

    #[test]
    fn who_comes_back_gets_what_followed_and_nothing_twice() {
        let feed = feed();
        for term in 1..=3 {
            feed.publish(standing(term));
        }
        let all = feed.follow(None).unwrap();
        assert_eq!(places(&all), ["0.abababab.1", "0.abababab.2", "0.abababab.3"]);
        let back = feed.follow(Place::decode("0.abababab.2")).unwrap();
        assert_eq!(places(&back), ["0.abababab.3"]);
        assert!(back.seamless);
        let mut last = feed.follow(Place::decode("0.abababab.3")).unwrap();
        assert!(last.backlog.is_empty() && last.seamless);
        feed.publish(standing(4));
        assert_eq!(last.live.try_recv().unwrap().place.encode(), "0.abababab.4");
    }

    #[test]
    fn who_was_away_too_long_or_comes_from_another_master_is_not_told_that_nothing_is_missing() {
        let feed = feed();
        for term in 0..=u64::try_from(KEPT).unwrap() + 1 {
            feed.publish(standing(term));
        }
        for (id, seamless) in
            [("0.abababab.1", false), ("0.abababab.2", true), ("0.12345678.500", false), ("7", false)]
        {
            let following = feed.follow(Place::decode(id)).unwrap();
            assert_eq!(following.seamless, seamless, "{id}");
            assert_eq!(following.backlog.len(), KEPT, "{id}");
        }
    }

    #[test]
    fn a_slow_follower_is_told_how_much_it_missed_and_stalls_nobody() {
        let feed = feed();
        let mut slow = feed.follow(None).unwrap();
        for term in 0..u64::try_from(QUEUE).unwrap() + 10 {
            feed.publish(standing(term));
        }
        assert!(matches!(slow.live.try_recv(), Err(broadcast::error::TryRecvError::Lagged(10))));
        assert_eq!(slow.live.try_recv().unwrap().place.encode(), "0.abababab.11");
    }

    #[test]
    fn followers_are_bounded() {
        let feed = feed();
        let followers: Vec<_> = (0..FOLLOWERS).filter_map(|_| feed.follow(None)).collect();
        assert_eq!(followers.len(), FOLLOWERS);
        assert!(feed.follow(None).is_none());
        drop(followers);
        assert!(feed.follow(None).is_some());
    }

    #[test]
    fn only_ids_that_a_master_gave_out_are_places() {
        for id in ["17", "17.0000abcd.4"] {
            assert_eq!(Place::decode(id).unwrap().encode(), id);
        }
        for id in ["", "x", "1.", "1.2", "-1", "1.zz.3", "1.ff.x", "1.ff.3.4"] {
            assert_eq!(Place::decode(id), None, "{id}");
        }
    }
}
