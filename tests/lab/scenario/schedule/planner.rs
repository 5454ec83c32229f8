//! The planner alone: a first plan of every service, and a new one after the loss of a node.

use std::collections::BTreeSet;

use kontena_core::id::Id;
use kontena_core::scheduler::{Grid, Instance, Memory, Neighbour, Node, Plan, Service, Strategy, plan};

use crate::clock;
use crate::report::Report;

/// As many nodes as a grid can have.
const NODES_MAX: usize = 254;

/// Plans `services` on `nodes` nodes, in as few grids as hold them.
pub(super) fn measure(services: usize, nodes: usize, instances: usize, report: &mut Report) {
    let count = nodes.div_ceil(NODES_MAX).max(1);
    let mut grids: Vec<(Grid, Vec<Service>)> = (0..count)
        .map(|grid| {
            let own = (0..nodes).filter(|number| number % count == grid);
            let own: Vec<Node> = (1..).zip(own).map(|(number, index)| node(number, index)).collect();
            let services = (0..services).filter(|number| number % count == grid);
            (Grid::new(own), services.map(|number| service(number, instances)).collect())
        })
        .collect();

    let (mut placed, mut unplaced) = (0_u32, 0_u64);
    let started = clock::now();
    for (grid, services) in &mut grids {
        for service in services.iter() {
            let plan = plan(grid, service, None);
            for placement in &plan.placements {
                if placement.outcome.is_ok() {
                    placed += 1;
                } else {
                    unplaced += 1;
                }
            }
            apply(grid, service, &plan);
        }
    }
    let seconds = clock::now().saturating_sub(started).as_secs_f64();
    report.sample("planned_per_s", f64::from(placed) / seconds);
    report.violations("unplaced_instances", unplaced);

    // A node is lost: whoever had an instance there is placed anew, everybody else stays.
    let mut moved_without_need = 0;
    let started = clock::now();
    if let Some((grid, services)) = grids.first_mut()
        && let Some(lost) = grid.nodes().first().map(|node| node.id)
    {
        let concerned: Vec<&Service> =
            services.iter().filter(|service| grid.nodes_of(service.id).any(|node| node == lost)).collect();
        grid.remove(lost);
        for service in concerned {
            let plan = plan(grid, service, None);
            let moved = plan
                .placements
                .iter()
                .filter(|placement| !placement.outcome.as_ref().is_ok_and(|choice| choice.stays));
            moved_without_need += u64::try_from(moved.count()).unwrap_or(u64::MAX).saturating_sub(1);
            apply(grid, service, &plan);
        }
    }
    report.sample("replan_ms", clock::now().saturating_sub(started).as_secs_f64() * 1000.0);
    report.violations("moved_without_need", moved_without_need);
}

fn apply(grid: &mut Grid, service: &Service, plan: &Plan) {
    grid.know(Neighbour {
        id: service.id,
        path: format!("{}/{}", service.stack, service.name),
        node_ports: service.node_ports.clone(),
    });
    for placement in &plan.placements {
        if let Ok(choice) = &placement.outcome {
            grid.place(Instance { service: service.id, number: placement.number, node: choice.node });
        }
    }
}

fn id(kind: u8, number: usize) -> Id {
    let mut bytes = [kind; 12];
    for (byte, part) in bytes.iter_mut().rev().zip(number.to_le_bytes()) {
        *byte = part;
    }
    Id::from_bytes(bytes)
}

fn node(number: i64, index: usize) -> Node {
    Node {
        id: id(1, index),
        name: format!("node-{number}"),
        number,
        labels: vec!["region=eu".to_owned(), format!("disk={}", if number % 2 == 0 { "ssd" } else { "hdd" })],
        active: true,
        away: None,
        volume_drivers: BTreeSet::from(["local".to_owned()]),
        volumes: BTreeSet::new(),
        cpus: 4.0,
        mem_total: 8 << 30,
        memory: Some(Memory { used: 1e9, available: 7e9 }),
    }
}

/// Every third has a condition, as services do.
fn service(number: usize, instances: usize) -> Service {
    Service {
        id: id(2, number),
        stack: "null".to_owned(),
        name: format!("service-{number}"),
        stateful: false,
        strategy: Strategy::HighAvailability,
        instances,
        affinity: if number.is_multiple_of(3) { vec!["label==disk=ssd".to_owned()] } else { Vec::new() },
        volumes: Vec::new(),
        node_ports: Vec::new(),
        cpus: Some(0.5),
        memory: Some(1 << 20),
        memory_swap: None,
        memory_seen: None,
        volumes_from: Vec::new(),
        net: "bridge".to_owned(),
    }
}
