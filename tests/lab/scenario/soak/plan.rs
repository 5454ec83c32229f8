//! What happens in a soak and when: a modest pace of orders, and a leader that changes now and then. A pure function
//! of the length.

use std::time::Duration;

use crate::administrators::{GRIDS, Item, Order, Wish};

/// From one order to the next.
const ORDER_EVERY: Duration = Duration::from_secs(20);
/// Services and stacks that there are at any time.
const SERVICES: usize = 8;
const STACKS: usize = 2;
/// A stack of this version is not upgraded any more: another one takes its place.
const VERSION_MAX: u32 = 12;
/// Handovers in a run, and the least and the most time between two.
const HANDOVERS: u32 = 12;
const HANDOVER_EVERY: [Duration; 2] = [Duration::from_secs(40), Duration::from_secs(900)];
/// Nothing is begun so shortly before the end: what was begun is to be seen to its end.
const QUIET_END: Duration = Duration::from_secs(30);

/// One thing that happens, counted from the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) at: Duration,
    pub(super) deed: Deed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    Order(Order),
    /// The leader steps down as planned.
    StepDown,
    /// The one master that is killed, whoever leads, is killed and started again.
    Kill,
}

/// The plan for so long.
pub(super) fn plan(length: Duration) -> Vec<Event> {
    let end = length.saturating_sub(QUIET_END);
    let mut events = orders(end);
    let [least, most] = HANDOVER_EVERY;
    let every = (length / HANDOVERS).clamp(least, most);
    let mut at = every;
    for turn in 0_usize.. {
        if at >= end {
            break;
        }
        let deed = if turn.is_multiple_of(2) { Deed::StepDown } else { Deed::Kill };
        events.push(Event { at, deed });
        at += every;
    }
    events.sort_by_key(|event| event.at);
    events
}

fn orders(end: Duration) -> Vec<Event> {
    let item = |kind: &str, number: usize| Item { grid: number % GRIDS, name: format!("{kind}-{number}") };
    let mut events = Vec::new();
    let mut give = |at: Duration, item: &Item, wish: Wish| {
        events.push(Event { at, deed: Deed::Order(Order { item: item.clone(), wish }) });
    };
    let make = Wish::Make { strategy: "ha", instances: 2 };
    let mut services: Vec<Item> = (0..SERVICES).map(|number| item("web", number)).collect();
    let mut stacks: Vec<(Item, u32)> = (0..STACKS).map(|number| (item("shop", number), 1)).collect();
    let (mut next_service, mut next_stack) = (SERVICES, STACKS);
    for service in &services {
        give(Duration::ZERO, service, make);
    }
    for (stack, version) in &stacks {
        give(Duration::ZERO, stack, Wish::Install { version: *version });
    }
    let mut at = ORDER_EVERY;
    for turn in 0_usize.. {
        if at >= end {
            break;
        }
        let chosen = turn / 2 % SERVICES;
        let version = u32::try_from(turn).unwrap_or(u32::MAX);
        match (turn % 6, services.get_mut(chosen), stacks.get_mut(turn / 6 % STACKS)) {
            (0 | 2 | 4, Some(service), _) => {
                let instances = 1 + version / 2 % 4;
                give(at, service, Wish::Scale { instances });
            }
            (1, Some(service), _) => give(at, service, Wish::Update { version }),
            (3, _, Some((stack, version))) if *version < VERSION_MAX => {
                *version += 1;
                give(at, stack, Wish::Upgrade { version: *version });
            }
            (3, _, Some((stack, version))) => {
                give(at, stack, Wish::RemoveStack);
                (*stack, *version) = (item("shop", next_stack), 1);
                next_stack += 1;
                give(at, stack, Wish::Install { version: *version });
            }
            (5, Some(service), _) => {
                give(at, service, Wish::Remove);
                *service = item("web", next_service);
                next_service += 1;
                give(at, service, make);
            }
            _ => {}
        }
        at += ORDER_EVERY;
    }
    events
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn both_kinds_of_handover_happen_in_short_runs_too() {
        for length in [HOUR / 10, HOUR, 4 * HOUR] {
            let plan = plan(length);
            let count = |wanted: &Deed| plan.iter().filter(|event| event.deed == *wanted).count();
            assert!(count(&Deed::StepDown) >= 2 && count(&Deed::Kill) >= 2, "{length:?}");
            assert!(plan.iter().all(|event| event.at < length));
        }
    }

    #[test]
    fn as_much_is_there_at_the_end_as_at_the_beginning() {
        let mut there = BTreeSet::new();
        for Event { at, deed } in plan(8 * HOUR) {
            let Deed::Order(Order { item, wish }) = deed else { continue };
            match wish {
                Wish::Make { .. } | Wish::Install { .. } => assert!(there.insert(item), "twice"),
                Wish::Remove | Wish::RemoveStack => assert!(there.remove(&item), "{item} was not there"),
                _ => assert!(there.contains(&item), "{item} is not there at {at:?}"),
            }
            assert!(there.len() <= SERVICES + STACKS);
        }
        assert_eq!(there.len(), SERVICES + STACKS);
    }
}
