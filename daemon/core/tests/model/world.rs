//! The whole modelled world: three masters, the database, and what is on its way between them.

use kontena_core::election::{Answer, Command, HolderId, Lane, RaiseAnswer};

use crate::budget::Budget;
use crate::database::{Database, place};
use crate::master::{DEAD, Flight, Health, Master, holder};
use crate::setting::Setting;
use crate::time::Rate;

/// A state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    /// The masters. Which of them is in which place has no meaning.
    pub(crate) masters: Box<[Master; 3]>,
    /// The documents.
    pub(crate) database: Database,
    /// Requests that nobody waits for any more.
    pub(crate) late: Vec<Late>,
    /// There is no primary: no request has an effect.
    pub(crate) outage: bool,
    /// What may still go wrong.
    pub(crate) left: Budget,
}

/// A request that nobody waits for any more, and that may take effect all the same.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Late {
    /// Who sent it.
    pub(crate) from: HolderId,
    /// What it asks for.
    pub(crate) request: Request,
    /// It is dealt with before time goes on.
    pub(crate) urgent: bool,
}

/// What whoever does not wait can have asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Request {
    /// A command of the election.
    Command(Command),
    /// The release by holder id alone, after the process ended.
    Bury,
}

impl World {
    /// Three masters that start at once, and an empty database.
    pub(crate) fn new(setting: Setting, rates: [Rate; 3], wall_ahead: [i32; 3], left: Budget) -> Self {
        Self {
            masters: Box::new([0, 1, 2].map(|slot| Master::new(setting, rates[slot], wall_ahead[slot]))),
            database: Database::empty(),
            late: Vec::new(),
            outage: false,
            left,
        }
    }

    /// Makes the request of this master in this lane. None if it did not come to an end.
    pub(crate) fn take_effect(&mut self, setting: Setting, slot: usize, lane: Lane) -> Option<Reply> {
        let master = &self.masters[slot];
        match lane {
            Lane::Lease => {
                let answer = self.database.execute(setting, holder(slot), &master.command());
                Some(Reply::Lease(answer))
            }
            Lane::Fence => {
                let term = master.raising();
                if master.fence != Flight::Freed {
                    self.database.free(term);
                }
                self.database.raise(setting.rules, term).map(Reply::Fence)
            }
        }
    }

    /// Makes a request that nobody waits for.
    pub(crate) fn take_late_effect(&mut self, setting: Setting, late: &Late) {
        match &late.request {
            Request::Bury => self.database.bury(late.from),
            Request::Command(Command::Raise { term }) => {
                self.database.free(*term);
                self.database.raise(setting.rules, *term);
            }
            Request::Command(command) => {
                self.database.execute(setting, late.from, command);
            }
        }
    }

    /// Ends the wait of a master for an answer: whatever is still on its way is late from now on.
    pub(crate) fn give_up(&mut self, slot: usize, lane: Lane) {
        let master = &mut self.masters[slot];
        let held = match lane {
            Lane::Lease => std::mem::replace(&mut master.lease, Flight::Lost) == Flight::Held,
            Lane::Fence => std::mem::replace(&mut master.fence, Flight::Lost) == Flight::Held,
        };
        if held {
            self.leave_behind(slot, lane, holder(slot), false);
        }
    }

    /// Lets a master's request go on without the master.
    pub(crate) fn leave_behind(&mut self, slot: usize, lane: Lane, from: HolderId, urgent: bool) {
        let master = &self.masters[slot];
        let command = match lane {
            Lane::Lease => master.command(),
            Lane::Fence => Command::Raise { term: master.raising() },
        };
        self.late.push(Late { from, request: Request::Command(command), urgent });
    }

    /// Ends the process in a slot. Its requests that have left may go on without it.
    pub(crate) fn end(&mut self, setting: Setting, slot: usize, sent: bool) {
        let own = holder(slot);
        for lane in [Lane::Lease, Lane::Fence] {
            let (urgent, held) = match lane {
                Lane::Lease => {
                    let flight = &self.masters[slot].lease;
                    (flight.urgent(), *flight == Flight::Held)
                }
                Lane::Fence => {
                    let flight = &self.masters[slot].fence;
                    (flight.urgent(), *flight == Flight::Held)
                }
            };
            if held || (urgent && sent) {
                self.leave_behind(slot, lane, DEAD, urgent);
            }
        }
        let master = &mut self.masters[slot];
        *master =
            Master { health: Health::Down, ..Master::new(setting, master.rate, master.aside.wall_ahead) };
        self.rename(&|id| if id == own { DEAD } else { id });
    }

    /// Gives holders other names, wherever they stand.
    pub(crate) fn rename(&mut self, name: &impl Fn(HolderId) -> HolderId) {
        for lease in [&mut self.database.lease, &mut self.database.former].into_iter().flatten() {
            lease.holder = lease.holder.map(name);
        }
        for master in self.masters.iter_mut() {
            if let Flight::Answered(Answer::Seen(Some(lease))) = &mut master.lease {
                lease.holder = lease.holder.map(name);
            }
        }
        for late in &mut self.late {
            late.from = name(late.from);
        }
    }

    /// Notes which terms were acted under.
    pub(crate) fn note_acting(&mut self, setting: Setting) {
        for master in self.masters.iter() {
            if let Some(place) = master.acting(setting).and_then(|acting| place(acting.term)) {
                self.database.acted[place] = true;
            }
        }
    }
}

/// The answer to a request of either lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    /// Of the lease lane.
    Lease(Answer),
    /// Of the fence lane.
    Fence(RaiseAnswer),
}
