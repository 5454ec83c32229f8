//! What every plan keeps, whatever the grid: nothing is lost, nothing is placed where it must not be, and nothing
//! moves without need. Then the original's rules, one by one.

#![allow(clippy::unwrap_used, reason = "a test that fails there has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kontena_core::agents::pod::Scope;
use kontena_core::id::Id;
use kontena_core::scheduler::{
    Container, Grid, Instance, Memory, NamedVolume, Neighbour, Node, Plan, Reason, Service,
    Strategy as Spread, plan,
};
use proptest::prelude::*;

fn id(kind: u8, number: usize) -> Id {
    let [.., a, b] = u64::try_from(number).unwrap().to_be_bytes();
    Id::from_bytes([kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b])
}

fn node(number: usize) -> Node {
    Node {
        id: id(1, number),
        name: format!("core-{number}"),
        number: i64::try_from(number).unwrap(),
        labels: Vec::new(),
        active: true,
        away: None,
        volume_drivers: BTreeSet::from(["local".to_owned()]),
        volumes: BTreeSet::new(),
        cpus: 4.0,
        mem_total: 1 << 30,
        memory: None,
    }
}

fn service(number: usize, instances: usize) -> Service {
    Service {
        id: id(2, number),
        stack: "shop".to_owned(),
        name: format!("s{number}"),
        stateful: false,
        strategy: Spread::HighAvailability,
        instances,
        affinity: Vec::new(),
        volumes: Vec::new(),
        node_ports: Vec::new(),
        cpus: None,
        memory: None,
        memory_swap: None,
        memory_seen: None,
        volumes_from: Vec::new(),
        net: "bridge".to_owned(),
    }
}

fn apply(grid: &mut Grid, service: &Service, plan: &Plan) {
    grid.know(Neighbour {
        id: service.id,
        path: format!("{}/{}", service.stack, service.name),
        node_ports: service.node_ports.clone(),
    });
    let highest = i64::try_from(plan.placements.len()).unwrap();
    (highest + 1..highest + 50).for_each(|number| grid.displace(service.id, number));
    for placement in &plan.placements {
        if let Ok(choice) = &placement.outcome {
            grid.place(Instance { service: service.id, number: placement.number, node: choice.node });
        }
    }
}

fn places(plan: &Plan) -> BTreeMap<i64, Option<Id>> {
    let place = |placement: &kontena_core::scheduler::Placement| {
        (placement.number, placement.outcome.as_ref().ok().map(|choice| choice.node))
    };
    plan.placements.iter().map(place).collect()
}

#[derive(Clone, Debug)]
struct World {
    nodes: Vec<Node>,
    services: Vec<Service>,
}

fn any_node(number: usize) -> impl Strategy<Value = Node> {
    (0..3_usize, prop::bool::weighted(0.85), prop::bool::weighted(0.85), 0..5_u8, prop::bool::ANY, 0..100_u32)
        .prop_map(move |(zone, active, connected, cpus, ssd, used)| {
            let mut labels = vec![format!("az=z{zone}")];
            labels.extend(ssd.then(|| "disk=ssd".to_owned()));
            Node {
                labels,
                active,
                away: (!connected).then_some(Duration::from_secs(60)),
                cpus: f64::from(cpus),
                memory: Some(Memory { used: f64::from(used) * 1e7, available: f64::from(100 - used) * 1e7 }),
                ..node(number)
            }
        })
}

fn any_service(number: usize) -> impl Strategy<Value = Service> {
    let spread = prop_oneof![Just(Spread::HighAvailability), Just(Spread::Daemon), Just(Spread::Random)];
    let affinity = prop::sample::subsequence(
        vec![
            "label==disk=ssd",
            "node!=core-1",
            "service!=~shop/s0",
            "label==~disk=ssd",
            "node==/core-[0-4]/",
        ],
        0..2,
    );
    let ports = prop::sample::subsequence(vec![80_i64, 443, 9000], 0..2);
    (spread, 0..6_usize, affinity, ports, prop::option::of(0..4_u8), prop::bool::weighted(0.2)).prop_map(
        move |(strategy, instances, affinity, node_ports, cpus, stateful)| Service {
            strategy,
            affinity: affinity.into_iter().map(str::to_owned).collect(),
            node_ports,
            cpus: cpus.map(f64::from),
            stateful,
            ..service(number, instances)
        },
    )
}

fn any_world() -> impl Strategy<Value = World> {
    let nodes = (0..9_usize).prop_flat_map(|count| (1..=count).map(any_node).collect::<Vec<_>>());
    let services = (1..7_usize).prop_flat_map(|count| (0..count).map(any_service).collect::<Vec<_>>());
    (nodes, services).prop_map(|(nodes, services)| World { nodes, services })
}

proptest! {
    #[test]
    fn nothing_is_lost_and_nothing_is_where_it_must_not_be(world in any_world()) {
        let mut grid = Grid::new(world.nodes.clone());
        for service in &world.services {
            let plan = plan(&grid, service, None);
            let count = plan.placements.len();
            if service.strategy == Spread::Daemon {
                prop_assert_eq!(count % service.instances.max(1), 0);
            } else {
                prop_assert_eq!(count, service.instances);
            }
            let numbers: Vec<i64> = plan.placements.iter().map(|placement| placement.number).collect();
            prop_assert_eq!(numbers, (1..).take(count).collect::<Vec<i64>>());
            for placement in &plan.placements {
                let refused: BTreeSet<usize> =
                    plan.refused.iter().chain(&placement.refused).map(|refusal| refusal.node).collect();
                match &placement.outcome {
                    Ok(choice) => {
                        let node = grid.nodes().iter().find(|node| node.id == choice.node).unwrap();
                        prop_assert!(node.active && node.away.is_none());
                        prop_assert!(service.cpus.is_none_or(|cpus| node.cpus >= cpus));
                        prop_assert!(!refused.contains(&choice.at));
                    }
                    // Whoever gets no node is told why of each of them.
                    Err(unplaced) => {
                        prop_assert_eq!(refused.len(), world.nodes.len());
                        prop_assert!(!unplaced.0.is_empty());
                    }
                }
            }
            apply(&mut grid, service, &plan);
        }
        let mut taken: BTreeSet<(Id, i64)> = BTreeSet::new();
        for service in &world.services {
            for placement in plan(&grid, service, None).placements {
                for port in &service.node_ports {
                    if let Ok(choice) = &placement.outcome {
                        prop_assert!(taken.insert((choice.node, *port)), "a port twice on a node");
                    }
                }
            }
        }
    }

    #[test]
    fn the_same_grid_gives_the_same_plan_in_whatever_order_it_is_told(world in any_world()) {
        let there = Grid::new(world.nodes.clone());
        let mut back: Vec<Node> = world.nodes.clone();
        back.reverse();
        let back = Grid::new(back);
        for service in &world.services {
            prop_assert_eq!(plan(&there, service, None), plan(&back, service, None));
        }
    }

    #[test]
    fn what_is_placed_stays(world in any_world()) {
        let mut grid = Grid::new(world.nodes.clone());
        for service in &world.services {
            let first = plan(&grid, service, None);
            apply(&mut grid, service, &first);
            let again = plan(&grid, service, None);
            // Conditions that look at the service's own instances are met differently once these are placed.
            if !service.affinity.iter().any(|condition| condition.contains(&service.name)) {
                prop_assert_eq!(places(&again), places(&first));
            }
        }
    }

    #[test]
    fn the_loss_of_a_node_moves_only_what_was_on_it(
        nodes in 3..20_usize, instances in 1..10_usize, lost in 1..20_usize, uses in prop::collection::vec(0..100_u32, 20)
    ) {
        let lost = id(1, 1 + lost % nodes);
        let instances = instances.min(nodes - 1);
        let with_load = |number: usize| Node {
            memory: Some(Memory { used: f64::from(uses[number]) * 1e7, available: 1e9 }), ..node(number)
        };
        for strategy in [Spread::HighAvailability, Spread::Random] {
            let service = Service { strategy, ..service(1, instances) };
            let mut grid = Grid::new((1..=nodes).map(with_load).collect());
            let before = plan(&grid, &service, None);
            apply(&mut grid, &service, &before);
            grid.remove(lost);
            let (before, after) = (places(&before), places(&plan(&grid, &service, None)));
            for (number, node) in &before {
                if *node == Some(lost) {
                    prop_assert!(after[number].is_some_and(|node| node != lost));
                } else {
                    prop_assert_eq!(after[number], *node);
                }
            }
        }
    }

    #[test]
    fn a_new_node_takes_what_is_crowded_elsewhere_and_nothing_more(nodes in 1..12_usize, more in 0..4_usize) {
        let crowded = service(1, nodes + usize::from(more > 0));
        let roomy = service(2, nodes.saturating_sub(more));
        for (service, moving) in [(crowded, usize::from(more > 0)), (roomy, 0)] {
            let before = plan(&Grid::new((1..=nodes).map(node).collect()), &service, None);
            let mut larger = Grid::new((1..=nodes + 1).map(node).collect());
            apply(&mut larger, &service, &before);
            let (before, after) = (places(&before), places(&plan(&larger, &service, None)));
            let moved = after.iter().filter(|(number, node)| **node != before[number]);
            let moved: Vec<Option<Id>> = moved.map(|(_, node)| *node).collect();
            prop_assert_eq!(moved, vec![Some(id(1, nodes + 1)); moving]);
        }
    }
}

fn refusals(plan: &Plan, number: usize) -> Vec<(usize, Reason)> {
    let own = &plan.placements[number - 1].refused;
    plan.refused.iter().chain(own).map(|refusal| (refusal.node + 1, refusal.reason)).collect()
}

fn message(plan: &Plan, number: usize) -> String {
    plan.placements[number - 1].outcome.as_ref().unwrap_err().0.clone()
}

fn grid_with(nodes: usize, change: impl Fn(usize, &mut Node)) -> Grid {
    let made = (1..=nodes).map(|number| {
        let mut node = node(number);
        change(number, &mut node);
        node
    });
    Grid::new(made.collect())
}

#[test]
fn drained_and_offline_nodes_take_nothing_and_the_report_says_so() {
    let grid = grid_with(3, |number, node| {
        node.active = number != 1;
        node.away = (number == 2).then_some(Duration::from_secs(9));
    });
    let plan = plan(&grid, &service(1, 1), None);
    assert_eq!(refusals(&plan, 1), [(2, Reason::Offline), (1, Reason::Availability)]);
    assert_eq!(places(&plan)[&1], Some(id(1, 3)));
    let none = kontena_core::scheduler::plan(&Grid::default(), &service(1, 1), None);
    assert_eq!(message(&none, 1), "Filter Scheduler::Filter::Availability did not return any nodes");
}

#[test]
fn a_node_that_is_away_for_less_than_the_grace_keeps_what_it_has() {
    let service = service(1, 1);
    let mut grid = grid_with(2, |_, _| {});
    grid.place(Instance { service: service.id, number: 1, node: id(1, 2) });
    for (away, place) in [(119, id(1, 2)), (120, id(1, 1))] {
        grid.update(Node { away: Some(Duration::from_secs(away)), ..node(2) });
        assert_eq!(places(&plan(&grid, &service, Some(service.strategy.grace())))[&1], Some(place));
    }
}

#[test]
fn stateful_instances_stay_with_their_data_or_nowhere() {
    let service = Service { stateful: true, ..service(1, 2) };
    let mut grid = grid_with(3, |number, node| {
        if number == 3 {
            node.labels = vec!["ephemeral=yes".to_owned()];
        }
    });
    grid.place(Instance { service: service.id, number: 1, node: id(1, 3) });
    let first = plan(&grid, &service, None);
    assert_eq!(places(&first)[&1], Some(id(1, 3)), "even on an ephemeral node that has it already");
    assert_eq!(refusals(&first, 2), [(3, Reason::Ephemeral)]);
    grid.update(Node { active: false, ..node(3) });
    let drained = plan(&grid, &service, None);
    assert!(drained.placements[0].outcome.is_err());
    assert!(refusals(&drained, 1).contains(&(1, Reason::Stateful)));
}

#[test]
fn volumes_need_their_driver_and_are_followed_where_they_are() {
    let volume =
        |scope| NamedVolume { driver: "rexray".to_owned(), scope, engine_name: "shop.s1.data".to_owned() };
    let mut service = Service { volumes: vec![volume(Scope::Instance)], ..service(1, 2) };
    let grid = grid_with(3, |number, node| {
        if number > 1 {
            node.volume_drivers.insert("rexray".to_owned());
        }
        if number == 3 {
            node.volumes.insert("shop.s1.data-1".to_owned());
        }
    });
    let first = plan(&grid, &service, None);
    assert_eq!(refusals(&first, 1), [(1, Reason::VolumePlugin), (2, Reason::VolumeInstance)]);
    assert_eq!((places(&first)[&1], places(&first)[&2]), (Some(id(1, 3)), Some(id(1, 2))));
    // A shared volume sets the preference back.
    service.volumes.push(volume(Scope::Stack));
    assert_eq!(refusals(&plan(&grid, &service, None), 1), [(1, Reason::VolumePlugin)]);
    service.volumes = vec![NamedVolume { driver: "none".to_owned(), ..volume(Scope::Grid) }];
    let none = plan(&grid, &service, None);
    assert_eq!(message(&none, 1), "Did not find any nodes with required volume drivers: [\"none\"]");
}

#[test]
fn affinities_are_applied_one_after_another() {
    let mut grid = grid_with(4, |number, node| {
        node.labels = vec![format!("az=z{}", number % 2), format!("slot={number}")];
    });
    let db = service(9, 1);
    grid.know(Neighbour { id: db.id, path: "shop/db".to_owned(), node_ports: Vec::new() });
    grid.place(Instance { service: db.id, number: 1, node: id(1, 2) });
    grid.contain(Container { node: id(1, 4), name: "weave".to_owned(), instance: None });
    let nodes = |affinity: &[&str]| {
        let affinity = affinity.iter().map(|condition| (*condition).to_owned()).collect();
        let found = plan(&grid, &Service { affinity, ..service(1, 4) }, None);
        found.nodes().into_iter().collect::<Vec<Id>>()
    };
    assert_eq!(nodes(&["label==az=z0"]), [id(1, 2), id(1, 4)]);
    assert_eq!(nodes(&["label==az=z0", "service!=db"]), [id(1, 4)]);
    assert_eq!(nodes(&["service==shop/db"]), [id(1, 2)]);
    assert_eq!(nodes(&["service==/^shop\\/d/"]), [id(1, 2)]);
    assert_eq!(nodes(&["container==weave"]), [id(1, 4)]);
    assert_eq!(nodes(&["container!=~nothing", "node!=/core-[12]/"]), [id(1, 3), id(1, 4)]);
    assert_eq!(nodes(&["label==~az=z9", "node==core-1"]), [id(1, 1)]);
    assert_eq!(nodes(&["label==slot=%s"]), [id(1, 1), id(1, 2), id(1, 3), id(1, 4)]);
    let hard = Service { affinity: vec!["label==az=z9".to_owned()], ..service(1, 1) };
    assert_eq!(
        message(&plan(&grid, &hard, None), 1),
        "Did not find any nodes for affinity filter: label==az=z9"
    );
    let wrong = Service { affinity: vec!["nonsense".to_owned()], ..service(1, 1) };
    assert_eq!(message(&plan(&grid, &wrong, None), 1), "Invalid affinity filter: nonsense");
}

#[test]
fn a_port_is_taken_by_others_and_by_other_instances() {
    let mut grid = grid_with(2, |_, _| {});
    let lb = Service { node_ports: vec![80], ..service(9, 1) };
    grid.know(Neighbour { id: lb.id, path: "shop/lb".to_owned(), node_ports: vec![80] });
    grid.place(Instance { service: lb.id, number: 1, node: id(1, 1) });
    let web = Service { node_ports: vec![80, 443], ..service(1, 2) };
    let plan = plan(&grid, &web, None);
    assert_eq!(places(&plan)[&1], Some(id(1, 2)));
    assert_eq!(message(&plan, 2), "Did not find any nodes with unused ports: [80, 443]");
}

#[test]
fn cores_and_memory_are_asked_for() {
    let grid = grid_with(3, |number, node| {
        node.cpus = if number == 1 { 1.0 } else { 2.0 };
        node.memory = (number == 2).then_some(Memory { used: 1e9, available: 1e6 });
    });
    let thirsty = Service { cpus: Some(1.5), memory: Some(2_000_000), ..service(1, 1) };
    let found = plan(&grid, &thirsty, None);
    assert_eq!(refusals(&found, 1), [(1, Reason::Cpu), (2, Reason::Memory)]);
    let seen = Service { memory_seen: Some(1 << 30), ..service(1, 1) };
    let none = plan(&grid, &seen, None);
    assert_eq!(message(&none, 1), "Did not find any nodes with sufficient free memory: 1342177280");
    let many = Service { cpus: Some(8.0), ..service(1, 1) };
    assert_eq!(message(&plan(&grid, &many, None), 1), "Did not find any nodes with 8.0 CPUs available");
}

#[test]
fn what_is_shared_with_others_is_followed() {
    let mut grid = grid_with(3, |_, _| {});
    for (at, stack, number) in [(1, "other", 2), (2, "shop", 2), (3, "shop", 1)] {
        let name = format!("{stack}.data-{number}");
        let instance = Some((stack.to_owned(), "data".to_owned(), number));
        grid.contain(Container { node: id(1, at), name, instance });
    }
    let from = Service { volumes_from: vec!["data-%s".to_owned()], ..service(1, 3) };
    let plan = plan(&grid, &from, None);
    assert_eq!((places(&plan)[&1], places(&plan)[&2]), (Some(id(1, 3)), Some(id(1, 2))));
    assert_eq!(message(&plan, 3), "Filter Scheduler::Filter::Dependency did not return any nodes");
    let net = Service { net: "container:other.data-2".to_owned(), ..service(1, 1) };
    assert_eq!(places(&kontena_core::scheduler::plan(&grid, &net, None))[&1], Some(id(1, 1)));
}

#[test]
fn spreading_fills_zones_then_nodes() {
    let grid = grid_with(4, |number, node| {
        node.labels = vec![format!("az={}", if number == 4 { "b" } else { "a" })];
    });
    let plan = plan(&grid, &service(1, 4), None);
    let on_b = places(&plan).values().filter(|node| **node == Some(id(1, 4))).count();
    assert_eq!(on_b, 2, "half of them in each zone");
}

#[test]
fn a_daemon_runs_on_every_node_that_takes_it() {
    let grid = grid_with(4, |number, node| {
        node.labels = vec![format!("az=z{}", number % 2)];
    });
    let daemon =
        Service { strategy: Spread::Daemon, affinity: vec!["label==az=z1".to_owned()], ..service(1, 2) };
    let plan = plan(&grid, &daemon, None);
    let expected = [id(1, 1), id(1, 3), id(1, 1), id(1, 3)].map(Some);
    assert_eq!(places(&plan).into_values().collect::<Vec<_>>(), expected);
}
