//! A master's process: the production state machine, and the loop around it that production has as well.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use kontena_core::election::{
    Acting, Answer, Candidate, Command, Election, HolderId, Input, Lane, RaiseAnswer, Term,
};

use crate::database::{Breach, Database};
use crate::rules::Aside;
use crate::setting::Setting;
use crate::time::{NOW, Rate};

/// What a process that ended was called. One run has one restart at most, so that one such name is enough.
pub(crate) const DEAD: HolderId = HolderId::from_bytes([0; 16]);

/// What the process in this slot is called. Names are compared for equality only, so that a process after a
/// restart can have the name of the slot again, once all that is left of the one before is called [`DEAD`].
pub(crate) fn holder(slot: usize) -> HolderId {
    const NAMES: [HolderId; 3] =
        [HolderId::from_bytes([1; 16]), HolderId::from_bytes([2; 16]), HolderId::from_bytes([3; 16])];
    NAMES[slot]
}

/// One of the three masters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Master {
    /// How fast its clocks go.
    pub(crate) rate: Rate,
    /// Whether its process runs.
    pub(crate) health: Health,
    /// The production machine. Its name is filled in for a step only: names go by the slot.
    pub(crate) election: Election,
    /// How far the call in the lease lane is.
    pub(crate) lease: Flight<Answer>,
    /// How far the call in the fence lane is.
    pub(crate) fence: Flight<RaiseAnswer>,
    /// Monotonic time at which the call in the fence lane was sent.
    pub(crate) raise_sent_at: Duration,
    /// What wrong rules keep.
    pub(crate) aside: Aside,
}

impl Hash for Master {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        let Self {
            rate,
            health,
            // The name is the same in all states.
            election: Election { candidate, state },
            lease,
            fence,
            raise_sent_at,
            aside,
        } = self;
        (rate, health, candidate.timing.ttl, state, lease, fence, raise_sent_at, aside).hash(hasher);
    }
}

/// Whether a process runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Health {
    /// It does what is due.
    Up,
    /// It stands still while its clocks go on.
    Paused,
    /// It ended, and its successor was not started yet.
    Down,
}

/// How far a call is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flight<A> {
    /// There is none.
    Idle,
    /// The process was paused after the clock was read and before the request left.
    Unsent,
    /// The request is on its way, and is dealt with before time goes on.
    Fresh,
    /// A raise whose first half was made: the earlier leaders' sessions have ended.
    Freed,
    /// The request is on its way, for as long as it likes.
    Held,
    /// The answer is on its way, for as long as it likes, or waits for a paused process.
    Answered(A),
    /// Nothing will come.
    Lost,
}

impl<A> Flight<A> {
    /// Whether something has to happen before time goes on.
    pub(crate) fn urgent(&self) -> bool {
        matches!(self, Self::Fresh | Self::Freed)
    }

    /// Whether nothing but the caller's own limit can end the call.
    pub(crate) fn undisturbed(&self) -> bool {
        matches!(self, Self::Idle | Self::Lost)
    }
}

/// The reasons for which a process wakes up by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Due {
    /// The call in the lease lane took too long.
    LeaseLimit,
    /// The call in the fence lane took too long.
    FenceLimit,
    /// The election asked to be woken.
    Timer,
}

impl Master {
    /// A process that has just started.
    pub(crate) fn new(setting: Setting, rate: Rate, wall_ahead: i32) -> Self {
        Self {
            rate,
            health: Health::Up,
            election: Election::new(Candidate { id: DEAD, timing: setting.timing() }, NOW),
            lease: Flight::Idle,
            fence: Flight::Idle,
            raise_sent_at: NOW.monotonic,
            aside: Aside { wall_ahead, shelved: None },
        }
    }

    /// Under which term this master acts now, paused or not.
    pub(crate) fn acting(&self, setting: Setting) -> Option<Acting> {
        if self.health == Health::Down {
            return None;
        }
        setting.rules.acting(&self.election)
    }

    /// What is due by the own clock, whether or not the process runs.
    pub(crate) fn due(&self, due: Due) -> bool {
        let passed = |since: Duration, limit: Duration| NOW.monotonic.saturating_sub(since) >= limit;
        match due {
            Due::LeaseLimit => self
                .election
                .state
                .call
                .as_ref()
                .is_some_and(|call| passed(call.sent_at.monotonic, self.election.limit(Lane::Lease))),
            Due::FenceLimit => {
                self.election.state.raising.is_some()
                    && passed(self.raise_sent_at, self.election.limit(Lane::Fence))
            }
            Due::Timer => self.election.next_wake(NOW) == Some(Duration::ZERO),
        }
    }

    /// Takes in an input and sends what the election wants sent.
    pub(crate) fn step(&mut self, slot: usize, setting: Setting, database: &mut Database, input: Input) {
        match input {
            Input::Answered(_) => self.lease = Flight::Idle,
            Input::RaiseAnswered(_) => self.fence = Flight::Idle,
            _ => {}
        }
        self.election.candidate.id = holder(slot);
        let commands = setting.rules.step(&mut self.election, &mut self.aside, database.renewed_at, input);
        self.election.candidate.id = DEAD;
        for command in commands {
            let free = match command.lane() {
                Lane::Lease => std::mem::replace(&mut self.lease, Flight::Fresh) == Flight::Idle,
                Lane::Fence => {
                    self.raise_sent_at = NOW.monotonic;
                    std::mem::replace(&mut self.fence, Flight::Fresh) == Flight::Idle
                }
            };
            if !free {
                database.breach = Some(Breach::LaneOccupied);
            }
        }
    }

    /// The command under way in the lease lane.
    pub(crate) fn command(&self) -> Command {
        self.election.state.call.as_ref().map_or(Command::Look, |call| call.command.clone())
    }

    /// The term of the raise under way in the fence lane.
    pub(crate) fn raising(&self) -> Term {
        self.election.state.raising.unwrap_or_default()
    }
}
