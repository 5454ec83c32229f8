//! What each thing that can happen does to the world.

use kontena_core::election::{Answer, Command, EndReason, Input, Lane, RaiseAnswer, Role, SitOut};

use super::{Action, Burial, Fate, Sent};
use crate::database::term_at;
use crate::master::{DEAD, Due, Flight, Health, Master};
use crate::normal_form::pass_tick;
use crate::rules::Rules;
use crate::setting::Setting;
use crate::world::{Late, Reply, Request, World};

/// Does what can happen.
pub(crate) fn happen(world: &mut World, setting: Setting, action: Action) {
    match action {
        Action::Tick => {
            for master in world.masters.iter_mut() {
                pass_tick(master, setting.suspended);
            }
            if setting.rules == Rules::RenewedAtTrusted {
                world.database.renewed_at = (world.database.renewed_at - 1).max(-100);
            }
        }
        Action::Wake(slot, due) => wake(world, setting, slot, due),
        Action::Serve(slot, lane, fate) => serve(world, setting, slot, lane, fate),
        Action::Free(slot) => {
            let master = &mut world.masters[slot];
            master.fence = Flight::Freed;
            world.database.free(master.raising());
        }
        Action::Arrive(slot, lane) => arrive(world, setting, slot, lane),
        Action::Late(index, fate) => serve_late(world, setting, index, fate),
        Action::Pause(slot, sent) => {
            spend(&mut world.left.pauses, &mut world.left.faults);
            let master = &mut world.masters[slot];
            master.health = Health::Paused;
            if sent == Sent::No {
                hold_back(&mut master.lease);
                hold_back(&mut master.fence);
            }
        }
        Action::Resume(slot) => {
            let master = &mut world.masters[slot];
            master.health = Health::Up;
            send(&mut master.lease);
            send(&mut master.fence);
        }
        Action::End(slot, sent, burial) => {
            spend(&mut world.left.restarts, &mut world.left.faults);
            world.end(setting, slot, sent == Sent::Yes);
            if burial == Burial::Held {
                world.late.push(Late { from: DEAD, request: Request::Bury, urgent: true });
            }
        }
        Action::Start(slot) => world.masters[slot].health = Health::Up,
        Action::LosePrimary => {
            spend(&mut world.left.outages, &mut world.left.faults);
            world.outage = true;
        }
        Action::FindPrimary => world.outage = false,
        Action::Begin(place) => {
            world.left.transactions -= 1;
            world.database.begin(place);
        }
        Action::Touch(place) => touch(world, setting, place),
        Action::Commit(place) => world.database.commit(place),
        Action::Hint(slot) => {
            world.left.hints -= 1;
            step(world, setting, slot, Input::Hint);
        }
        Action::Renounce(slot) => {
            world.left.renounces -= 1;
            let input = Input::Renounce { reason: EndReason::SteppedDown, sit_out: SitOut::UntilOtherTerm };
            step(world, setting, slot, input);
        }
        Action::Retime(slot) => {
            world.left.retimes -= 1;
            let other = setting.other(world.masters[slot].election.candidate.timing);
            step(world, setting, slot, Input::Retime(other));
        }
    }
    if world.left.stale == 0 {
        world.database.former = None;
    }
    world.note_acting(setting);
}

fn step(world: &mut World, setting: Setting, slot: usize, input: Input) {
    world.masters[slot].step(slot, setting, &mut world.database, input);
}

fn hold_back<A>(flight: &mut Flight<A>) {
    if matches!(flight, Flight::Fresh) {
        *flight = Flight::Unsent;
    }
}

fn send<A>(flight: &mut Flight<A>) {
    if matches!(flight, Flight::Unsent) {
        *flight = Flight::Fresh;
    }
}

fn wake(world: &mut World, setting: Setting, slot: usize, due: Due) {
    let input = match due {
        Due::LeaseLimit => {
            world.give_up(slot, Lane::Lease);
            Input::Answered(Answer::Unknown)
        }
        Due::FenceLimit => {
            world.give_up(slot, Lane::Fence);
            Input::RaiseAnswered(RaiseAnswer::Unknown)
        }
        Due::Timer => Input::Tick,
    };
    step(world, setting, slot, input);
}

fn serve(world: &mut World, setting: Setting, slot: usize, lane: Lane, fate: Fate) {
    if world.outage {
        no_answer(&mut world.masters[slot], lane);
        return;
    }
    match fate {
        Fate::Answered | Fate::Unknown => {}
        Fate::Stale => spend(&mut world.left.stale, &mut world.left.faults),
        Fate::RequestLost | Fate::AnswerLost => spend(&mut world.left.lost, &mut world.left.faults),
        Fate::RequestDelayed | Fate::AnswerDelayed => spend(&mut world.left.delayed, &mut world.left.faults),
    }
    match fate {
        Fate::RequestLost => {
            no_answer(&mut world.masters[slot], lane);
            return;
        }
        Fate::RequestDelayed => {
            match lane {
                Lane::Lease => world.masters[slot].lease = Flight::Held,
                Lane::Fence => world.masters[slot].fence = Flight::Held,
            }
            return;
        }
        Fate::Answered | Fate::AnswerLost | Fate::AnswerDelayed | Fate::Unknown | Fate::Stale => {}
    }
    let renews = lane == Lane::Lease
        && matches!(world.masters[slot].command(), Command::Acquire { .. } | Command::Renew { .. });
    let reply = world.take_effect(setting, slot, lane);
    if setting.rules == Rules::RenewedAtTrusted && renews && reply == Some(Reply::Lease(Answer::Applied)) {
        world.database.renewed_at = world.masters[slot].aside.wall_ahead;
    }
    let reply = match (reply, fate) {
        (Some(Reply::Lease(Answer::Seen(_))), Fate::Stale) => {
            Reply::Lease(Answer::Seen(world.database.former))
        }
        (Some(reply), Fate::Answered | Fate::AnswerDelayed) => reply,
        (Some(Reply::Lease(_)), Fate::Unknown) => {
            spend(&mut world.left.unknown, &mut world.left.faults);
            Reply::Lease(Answer::Unknown)
        }
        (Some(Reply::Fence(_)), Fate::Unknown) => {
            spend(&mut world.left.unknown, &mut world.left.faults);
            Reply::Fence(RaiseAnswer::Unknown)
        }
        // A raise that a transaction is in the way of waits until its limit.
        _ => return no_answer(&mut world.masters[slot], lane),
    };
    let master = &mut world.masters[slot];
    let waits = fate == Fate::AnswerDelayed || master.health == Health::Paused;
    match reply {
        Reply::Lease(answer) if waits => master.lease = Flight::Answered(answer),
        Reply::Fence(answer) if waits => master.fence = Flight::Answered(answer),
        Reply::Lease(answer) => step(world, setting, slot, Input::Answered(answer)),
        Reply::Fence(answer) => step(world, setting, slot, Input::RaiseAnswered(answer)),
    }
}

fn no_answer(master: &mut Master, lane: Lane) {
    match lane {
        Lane::Lease => master.lease = Flight::Lost,
        Lane::Fence => master.fence = Flight::Lost,
    }
}

fn arrive(world: &mut World, setting: Setting, slot: usize, lane: Lane) {
    let master = &mut world.masters[slot];
    match lane {
        Lane::Lease => {
            if let Flight::Answered(answer) = std::mem::replace(&mut master.lease, Flight::Idle) {
                step(world, setting, slot, Input::Answered(answer));
            }
        }
        Lane::Fence => {
            if let Flight::Answered(answer) = std::mem::replace(&mut master.fence, Flight::Idle) {
                step(world, setting, slot, Input::RaiseAnswered(answer));
            }
        }
    }
}

fn serve_late(world: &mut World, setting: Setting, index: usize, fate: Fate) {
    if fate == Fate::RequestDelayed {
        spend(&mut world.left.delayed, &mut world.left.faults);
        world.late[index].urgent = false;
        return;
    }
    let late = world.late.remove(index);
    if fate == Fate::RequestLost {
        spend(&mut world.left.lost, &mut world.left.faults);
    } else if !world.outage {
        world.take_late_effect(setting, &late);
    }
}

/// Writes to the fence in a transaction. Whoever finds another term there tells its master, if that runs.
fn touch(world: &mut World, setting: Setting, place: usize) {
    let term = term_at(place);
    if world.database.touch(setting.rules, place) {
        return;
    }
    let superseded = world.masters.iter().position(|master| {
        master.health == Health::Up
            && matches!(&master.election.state.role, Role::Holding(holding) if holding.term == term)
    });
    if let Some(slot) = superseded {
        step(world, setting, slot, Input::Superseded { term });
    }
}

fn spend(kind: &mut u8, all: &mut u8) {
    *kind -= 1;
    *all -= 1;
}
