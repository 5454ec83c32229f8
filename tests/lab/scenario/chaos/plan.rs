//! What happens and when: a pure function of the seed, so that a run can be made again.

use std::collections::BTreeMap;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::administrators::{GRIDS, Item, Order, Wish};

/// How many masters there are.
const MASTERS: usize = 3;
/// Nothing happens before.
const QUIET: Duration = Duration::from_secs(3);
/// As many services, and stacks, as there may be at a time.
const SERVICES_MAX: usize = 16;
const STACKS_MAX: usize = 3;
/// For how long a primary that stepped down is barred from election.
pub(super) const BARRED_SECONDS: u32 = 4;

/// One thing that happens, counted from the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: Duration,
    pub(super) deed: Deed,
}

/// Which master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// Whoever leads at that moment.
    Leader,
    /// The one at this place.
    Place(usize),
}

/// What happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// A fault of a master begins. Its end names the same number.
    Strike { fault: usize, whom: Whom, blow: Blow },
    /// It ends.
    Heal { fault: usize },
    /// The database's primary is killed; it is started again by the next [`Deed::RestartMember`].
    KillPrimary,
    /// The member that was killed comes back.
    RestartMember,
    /// The database's primary steps down.
    StepDown,
    /// A host is lost with all that it has.
    DropAgent { agent: usize },
    /// It is back, without what it had.
    ReturnAgent { agent: usize },
    /// An agent reaches no master.
    CutAgent { agent: usize },
    /// An agent takes this long for each message.
    SlowAgent { agent: usize, by: Duration },
    /// An agent is as it should be again.
    HealAgent { agent: usize },
    /// A new host, in the grid of this place.
    AddAgent { agent: usize, grid: usize },
    /// An administrator wants something.
    Order(Order),
}

/// What happens to a master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blow {
    /// SIGKILL, and its lease is given back, as the service manager does.
    Kill,
    /// SIGKILL, and nobody gives its lease back, as when its host is lost.
    Lose,
    /// SIGSTOP.
    Pause,
    /// It cannot reach the database.
    Cut,
    /// What it sends to the database, and gets from it, takes so many milliseconds longer.
    Slow(u64),
    /// SIGTERM, as for an upgrade.
    Stop,
}

/// The plan of a seed for so long, with so many agents at the beginning.
pub(super) fn plan(seed: u64, length: Duration, agents: usize) -> Vec<Event> {
    let dice = |lane: u64| StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(lane));
    let mut events = masters(&mut dice(1), length);
    events.extend(database(&mut dice(2), length));
    events.extend(hosts(&mut dice(3), length, agents));
    events.extend(orders(&mut dice(4), length));
    events.extend(drains(&mut dice(5), length, agents));
    events.sort_by_key(|event| event.at);
    events
}

fn span(dice: &mut StdRng, from: u64, to: u64) -> Duration {
    Duration::from_millis(dice.random_range(from..to))
}

/// At most two masters are struck at once, so that one is always there; and the leader only by itself.
fn masters(dice: &mut StdRng, length: Duration) -> Vec<Event> {
    let mut events = Vec::new();
    let (mut at, mut fault) = (QUIET, 0);
    while at < length {
        let first = dice.random_range(0..MASTERS);
        let leader = dice.random_bool(0.5);
        let second = !leader && dice.random_bool(0.4);
        let mut over = at;
        for (number, later) in [(0, 0), (1, 3000)].into_iter().take(1 + usize::from(second)) {
            let whom = if leader { Whom::Leader } else { Whom::Place((first + number) % MASTERS) };
            let delay = dice.random_range(5..150);
            let blow = match dice.random_range(0..8) {
                0 => Blow::Kill,
                1 => Blow::Lose,
                2 | 3 => Blow::Pause,
                4 => Blow::Slow(delay),
                5 => Blow::Stop,
                _ => Blow::Cut,
            };
            let begins = (at + span(dice, 0, later + 1)).min(length);
            let ends = (begins + span(dice, 500, 12_000)).min(length);
            events.push(Event { at: begins, deed: Deed::Strike { fault, whom, blow } });
            events.push(Event { at: ends, deed: Deed::Heal { fault } });
            (fault, over) = (fault + 1, over.max(ends));
        }
        at = over + span(dice, 200, 3000);
    }
    events
}

fn database(dice: &mut StdRng, length: Duration) -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = QUIET + span(dice, 2000, 8000);
    while at < length {
        if dice.random_bool(0.6) {
            let ends = (at + span(dice, 1000, 8000)).min(length);
            events.push(Event { at, deed: Deed::KillPrimary });
            events.push(Event { at: ends, deed: Deed::RestartMember });
            at = ends;
        } else {
            events.push(Event { at, deed: Deed::StepDown });
        }
        at += span(dice, 4000, 14_000);
    }
    events
}

fn hosts(dice: &mut StdRng, length: Duration, agents: usize) -> Vec<Event> {
    let mut events = Vec::new();
    // Until when each is in trouble.
    let mut busy = vec![Duration::ZERO; agents];
    let mut at = QUIET;
    while at < length {
        let agent = dice.random_range(0..busy.len());
        let longest = if dice.random_bool(0.3) { 45_000 } else { 8000 };
        let ends = (at + span(dice, 500, longest)).min(length);
        let kind = dice.random_range(0..10);
        let by = span(dice, 50, 800);
        if kind == 0 && busy.len() < agents * 2 {
            let agent = busy.len();
            events.push(Event { at, deed: Deed::AddAgent { agent, grid: agent % GRIDS } });
            busy.push(at);
        } else if busy.get(agent).is_some_and(|until| *until < at) {
            let (deed, heals) = match kind {
                0..=3 => (Deed::DropAgent { agent }, Deed::ReturnAgent { agent }),
                4..=6 => (Deed::CutAgent { agent }, Deed::HealAgent { agent }),
                _ => (Deed::SlowAgent { agent, by }, Deed::HealAgent { agent }),
            };
            events.push(Event { at, deed });
            events.push(Event { at: ends, deed: heals });
            if let Some(until) = busy.get_mut(agent) {
                *until = ends;
            }
        }
        at += span(dice, 300, 3000);
    }
    events
}

fn orders(dice: &mut StdRng, length: Duration) -> Vec<Event> {
    let mut events = Vec::new();
    let (mut services, mut stopped): (Vec<Item>, Vec<Item>) = (Vec::new(), Vec::new());
    let mut stacks: BTreeMap<Item, u32> = BTreeMap::new();
    let (mut at, mut number) = (Duration::ZERO, 0);
    while at < length {
        number += 1;
        let kind = dice.random_range(0..24);
        let grid = dice.random_range(0..GRIDS);
        let instances = dice.random_range(1..=4);
        let chosen = dice.random_range(0..services.len().max(1));
        let stack = stacks.keys().nth(dice.random_range(0..stacks.len().max(1))).cloned();
        let order = match (kind, services.get(chosen).cloned(), stack) {
            (0..=4, ..) | (_, None, _) if services.len() < SERVICES_MAX => {
                let item = Item { grid, name: format!("web-{number}") };
                services.push(item.clone());
                let strategy = ["ha", "ha", "random", "daemon"][dice.random_range(0..4)];
                let instances = if strategy == "daemon" { 1 } else { instances };
                Some(Order { item, wish: Wish::Make { strategy, instances } })
            }
            (5..=6, _, _) | (_, _, None) if stacks.len() < STACKS_MAX => {
                let item = Item { grid, name: format!("shop-{number}") };
                stacks.insert(item.clone(), 1);
                Some(Order { item, wish: Wish::Install { version: 1 } })
            }
            (7..=12, Some(item), _) => Some(Order { item, wish: Wish::Scale { instances } }),
            (13..=14, Some(item), _) => Some(Order { item, wish: Wish::Update { version: number } }),
            (15, Some(item), _) => {
                services.swap_remove(chosen);
                Some(Order { item, wish: Wish::Remove })
            }
            (20..=21, Some(item), _) => {
                stopped.push(services.swap_remove(chosen));
                Some(Order { item, wish: Wish::Stop })
            }
            (22..=23, ..) => stopped.pop().map(|item| {
                services.push(item.clone());
                Order { item, wish: Wish::Start }
            }),
            (16..=18, _, Some(item)) => stacks.get_mut(&item).map(|version| {
                *version += 1;
                Order { item: item.clone(), wish: Wish::Upgrade { version: *version } }
            }),
            (19, _, Some(item)) => {
                stacks.remove(&item);
                Some(Order { item, wish: Wish::RemoveStack })
            }
            _ => None,
        };
        events.extend(order.map(|order| Event { at, deed: Deed::Order(order) }));
        at += span(dice, 100, 1400);
    }
    // A daemon is scaled by its grid.
    let daemons: Vec<Item> = events.iter().filter_map(daemon).collect();
    events.retain(|event| {
        !matches!(&event.deed, Deed::Order(Order { item, wish: Wish::Scale { .. } }) if daemons.contains(item))
    });
    events
}

/// One node at a time, as when hosts are maintained one after the other.
fn drains(dice: &mut StdRng, length: Duration, agents: usize) -> Vec<Event> {
    let mut events = Vec::new();
    let mut at = QUIET;
    while at < length {
        let agent = dice.random_range(0..agents.max(1));
        let item = Item { grid: agent % GRIDS, name: format!("node-{agent}") };
        let ends = (at + span(dice, 1000, 15_000)).min(length);
        events.push(Event { at, deed: Deed::Order(Order { item: item.clone(), wish: Wish::Drain }) });
        events.push(Event { at: ends, deed: Deed::Order(Order { item, wish: Wish::Activate }) });
        at = ends + span(dice, 1000, 8000);
    }
    events
}

fn daemon(event: &Event) -> Option<Item> {
    match &event.deed {
        Deed::Order(Order { item, wish: Wish::Make { strategy: "daemon", .. } }) => Some(item.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Duration = Duration::from_secs(300);

    #[test]
    fn a_seed_is_a_plan_and_another_seed_another() {
        assert_eq!(plan(7, LENGTH, 8), plan(7, LENGTH, 8));
        assert_ne!(plan(7, LENGTH, 8), plan(8, LENGTH, 8));
    }

    #[test]
    fn everything_happens_in_its_time_and_every_fault_ends() {
        for seed in 0..200 {
            let plan = plan(seed, LENGTH, 8);
            assert!(plan.iter().all(|event| event.at <= LENGTH), "seed {seed}");
            let count = |wanted: fn(&Deed) -> bool| plan.iter().filter(|event| wanted(&event.deed)).count();
            let (begun, ended) = (
                count(|deed| matches!(deed, Deed::Strike { .. })),
                count(|deed| matches!(deed, Deed::Heal { .. })),
            );
            assert!(begun == ended && begun > 10, "seed {seed}: {begun} and {ended}");
            assert_eq!(
                count(|deed| matches!(deed, Deed::KillPrimary)),
                count(|deed| matches!(deed, Deed::RestartMember)),
                "seed {seed}"
            );
            assert_eq!(
                count(|deed| matches!(deed, Deed::DropAgent { .. })),
                count(|deed| matches!(deed, Deed::ReturnAgent { .. })),
                "seed {seed}"
            );
        }
    }

    #[test]
    fn one_master_is_always_left_and_no_two_faults_are_of_one() {
        for seed in 0..200 {
            let mut open: BTreeMap<usize, Whom> = BTreeMap::new();
            for event in plan(seed, LENGTH, 8) {
                match event.deed {
                    Deed::Strike { fault, whom, .. } => {
                        let alone = open.is_empty();
                        let other = open.values().all(|struck| *struck != Whom::Leader && *struck != whom);
                        assert!(alone || (other && whom != Whom::Leader && open.len() < 2), "seed {seed}");
                        open.insert(fault, whom);
                    }
                    Deed::Heal { fault } => drop(open.remove(&fault)),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn what_is_removed_is_not_wanted_otherwise_later() {
        for seed in 0..50 {
            let mut there: Vec<Item> = Vec::new();
            for event in plan(seed, LENGTH, 8) {
                let Deed::Order(Order { item, wish }) = event.deed else { continue };
                match wish {
                    Wish::Make { .. } | Wish::Install { .. } => {
                        assert!(!there.contains(&item), "seed {seed}: {item} twice");
                        there.push(item);
                    }
                    Wish::Drain | Wish::Activate => {}
                    Wish::Remove | Wish::RemoveStack => {
                        assert!(there.contains(&item), "seed {seed}: {item}");
                        there.retain(|other| *other != item);
                    }
                    _ => assert!(there.contains(&item), "seed {seed}: {item}"),
                }
            }
        }
    }
}
