//! What can happen, in the order of true time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use kontena_core::election::{HolderId, Term};

use crate::network::Reply;
use crate::time::Time;

#[derive(Debug)]
pub(crate) enum Event {
    /// A wait of a process may be over.
    Wake { process: usize, sleep: u64 },
    /// A request reaches the database.
    Arrive { call: usize },
    /// The database gets round to a request.
    Execute { call: usize },
    /// The second half of a raise.
    Raise { call: usize },
    /// A majority of the database's members has everything up to this position.
    Replicated { position: u64, reign: u64 },
    /// An answer reaches its caller.
    Answer { call: usize, reply: Reply },
    /// A hint reaches a process.
    Hint { process: usize },
    /// The duty of a process goes on.
    Duty { process: usize, step: DutyStep },
    /// The next fault strikes.
    Mischief,
    /// A fault ends.
    End(End),
    /// All faults end.
    Calm,
    /// Time to see whether the masters have recovered.
    Verdict,
}

/// How a fault ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum End {
    /// A stopped process goes on.
    Stopped { process: usize, stop: u32 },
    /// A suspended host goes on.
    Suspended { host: usize, suspension: u32 },
    /// A new primary is there.
    NoPrimary { reign: u64 },
    /// A majority follows the primary again.
    Stalled { stall: u64 },
    /// A primary without a majority is gone.
    Deposed { stall: u64 },
    /// The host reaches the database again.
    Partitioned { host: usize },
    /// The calls of a host fare well again.
    Storm { host: usize },
    /// Hints arrive again.
    HintsLost { host: usize },
    /// The process may stand again.
    Ineligible { process: usize },
    /// The setting of a host is changed once more.
    Retimed { host: usize },
    /// A stopping process has used up its time.
    Retiring { process: usize },
    /// A master's process is started.
    Down { host: usize },
    /// The lease of a dead process is released on its behalf.
    Unburied { holder: HolderId },
}

/// A duty of the leader with one fenced write at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DutyStep {
    /// Begin, if this master acts.
    Begin,
    /// Look once more whether this master acts, as the writer does before it commits.
    Decide(Term),
    /// Send the commit.
    Commit(Term),
    /// The fence stood at another term.
    Superseded(Term),
}

/// Events to come. Those of one moment come in the order in which they were put in.
#[derive(Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<(Time, u64)>>,
    /// Kept apart, so that the heap moves small things; each event lies at its number.
    events: std::collections::VecDeque<Option<Event>>,
    first: u64,
    next: u64,
}

impl Queue {
    pub(crate) fn push(&mut self, at: Time, event: Event) {
        self.heap.push(Reverse((at, self.next)));
        self.events.push_back(Some(event));
        self.next += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<(Time, Event)> {
        let Reverse((at, number)) = self.heap.pop()?;
        let place = usize::try_from(number - self.first).ok()?;
        let event = self.events.get_mut(place)?.take()?;
        while let Some(None) = self.events.front() {
            self.events.pop_front();
            self.first += 1;
        }
        Some((at, event))
    }
}
