//! Which of the nodes that passed the filters is taken.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use super::grid::Grid;
use super::service::{Service, Strategy};
use crate::id::Id;

/// What this plan has placed so far.
#[derive(Clone, Debug)]
pub(super) struct Load {
    /// Instances on each node.
    on_node: Vec<u32>,
    /// Instances in each zone.
    in_zone: Vec<u32>,
    /// Numbers on each node, with those of before that could still be there.
    numbers: Vec<Vec<i64>>,
    /// Instances of before whose turn is still to come, on each node.
    later_on_node: Vec<u32>,
    /// The same in each zone.
    later_in_zone: Vec<u32>,
}

/// How a node compares with others; the least is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rank {
    pub(super) zone: u32,
    pub(super) node: u32,
    pub(super) original: f64,
    /// Whether the instance would move, and in whose way it would be then. The original did not ask, and so let one
    /// lost instance move several others.
    moves: (bool, u32, u32),
    lot: u64,
}

impl Rank {
    fn compare(&self, other: &Self) -> Ordering {
        let Self { zone, node, original, moves, lot } = self;
        let load = (zone, node, moves).cmp(&(&other.zone, &other.node, &other.moves));
        load.then(original.total_cmp(&other.original)).then(lot.cmp(&other.lot))
    }
}

impl Load {
    /// Nothing is placed. `most` is the highest number that counts.
    pub(super) fn new(grid: &Grid, service: &Service, before: &BTreeMap<i64, usize>, most: usize) -> Self {
        let zones = grid.zones.iter().max().map_or(0, |last| last + 1);
        let mut numbers = Vec::new();
        if service.strategy == Strategy::Daemon {
            numbers = vec![Vec::new(); grid.nodes.len()];
            let most = i64::try_from(most).unwrap_or(i64::MAX);
            for (number, at) in before.range(..=most) {
                numbers.iter_mut().skip(*at).take(1).for_each(|numbers| numbers.push(*number));
            }
        }
        let (on_node, in_zone) = (vec![0; grid.nodes.len()], vec![0; zones]);
        let mut load = Self {
            later_on_node: on_node.clone(),
            later_in_zone: in_zone.clone(),
            on_node,
            in_zone,
            numbers,
        };
        for at in before.values() {
            load.expect(grid, *at, |later| later + 1);
        }
        load
    }

    /// The turn of an instance has come: what it kept free for itself is free.
    pub(super) fn turn(&mut self, grid: &Grid, host: Option<usize>) {
        if let Some(at) = host {
            self.expect(grid, at, |later| later.saturating_sub(1));
        }
    }

    fn expect(&mut self, grid: &Grid, at: usize, change: impl Fn(u32) -> u32) {
        let zone = grid.zones.get(at).copied().unwrap_or_default();
        self.later_on_node.iter_mut().skip(at).take(1).for_each(|later| *later = change(*later));
        self.later_in_zone.iter_mut().skip(zone).take(1).for_each(|later| *later = change(*later));
    }

    pub(super) fn add(&mut self, grid: &Grid, at: usize, number: i64) {
        let zone = grid.zones.get(at).copied().unwrap_or_default();
        self.on_node.iter_mut().skip(at).take(1).for_each(|load| *load += 1);
        self.in_zone.iter_mut().skip(zone).take(1).for_each(|load| *load += 1);
        for numbers in self.numbers.iter_mut().skip(at).take(1) {
            if !numbers.contains(&number) {
                numbers.push(number);
            }
        }
    }
}

/// The node of an instance. `None`: its data is on a node that is not among the candidates.
pub(super) fn choose(
    grid: &Grid,
    service: &Service,
    number: i64,
    candidates: &[usize],
    host: Option<usize>,
    load: &Load,
) -> Option<(usize, Rank)> {
    let hosted = host.filter(|host| candidates.contains(host));
    let rank = |at: usize| ranked(grid, service, number, at, host, load);
    if service.stateful && host.is_some() {
        return hosted.map(|at| (at, rank(at)));
    }
    if service.strategy == Strategy::Random
        && let Some(at) = hosted
    {
        return Some((at, rank(at)));
    }
    let ranks = candidates.iter().map(|at| (*at, rank(*at)));
    ranks.min_by(|(_, left), (_, right)| left.compare(right))
}

fn ranked(grid: &Grid, service: &Service, number: i64, at: usize, host: Option<usize>, load: &Load) -> Rank {
    let get = |loads: &[u32], at: usize| loads.get(at).copied().unwrap_or_default();
    let here = host == Some(at);
    let node = grid.nodes.get(at);
    let lot = || node.map_or(0, |node| lot(service.id, number, node.id));
    let zone = grid.zones.get(at).copied().unwrap_or_default();
    match service.strategy {
        Strategy::HighAvailability => Rank {
            zone: get(&load.in_zone, zone),
            node: get(&load.on_node, at),
            moves: if here {
                (false, 0, 0)
            } else {
                (true, get(&load.later_in_zone, zone), get(&load.later_on_node, at))
            },
            original: 10.0 - if here { 5.0 } else { 0.0 } + grid.ranks.get(at).copied().unwrap_or_default(),
            lot: lot(),
        },
        Strategy::Daemon => {
            let there = load.numbers.get(at).map_or(0, Vec::len);
            #[expect(clippy::cast_precision_loss, reason = "some hundred instances at most")]
            let original = if here { -1.0 } else { there as f64 };
            let number = node.and_then(|node| u64::try_from(node.number).ok()).unwrap_or_default();
            Rank { zone: 0, node: 0, original, moves: (false, 0, 0), lot: number }
        }
        Strategy::Random => Rank { zone: 0, node: 0, original: 0.0, moves: (false, 0, 0), lot: lot() },
    }
}

/// Which of two equal nodes comes first: different for each instance, and the same each time.
fn lot(service: Id, number: i64, node: Id) -> u64 {
    let mut state = 0xcbf2_9ce4_8422_2325_u64;
    let mut mix = |word: u64| {
        state = (state ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        state ^= state >> 32;
    };
    for id in [service, node] {
        for word in id.bytes().chunks(4) {
            mix(word.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)));
        }
    }
    mix(number.unsigned_abs());
    mix(1);
    state
}
