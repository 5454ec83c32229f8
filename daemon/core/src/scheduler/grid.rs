//! What the scheduler knows of a grid: its nodes, and what is on them. It is kept up to date piece by piece, so
//! that a change costs what it changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use crate::id::Id;

/// A node that instances may be placed on.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its id.
    pub id: Id,
    /// Its name.
    pub name: String,
    /// Its number in the grid.
    pub number: i64,
    /// `key=value` or `key`.
    pub labels: Vec<String>,
    /// Whether instances may be placed on it; not so while it is drained.
    pub active: bool,
    /// `None`: connected. Else for how long it was not seen.
    pub away: Option<Duration>,
    /// The names of its engine's volume drivers.
    pub volume_drivers: BTreeSet<String>,
    /// The names of the volumes that have a place on it.
    pub volumes: BTreeSet<String>,
    /// Cores; 0 if not known.
    pub cpus: f64,
    /// Bytes; 0 if not known.
    pub mem_total: i64,
    /// As last reported.
    pub memory: Option<Memory>,
}

/// The memory of a node, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Taken.
    pub used: f64,
    /// Free, with what the kernel would give back.
    pub available: f64,
}

/// An instance that has a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Of which service.
    pub service: Id,
    /// Counts from 1.
    pub number: i64,
    /// Where.
    pub node: Id,
}

/// A service of the grid, as far as it concerns the placing of others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its id.
    pub id: Id,
    /// `stack/service`.
    pub path: String,
    /// The ports that it takes on its nodes.
    pub node_ports: Vec<i64>,
}

/// A container that is on a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Where.
    pub node: Id,
    /// Its name in the engine.
    pub name: String,
    /// The name of its stack, the name of its service, and its number there.
    pub instance: Option<(String, String, i64)>,
}

/// A grid with what is on its nodes.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    pub(super) nodes: Vec<Node>,
    pub(super) zones: Vec<usize>,
    pub(super) ranks: Vec<f64>,
    index: HashMap<Id, usize>,
    instances: HashMap<Id, BTreeMap<i64, usize>>,
    neighbours: HashMap<Id, Neighbour>,
    by_port: HashMap<i64, BTreeSet<Id>>,
    pub(super) containers: Vec<(usize, Container)>,
}

impl Grid {
    /// A grid of these nodes, with nothing on them.
    #[must_use]
    pub fn new(mut nodes: Vec<Node>) -> Self {
        nodes.sort_by_key(|node| (node.number, node.id));
        let mut grid = Self { nodes, ..Self::default() };
        grid.describe();
        grid
    }

    fn describe(&mut self) {
        let mut zones: HashMap<&str, usize> = HashMap::new();
        self.zones = self
            .nodes
            .iter()
            .map(|node| {
                let next = zones.len();
                *zones.entry(node.zone()).or_insert(next)
            })
            .collect();
        self.ranks = self.nodes.iter().map(Node::load).collect();
        self.index = self.nodes.iter().enumerate().map(|(at, node)| (node.id, at)).collect();
    }

    /// The nodes, by number.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Makes a service known to those that are placed beside it.
    pub fn know(&mut self, neighbour: Neighbour) {
        self.forget(neighbour.id);
        for port in &neighbour.node_ports {
            self.by_port.entry(*port).or_default().insert(neighbour.id);
        }
        self.neighbours.insert(neighbour.id, neighbour);
    }

    /// A service is no more.
    pub fn forget(&mut self, service: Id) {
        let Some(known) = self.neighbours.remove(&service) else { return };
        for port in &known.node_ports {
            if let Some(users) = self.by_port.get_mut(port) {
                users.remove(&service);
            }
        }
    }

    /// An instance has its place on a node, and no other. On a node that is not of this grid it has none.
    pub fn place(&mut self, instance: Instance) {
        let Instance { service, number, node } = instance;
        let instances = self.instances.entry(service).or_default();
        match self.index.get(&node) {
            Some(at) => instances.insert(number, *at),
            None => instances.remove(&number),
        };
    }

    /// An instance has no place any more.
    pub fn displace(&mut self, service: Id, number: i64) {
        if let Some(instances) = self.instances.get_mut(&service) {
            instances.remove(&number);
        }
    }

    /// A container is on a node.
    pub fn contain(&mut self, container: Container) {
        if let Some(at) = self.index.get(&container.node) {
            self.containers.push((*at, container));
        }
    }

    /// What is known of a node has changed.
    pub fn update(&mut self, node: Node) {
        if let Some(known) = self.index.get(&node.id).and_then(|at| self.nodes.get_mut(*at)) {
            *known = node;
            self.describe();
        }
    }

    /// A node is gone, and everything on it.
    pub fn remove(&mut self, node: Id) {
        let Some(gone) = self.index.get(&node).copied() else { return };
        self.nodes.remove(gone);
        let moved = |at: usize| if at > gone { at - 1 } else { at };
        for instances in self.instances.values_mut() {
            instances.retain(|_, at| *at != gone);
            for at in instances.values_mut() {
                *at = moved(*at);
            }
        }
        self.containers.retain(|(at, _)| *at != gone);
        for (at, _) in &mut self.containers {
            *at = moved(*at);
        }
        self.describe();
    }

    /// The nodes of a service's instances, by number.
    pub(super) fn placed(&self, service: Id) -> Option<&BTreeMap<i64, usize>> {
        self.instances.get(&service)
    }

    /// Which services offer a node port.
    pub(super) fn with_port(&self, port: i64) -> impl Iterator<Item = Id> {
        self.by_port.get(&port).into_iter().flatten().copied()
    }

    pub(super) fn neighbours(&self) -> impl Iterator<Item = &Neighbour> {
        self.neighbours.values()
    }

    /// Which nodes have an instance of a service.
    pub fn nodes_of(&self, service: Id) -> impl Iterator<Item = Id> {
        let placed = self.instances.get(&service).into_iter().flat_map(BTreeMap::values);
        placed.filter_map(|at| Some(self.nodes.get(*at)?.id))
    }
}

impl Node {
    fn zone(&self) -> &str {
        self.label("az").unwrap_or("default")
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.labels.iter().find_map(|label| match label.split_once('=') {
            Some((found, value)) => (found == key).then_some(value),
            None => (label == key).then_some(""),
        })
    }

    /// The part of its memory that is taken.
    fn load(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a ratio of bytes")]
        let total = self.mem_total as f64;
        match self.memory {
            Some(memory) if total > 0.0 => memory.used / total,
            _ => 0.0,
        }
    }
}
