//! What must hold in every state.

use kontena_core::election::{Acting, Role};
use stateright::Property;

use crate::database::{Breach, term_at};
use crate::lease_model::{LAST_TERM, LeaseModel};
use crate::master::{DEAD, Health, Master};
use crate::normal_form::fold;
use crate::recovery;
use crate::world::World;

/// By true time: the model has one, and each deadline is compared with the clock of its own master in it.
pub(crate) const ONE_ACTS: &str = "no two masters act at once";
/// In the database and in what the masters believe, at once and one after the other.
pub(crate) const ONE_HOLDER: &str = "a term has one holder";
/// Nobody acts before the fence stands at its term.
pub(crate) const FENCE_FIRST: &str = "whoever acts raised the fence before";
/// What is fenced is over once the fence was raised.
pub(crate) const NO_LATE_EFFECT: &str = "no effect of a term is committed after a higher term was raised";
/// Neither that of the lease nor that of the fence.
pub(crate) const TERMS_RISE: &str = "terms never fall";
/// A time without a primary, and no other fault.
pub(crate) const OUTAGE_IS_FREE: &str = "a time without a primary alone never costs the leader its term";
/// One call per lane.
pub(crate) const ONE_CALL: &str = "a lane has one call under way";
/// Without further faults, soon.
pub(crate) const RECOVERS: &str = "without further faults a leader acts soon";

/// All of them.
pub(crate) fn all() -> Vec<Property<LeaseModel>> {
    vec![
        Property::always(ONE_ACTS, one_acts),
        Property::always(ONE_HOLDER, one_holder),
        Property::always(FENCE_FIRST, fence_first),
        Property::always(NO_LATE_EFFECT, |_, world: &World| {
            world.database.breach != Some(Breach::LateEffect)
        }),
        Property::always(TERMS_RISE, |_, world: &World| world.database.breach != Some(Breach::TermFell)),
        Property::always(OUTAGE_IS_FREE, outage_is_free),
        Property::always(ONE_CALL, |_, world: &World| world.database.breach != Some(Breach::LaneOccupied)),
        Property::always(RECOVERS, |model: &LeaseModel, world: &World| {
            !fold(world).is_multiple_of(model.sample) || recovery::recovers(model, world)
        }),
    ]
}

/// Whether all of them hold, but for recovery.
pub(crate) fn safe(model: &LeaseModel, world: &World) -> bool {
    world.database.breach.is_none()
        && one_acts(model, world)
        && one_holder(model, world)
        && fence_first(model, world)
        && outage_is_free(model, world)
}

fn one_acts(model: &LeaseModel, world: &World) -> bool {
    acting(model, world).count() <= 1
}

fn one_holder(_: &LeaseModel, world: &World) -> bool {
    world.database.breach != Some(Breach::TermTakenTwice) && held_terms_differ(world)
}

fn fence_first(model: &LeaseModel, world: &World) -> bool {
    acting(model, world).all(|(_, acting)| world.database.fence >= acting.term)
}

/// What the model must get to, or it would prove nothing about it.
pub(crate) fn goals() -> Vec<Property<LeaseModel>> {
    vec![
        Property::sometimes("a leader acts in the last term", |model: &LeaseModel, world: &World| {
            acting(model, world).any(|(_, acting)| acting.term == LAST_TERM)
        }),
        Property::sometimes("two masters believe to hold the lease", |_, world: &World| {
            let holds = |master: &&Master| matches!(master.election.state.role, Role::Holding(_));
            world.masters.iter().filter(holds).count() == 2
        }),
        Property::sometimes("a paused master still may act", |model: &LeaseModel, world: &World| {
            acting(model, world).any(|(master, _)| master.health == Health::Paused)
        }),
        Property::sometimes("a leader acts without a primary", |model: &LeaseModel, world: &World| {
            world.outage && acting(model, world).next().is_some()
        }),
        Property::sometimes("a request of a dead process is late", |_, world: &World| {
            world.late.iter().any(|late| late.from == DEAD && !late.urgent)
        }),
        Property::sometimes("a transaction is open while a higher term is raised", |_, world: &World| {
            (0..2).any(|place| {
                world.database.transaction(place).is_some() && world.database.fence > term_at(place)
            })
        }),
    ]
}

fn acting<'a>(model: &LeaseModel, world: &'a World) -> impl Iterator<Item = (&'a Master, Acting)> {
    let setting = model.setting;
    world.masters.iter().filter_map(move |master| Some((master, master.acting(setting)?)))
}

fn held_terms_differ(world: &World) -> bool {
    let held = |slot: usize| match &world.masters[slot].election.state.role {
        Role::Holding(holding) => Some(holding.term),
        Role::Following { .. } | Role::Releasing(_) => None,
    };
    [(0, 1), (0, 2), (1, 2)].into_iter().all(|(a, b)| held(a).is_none() || held(a) != held(b))
}

fn outage_is_free(model: &LeaseModel, world: &World) -> bool {
    if !world.left.only_outages_spent(model.budget) {
        return true;
    }
    let database = &world.database;
    // Whoever acted first in a run without other faults is the leader for ever.
    match database.acted {
        [false, false] => true,
        [first, second] => first != second && database.term().0 == if first { 1 } else { 2 },
    }
}
