//! The plan of one service: a node for each instance, or why there is none.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::filter::{Filters, Sieve};
use super::grid::Grid;
use super::report::{Reason, Refusal};
use super::service::{Service, Strategy};
use super::strategy::{Load, choose};
use crate::id::Id;

/// Why a node was chosen: the least of these three in this order, among the nodes that were left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The node.
    pub node: Id,
    /// Its position among the grid's nodes.
    pub at: usize,
    /// Whether the instance was there before.
    pub stays: bool,
    /// How many instances of this plan were in its zone by then.
    pub zone_load: u32,
    /// How many instances of this plan were on it by then.
    pub node_load: u32,
    /// The original's rank.
    pub rank: f64,
}

/// No node is left for an instance; the original's words for it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unplaced(pub String);

/// What becomes of one instance.
#[derive(Clone, Debug, PartialEq)]
pub struct Placement {
    /// Counts from 1.
    pub number: i64,
    /// Its node.
    pub outcome: Result<Choice, Unplaced>,
    /// The nodes that were refused for this instance, beside those of the plan.
    pub refused: Vec<Refusal>,
}

/// Where the instances of a service go.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// One for each instance, by number, from 1.
    pub placements: Vec<Placement>,
    /// The nodes that were refused for every instance.
    pub refused: Vec<Refusal>,
}

impl Plan {
    /// Each node that takes an instance.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<Id> {
        self.placements.iter().filter_map(|placement| Some(placement.outcome.as_ref().ok()?.node)).collect()
    }
}

/// Plans a service. Without a `grace` only connected nodes count; with one also those that host an instance and
/// were seen within it.
#[must_use]
pub fn plan(grid: &Grid, service: &Service, grace: Option<Duration>) -> Plan {
    let mut filters = Filters::new(grid, service);
    let mut sieve = filters.present(grace);
    let present = sieve.left.len();
    let common = filters.common(&mut sieve);
    let most = service.strategy.count(present, service.instances);
    let count = match service.strategy {
        Strategy::HighAvailability | Strategy::Random => most,
        Strategy::Daemon => {
            let simulated = place(grid, service, &filters, &sieve, &common, most, most);
            let nodes: BTreeSet<usize> =
                simulated.iter().filter_map(|placement| Some(placement.outcome.as_ref().ok()?.at)).collect();
            service.strategy.count(nodes.len(), service.instances)
        }
    };
    // Those of higher numbers go before anything is placed.
    filters.before.retain(|number, _| usize::try_from(*number).is_ok_and(|number| number <= count));
    let placements = place(grid, service, &filters, &sieve, &common, count, most);
    Plan { placements, refused: sieve.refused }
}

fn place(
    grid: &Grid,
    service: &Service,
    filters: &Filters<'_>,
    sieve: &Sieve,
    common: &Result<(), String>,
    count: usize,
    most: usize,
) -> Vec<Placement> {
    let mut load = Load::new(grid, service, &filters.before, most);
    let mut now: BTreeMap<i64, usize> = BTreeMap::new();
    let mut placements = Vec::with_capacity(count);
    let mut own = Sieve::default();
    for number in (1..).take(count) {
        own.left.clone_from(&sieve.left);
        own.refused.clear();
        let passed = match common {
            Ok(()) => filters.single(&mut own, number, &now),
            Err(message) => Err(message.clone()),
        };
        let host = filters.before.get(&number).copied();
        load.turn(grid, host);
        let outcome = passed.map_err(Unplaced).and_then(|()| {
            let chosen = choose(grid, service, number, &own.left, host, &load).ok_or_else(|| {
                own.refused
                    .extend(own.left.iter().map(|node| Refusal { node: *node, reason: Reason::Stateful }));
                Unplaced(format!("Cannot find the node of the data of {}-{number}", service.name))
            });
            chosen.map(|(at, rank)| Choice {
                node: grid.nodes.get(at).map_or(service.id, |node| node.id),
                at,
                stays: host == Some(at),
                zone_load: rank.zone,
                node_load: rank.node,
                rank: rank.original,
            })
        });
        if let Ok(choice) = &outcome {
            load.add(grid, choice.at, number);
            now.insert(number, choice.at);
        }
        placements.push(Placement { number, outcome, refused: std::mem::take(&mut own.refused) });
    }
    placements
}
