//! The filters, in the original's order. Each may refuse nodes; when none is left, the message names the filter.

use std::collections::BTreeMap;
use std::time::Duration;

use super::affinity::{Affinity, numbered};
use super::grid::Grid;
use super::report::{Reason, Refusal};
use super::service::Service;
use crate::agents::pod::Scope;

/// Nodes that are still in question, and those that no longer are.
#[derive(Clone, Debug, Default)]
pub(super) struct Sieve {
    pub(super) left: Vec<usize>,
    pub(super) refused: Vec<Refusal>,
}

impl Sieve {
    fn keep(&mut self, reason: Reason, mut keeps: impl FnMut(usize) -> bool) {
        let refused = &mut self.refused;
        self.left.retain(|node| {
            let kept = keeps(*node);
            if !kept {
                refused.push(Refusal { node: *node, reason });
            }
            kept
        });
    }
}

/// What the filters look at.
pub(super) struct Filters<'a> {
    grid: &'a Grid,
    service: &'a Service,
    /// The nodes of the service's instances before this plan.
    pub(super) before: BTreeMap<i64, usize>,
    conditions: Vec<Condition>,
    /// Where other services take a port of this one.
    taken: Vec<bool>,
    /// Whether the volumes and the conditions are the same for every instance.
    alike: bool,
    memory: i64,
}

enum Condition {
    /// The same for every instance.
    Fixed(Result<(Affinity, Vec<bool>), String>, String),
    Numbered(String),
}

type Met = Result<(Affinity, Vec<bool>), String>;

impl<'a> Filters<'a> {
    pub(super) fn new(grid: &'a Grid, service: &'a Service) -> Self {
        let before = grid.placed(service.id).cloned().unwrap_or_default();
        let mut taken = vec![false; if service.node_ports.is_empty() { 0 } else { grid.nodes.len() }];
        for other in service.node_ports.iter().flat_map(|port| grid.with_port(*port)) {
            if other != service.id {
                for at in grid.placed(other).into_iter().flat_map(BTreeMap::values) {
                    taken.iter_mut().skip(*at).take(1).for_each(|taken| *taken = true);
                }
            }
        }
        let condition = |text: &String| {
            if text.contains('%') {
                Condition::Numbered(text.clone())
            } else {
                Condition::Fixed(met(grid, service, text, 1), text.clone())
            }
        };
        let conditions: Vec<Condition> = service.affinity.iter().map(condition).collect();
        let alike = !service.stateful
            && service.volumes.is_empty()
            && conditions.iter().all(|condition| matches!(condition, Condition::Fixed(..)));
        Self { grid, service, before, conditions, taken, alike, memory: service.memory_needed() }
    }

    /// The nodes that may be asked at all. With a grace, nodes count that host an instance and were seen within it.
    pub(super) fn present(&self, grace: Option<Duration>) -> Sieve {
        let mut sieve = Sieve { left: (0..self.grid.nodes.len()).collect(), refused: Vec::new() };
        sieve.keep(Reason::Offline, |at| {
            let Some(node) = self.grid.nodes.get(at) else { return false };
            match (node.away, grace) {
                (None, _) => true,
                (Some(away), Some(grace)) => away < grace && self.before.values().any(|host| *host == at),
                (Some(_), None) => false,
            }
        });
        sieve
    }

    /// What every instance has in common, as far as that can be said before the first filter that looks at its
    /// number.
    pub(super) fn common(&self, sieve: &mut Sieve) -> Result<(), String> {
        let nodes = &self.grid.nodes;
        sieve.keep(Reason::Availability, |at| nodes.get(at).is_some_and(|node| node.active));
        none_left(sieve, Reason::Availability)?;
        if self.alike {
            self.affinity(sieve, 1)?;
            self.cpu_if_first(sieve)?;
        }
        Ok(())
    }

    /// Without ports the next filter is the same for all as well.
    fn cpu_if_first(&self, sieve: &mut Sieve) -> Result<(), String> {
        if self.service.node_ports.is_empty() { self.cpu(sieve) } else { Ok(()) }
    }

    /// The rest, for one instance. `now` has the nodes of those that this plan has placed already.
    pub(super) fn single(
        &self,
        sieve: &mut Sieve,
        number: i64,
        now: &BTreeMap<i64, usize>,
    ) -> Result<(), String> {
        if !self.alike {
            self.ephemeral(sieve, number)?;
            self.volume_plugins(sieve)?;
            self.volume_instances(sieve, number);
            self.affinity(sieve, number)?;
        }
        if !self.alike || !self.service.node_ports.is_empty() {
            self.ports(sieve, number, now)?;
            self.cpu(sieve)?;
        }
        self.memory(sieve, number)?;
        self.dependencies(sieve, number)
    }

    fn ephemeral(&self, sieve: &mut Sieve, number: i64) -> Result<(), String> {
        if self.service.stateful {
            let host = self.before.get(&number).copied();
            let nodes = &self.grid.nodes;
            let ephemeral = |at: usize| nodes.get(at).is_some_and(|node| node.label("ephemeral").is_some());
            sieve.keep(Reason::Ephemeral, |at| host == Some(at) || !ephemeral(at));
        }
        none_left(sieve, Reason::Ephemeral)
    }

    fn volume_plugins(&self, sieve: &mut Sieve) -> Result<(), String> {
        let needed: Vec<&str> = self.service.volumes.iter().map(|volume| volume.driver.as_str()).collect();
        if !needed.is_empty() {
            let nodes = &self.grid.nodes;
            let has = |at: usize, driver: &&str| {
                nodes.get(at).is_some_and(|node| node.volume_drivers.contains(*driver))
            };
            sieve.keep(Reason::VolumePlugin, |at| needed.iter().all(|driver| has(at, driver)));
        }
        if sieve.left.is_empty() {
            return Err(format!("Did not find any nodes with required volume drivers: {needed:?}"));
        }
        Ok(())
    }

    /// A preference: where the volumes are, if they are anywhere. A volume that is shared sets it back.
    fn volume_instances(&self, sieve: &mut Sieve, number: i64) {
        let all = sieve.left.clone();
        let mut left = all.clone();
        for volume in &self.service.volumes {
            if volume.scope == Scope::Instance {
                let name = volume.name_for(number);
                left.retain(|at| self.grid.nodes.get(*at).is_some_and(|node| node.volumes.contains(&name)));
            } else {
                left.clone_from(&all);
            }
        }
        if !left.is_empty() && left.len() < all.len() {
            sieve.keep(Reason::VolumeInstance, |at| left.contains(&at));
        }
    }

    fn affinity(&self, sieve: &mut Sieve, number: i64) -> Result<(), String> {
        for condition in &self.conditions {
            let numbered_met;
            let (met, text): (&Met, &str) = match condition {
                Condition::Fixed(met, text) => (met, text),
                Condition::Numbered(text) => {
                    numbered_met = met(self.grid, self.service, text, number);
                    (&numbered_met, text)
                }
            };
            let (affinity, met) = met.as_ref().map_err(Clone::clone)?;
            let meets = |at: usize| met.get(at).copied().unwrap_or_default();
            if sieve.left.iter().any(|at| meets(*at)) {
                sieve.keep(Reason::Affinity, meets);
            } else if !affinity.is_soft() {
                sieve.keep(Reason::Affinity, |_| false);
                return Err(format!(
                    "Did not find any nodes for affinity filter: {}",
                    numbered(text, number)
                ));
            }
        }
        Ok(())
    }

    fn ports(&self, sieve: &mut Sieve, number: i64, now: &BTreeMap<i64, usize>) -> Result<(), String> {
        let ports = &self.service.node_ports;
        if !ports.is_empty() {
            // Of its own instances those count that were placed by now, and those whose turn comes.
            let still = self.before.iter().filter(|(other, _)| !now.contains_key(other));
            let own = now.iter().chain(still).filter(|(other, _)| **other != number);
            let mut taken = self.taken.clone();
            for (_, at) in own {
                taken.iter_mut().skip(*at).take(1).for_each(|taken| *taken = true);
            }
            sieve.keep(Reason::Port, |at| !taken.get(at).copied().unwrap_or_default());
        }
        if sieve.left.is_empty() {
            return Err(format!("Did not find any nodes with unused ports: {ports:?}"));
        }
        Ok(())
    }

    fn cpu(&self, sieve: &mut Sieve) -> Result<(), String> {
        if let Some(cpus) = self.service.cpus {
            sieve.keep(Reason::Cpu, |at| self.grid.nodes.get(at).is_some_and(|node| node.cpus >= cpus));
            if sieve.left.is_empty() {
                return Err(format!("Did not find any nodes with {cpus:?} CPUs available"));
            }
        }
        Ok(())
    }

    fn memory(&self, sieve: &mut Sieve, number: i64) -> Result<(), String> {
        let needed = self.memory;
        if needed <= 0 {
            return Ok(());
        }
        let host = self.before.get(&number).copied();
        #[expect(clippy::cast_precision_loss, reason = "bytes are measured no finer")]
        let enough = needed as f64;
        sieve.keep(Reason::Memory, |at| {
            let fits = |node: &super::Node| {
                node.mem_total >= needed && node.memory.is_none_or(|memory| memory.available >= enough)
            };
            host == Some(at) || self.grid.nodes.get(at).is_some_and(fits)
        });
        if sieve.left.is_empty() {
            return Err(format!("Did not find any nodes with sufficient free memory: {needed}"));
        }
        Ok(())
    }

    fn dependencies(&self, sieve: &mut Sieve, number: i64) -> Result<(), String> {
        let Service { volumes_from, net, stack, .. } = self.service;
        if !volumes_from.is_empty() {
            let wanted: Vec<String> = volumes_from.iter().map(|from| numbered(from, number)).collect();
            let shared = |container: &super::Container| {
                let of_stack = container.instance.as_ref().filter(|(found, ..)| found == stack);
                of_stack.is_some_and(|(_, name, number)| wanted.contains(&format!("{name}-{number}")))
            };
            self.keep_beside(sieve, shared);
        }
        if let Some(name) = net.strip_prefix("container:").filter(|name| !name.is_empty()) {
            let name = numbered(name, number);
            self.keep_beside(sieve, |container| container.name == name);
        }
        none_left(sieve, Reason::Dependency)
    }

    fn keep_beside(&self, sieve: &mut Sieve, wanted: impl Fn(&super::Container) -> bool) {
        let mut hosts: Vec<usize> = Vec::new();
        hosts.extend(self.grid.containers.iter().filter(|(_, found)| wanted(found)).map(|(at, _)| *at));
        sieve.keep(Reason::Dependency, |at| hosts.contains(&at));
    }
}

fn met(grid: &Grid, service: &Service, condition: &str, number: i64) -> Met {
    let affinity = Affinity::read(condition, &service.stack, number).map_err(|fault| fault.to_string())?;
    let met = affinity.meeting(grid);
    Ok((affinity, met))
}

fn none_left(sieve: &Sieve, reason: Reason) -> Result<(), String> {
    if sieve.left.is_empty() {
        return Err(format!("Filter Scheduler::Filter::{} did not return any nodes", reason.filter()));
    }
    Ok(())
}
