//! What can happen next, and what it does.
//!
//! Messages need no time of their own: whatever was sent is dealt with before time goes on, in every order
//! between the masters, unless the run spends a fault on it. The following interleavings are left out, because
//! each has a twin with the same outcome:
//!
//! * A process that is due *wakes up before anything else happens*, if no message on its way could get there
//!   first: waking is local to it, and only the lowest of several goes on, since they commute.
//! * An answer is taken in *together with the effect that it tells of*: taking it in is local. What may come
//!   between is a pause, which keeps the answer, or a delay, which has a budget.
//! * A *pause* begins when the process would do something, and ends when it has something to do: before and
//!   after that, standing still is what it does anyway. (Not so if the whole host is suspended: one of its
//!   clocks stands still as well, so that every moment counts.)
//! * A *time without a primary* begins and ends when a request is there to notice it.
//! * A *transaction* takes its snapshot of the fence when a raise to a higher term is on its way or made:
//!   before, nothing writes to the fence, so that the snapshot would be the same. It may be begun under any
//!   term that was ever acted under, and goes on at any time, whatever its master does: one more than any
//!   real process could do.
//! * A lost *look* is lost one way only: it has no effect. For the same reason none is late.

mod happen;

use kontena_core::election::{Command, Lane, Role};

use crate::database::{Database, Transaction, term_at};
use crate::master::{Due, Flight, Health, Master};
use crate::setting::Setting;
use crate::time::NOW;
use crate::world::{Late, Request, World};

pub(crate) use happen::happen;

/// One thing that can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A unit of true time passes.
    Tick,
    /// A process does what is due.
    Wake(usize, Due),
    /// The request of a process arrives at the database, or does not.
    Serve(usize, Lane, Fate),
    /// The sessions of earlier leaders end, and the fence is not raised yet.
    Free(usize),
    /// A delayed answer, or one that waited for a paused process.
    Arrive(usize, Lane),
    /// A request for whose answer nobody waits.
    Late(usize, Fate),
    /// A process stands still; with requests that were just made on their way or not.
    Pause(usize, Sent),
    /// It goes on.
    Resume(usize),
    /// A process ends.
    End(usize, Sent, Burial),
    /// Its successor starts.
    Start(usize),
    /// From now on there is no primary.
    LosePrimary,
    /// There is a primary again.
    FindPrimary,
    /// A leader, perhaps a former one, begins a transaction.
    Begin(usize),
    /// It writes to the fence in its transaction.
    Touch(usize),
    /// It commits.
    Commit(usize),
    /// A follower hears that the lease may have changed.
    Hint(usize),
    /// A leader is asked to give up the lease.
    Renounce(usize),
    /// The configured ttl of a holder is changed to the other one.
    Retime(usize),
}

impl Action {
    /// Whether this spends a fault, or what else a run has only so often.
    pub(crate) fn goes_wrong(self) -> bool {
        match self {
            Self::Serve(_, _, fate) | Self::Late(_, fate) => fate != Fate::Answered,
            Self::Pause(..)
            | Self::End(..)
            | Self::LosePrimary
            | Self::Begin(_)
            | Self::Hint(_)
            | Self::Renounce(_)
            | Self::Retime(_) => true,
            Self::Tick
            | Self::Wake(..)
            | Self::Free(_)
            | Self::Arrive(..)
            | Self::Resume(_)
            | Self::Start(_)
            | Self::FindPrimary
            | Self::Touch(_)
            | Self::Commit(_) => false,
        }
    }
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It takes effect and is answered.
    Answered,
    /// It never arrives.
    RequestLost,
    /// It takes effect, and the answer never arrives.
    AnswerLost,
    /// It takes effect at some later time.
    RequestDelayed,
    /// It takes effect, and the answer arrives at some later time.
    AnswerDelayed,
    /// It takes effect, and is answered with an error that says nothing about that.
    Unknown,
    /// It is answered with what stood there before the last change.
    Stale,
}

/// Whether the requests that a process has just made have left it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// They have.
    Yes,
    /// They have not.
    No,
}

/// Whether somebody releases what a dead process held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Burial {
    /// The service manager did what follows every end.
    Held,
    /// The host is gone, or the database could not be reached.
    None,
}

const LANES: [Lane; 2] = [Lane::Lease, Lane::Fence];
const DUES: [Due; 3] = [Due::LeaseLimit, Due::FenceLimit, Due::Timer];

/// Collects what can happen.
pub(crate) fn possible(world: &World, setting: Setting, actions: &mut Vec<Action>) {
    of_transactions(world, setting, actions);
    if actions.is_empty()
        && let Some(slot) = (0..3).find(|slot| wakes_first(&world.masters[*slot]))
    {
        of_process(world, setting, slot, actions);
        return;
    }
    let mut calm = true;
    for slot in 0..3 {
        calm &= of_master(world, setting, slot, actions);
    }
    for (index, late) in world.late.iter().enumerate() {
        calm &= !late.urgent;
        of_late(world, index, late, actions);
    }
    of_primary(world, actions);
    if calm {
        actions.push(Action::Tick);
    }
}

fn is_due(master: &Master) -> bool {
    DUES.into_iter().any(|due| master.due(due))
}

fn wakes_first(master: &Master) -> bool {
    master.health == Health::Up && master.lease.undisturbed() && master.fence.undisturbed() && is_due(master)
}

/// Collects what can happen to a master; whether time can go on as far as it is concerned.
fn of_master(world: &World, setting: Setting, slot: usize, actions: &mut Vec<Action>) -> bool {
    let master = &world.masters[slot];
    let left = world.left;
    let urgent = master.lease.urgent() || master.fence.urgent();
    for lane in LANES {
        of_call(world, slot, lane, actions);
    }
    if left.allows(left.restarts) && master.health != Health::Down {
        for burial in [Burial::Held, Burial::None] {
            actions.push(Action::End(slot, Sent::No, burial));
            if urgent {
                actions.push(Action::End(slot, Sent::Yes, burial));
            }
        }
    }
    match master.health {
        Health::Down => {
            if !world.late.iter().any(|late| late.urgent) {
                actions.push(Action::Start(slot));
            }
            !urgent
        }
        Health::Paused => {
            if setting.suspended
                || is_due(master)
                || matches!(master.lease, Flight::Answered(_) | Flight::Unsent)
                || matches!(master.fence, Flight::Answered(_) | Flight::Unsent)
            {
                actions.push(Action::Resume(slot));
            }
            !urgent
        }
        Health::Up => {
            of_process(world, setting, slot, actions);
            !urgent && !is_due(master)
        }
    }
}

/// Collects what a running process can do by itself, and what can be done to it.
fn of_process(world: &World, setting: Setting, slot: usize, actions: &mut Vec<Action>) {
    let master = &world.masters[slot];
    let left = world.left;
    let urgent = master.lease.urgent() || master.fence.urgent();
    let mut due = false;
    for reason in DUES.into_iter().filter(|reason| master.due(*reason)) {
        due = true;
        actions.push(Action::Wake(slot, reason));
    }
    if left.allows(left.pauses) && (due || urgent || setting.suspended) {
        actions.push(Action::Pause(slot, Sent::Yes));
        if urgent {
            actions.push(Action::Pause(slot, Sent::No));
        }
    }
    match &master.election.state.role {
        Role::Following { .. } if left.hints > 0 && master.election.state.next_call_at > NOW.monotonic => {
            actions.push(Action::Hint(slot));
        }
        Role::Holding(_) => {
            if left.renounces > 0 {
                actions.push(Action::Renounce(slot));
            }
            if left.retimes > 0 {
                actions.push(Action::Retime(slot));
            }
        }
        Role::Following { .. } | Role::Releasing(_) => {}
    }
}

/// Collects what can happen to the call of a master in a lane.
fn of_call(world: &World, slot: usize, lane: Lane, actions: &mut Vec<Action>) {
    let master = &world.masters[slot];
    let (urgent, held, freed, answered) = match lane {
        Lane::Lease => (
            master.lease.urgent(),
            master.lease == Flight::Held,
            false,
            matches!(master.lease, Flight::Answered(_)),
        ),
        Lane::Fence => (
            master.fence.urgent(),
            master.fence == Flight::Held,
            master.fence == Flight::Freed,
            matches!(master.fence, Flight::Answered(_)),
        ),
    };
    if answered && master.health == Health::Up {
        actions.push(Action::Arrive(slot, lane));
    }
    if (!urgent && !held) || (held && world.outage) {
        return;
    }
    actions.push(Action::Serve(slot, lane, Fate::Answered));
    if world.outage {
        return;
    }
    let looks = lane == Lane::Lease && master.command() == Command::Look;
    if urgent && !freed && lane == Lane::Fence && frees_something(&world.database, master) {
        actions.push(Action::Free(slot));
    }
    let left = world.left;
    if looks && left.allows(left.stale) && world.database.former.is_some() {
        actions.push(Action::Serve(slot, lane, Fate::Stale));
    }
    if left.allows(left.lost) {
        if urgent {
            actions.push(Action::Serve(slot, lane, Fate::RequestLost));
        }
        if !looks {
            actions.push(Action::Serve(slot, lane, Fate::AnswerLost));
        }
    }
    if left.allows(left.delayed) {
        if urgent {
            actions.push(Action::Serve(slot, lane, Fate::RequestDelayed));
        }
        actions.push(Action::Serve(slot, lane, Fate::AnswerDelayed));
    }
    if left.allows(left.unknown) {
        actions.push(Action::Serve(slot, lane, Fate::Unknown));
    }
}

/// Whether a transaction could come between the two halves of this master's raise.
fn frees_something(database: &Database, master: &Master) -> bool {
    (0..2).any(|place| term_at(place) < master.raising() && database.acted[place])
}

fn of_late(world: &World, index: usize, late: &Late, actions: &mut Vec<Action>) {
    if !late.urgent {
        if !world.outage {
            actions.push(Action::Late(index, Fate::Answered));
        }
        return;
    }
    actions.push(Action::Late(index, Fate::Answered));
    if world.left.allows(world.left.lost) && !world.outage {
        actions.push(Action::Late(index, Fate::RequestLost));
    }
    if world.left.allows(world.left.delayed) && !world.outage {
        actions.push(Action::Late(index, Fate::RequestDelayed));
    }
}

fn of_primary(world: &World, actions: &mut Vec<Action>) {
    let noticed = world.masters.iter().any(|master| master.lease.urgent() || master.fence.urgent())
        || world.late.iter().any(|late| late.urgent);
    if noticed && world.outage {
        actions.push(Action::FindPrimary);
    } else if noticed && world.left.allows(world.left.outages) {
        actions.push(Action::LosePrimary);
    }
}

fn of_transactions(world: &World, setting: Setting, actions: &mut Vec<Action>) {
    if world.outage {
        return;
    }
    let database = &world.database;
    for place in 0..2 {
        if world.left.transactions > 0 && database.may_begin(place) && raise_above(world, place) {
            actions.push(Action::Begin(place));
        }
        if database.transaction(place).is_some_and(Transaction::untouched) {
            actions.push(Action::Touch(place));
        }
        if database.may_commit(setting.rules, place) {
            actions.push(Action::Commit(place));
        }
    }
}

/// Whether the fence stands above this term, or a raise above it is on its way.
fn raise_above(world: &World, place: usize) -> bool {
    let term = term_at(place);
    let coming = world.masters.iter().any(|master| !master.fence.undisturbed() && master.raising() > term);
    let late = world
        .late
        .iter()
        .any(|late| matches!(late.request, Request::Command(Command::Raise { term: to }) if to > term));
    world.database.fence > term || coming || late
}
