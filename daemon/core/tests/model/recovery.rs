//! What happens from some state on if nothing goes wrong any more.

use kontena_core::election::Lane;

use crate::action::{self, Action, Fate};
use crate::lease_model::LeaseModel;
use crate::master::{Due, Flight, Health, holder};
use crate::normal_form::normalise;
use crate::world::World;

/// After so many ticks somebody must act, and the lease and the fence must be its own: three ttl.
const LIMIT: u32 = 60;

/// Whether a leader acts soon, from this state on and without further faults.
pub(crate) fn recovers(model: &LeaseModel, world: &World) -> bool {
    let mut world = world.clone();
    heal(model, &mut world);
    for ticks in 0..=LIMIT {
        if !settle(model, &mut world) {
            return false;
        }
        if led(model, &world) {
            model.recovery.note(ticks);
            return true;
        }
        happen(model, &mut world, Action::Tick);
    }
    false
}

fn happen(model: &LeaseModel, world: &mut World, action: Action) {
    action::happen(world, model.setting, action);
    normalise(world, model.setting);
}

/// Ends every fault that lasts, and delivers whatever is still on its way.
fn heal(model: &LeaseModel, world: &mut World) {
    world.outage = false;
    for late in std::mem::take(&mut world.late) {
        world.take_late_effect(model.setting, &late);
    }
    for master in world.masters.iter_mut() {
        master.health = Health::Up;
        if matches!(master.lease, Flight::Held | Flight::Unsent) {
            master.lease = Flight::Fresh;
        }
        if matches!(master.fence, Flight::Held | Flight::Unsent) {
            master.fence = Flight::Fresh;
        }
    }
}

/// Does everything that is due before time goes on. False if there is no end of it.
fn settle(model: &LeaseModel, world: &mut World) -> bool {
    for _ in 0..100 {
        let Some(action) = (0..3).find_map(|slot| due(world, slot)) else {
            return true;
        };
        happen(model, world, action);
    }
    false
}

fn due(world: &World, slot: usize) -> Option<Action> {
    let master = &world.masters[slot];
    if matches!(master.lease, Flight::Answered(_)) {
        return Some(Action::Arrive(slot, Lane::Lease));
    }
    if matches!(master.fence, Flight::Answered(_)) {
        return Some(Action::Arrive(slot, Lane::Fence));
    }
    if master.lease.urgent() {
        return Some(Action::Serve(slot, Lane::Lease, Fate::Answered));
    }
    if master.fence.urgent() {
        return Some(Action::Serve(slot, Lane::Fence, Fate::Answered));
    }
    [Due::LeaseLimit, Due::FenceLimit, Due::Timer]
        .into_iter()
        .find(|due| master.due(*due))
        .map(|due| Action::Wake(slot, due))
}

/// Whether somebody acts for whom the database stands as well, so that it goes on for good.
fn led(model: &LeaseModel, world: &World) -> bool {
    let database = &world.database;
    (0..3).any(|slot| {
        world.masters[slot].acting(model.setting).is_some_and(|acting| {
            database
                .lease
                .is_some_and(|lease| lease.holder == Some(holder(slot)) && lease.version.term == acting.term)
                && database.fence == acting.term
        })
    })
}
