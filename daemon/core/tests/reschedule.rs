//! The seven rules, in their order, and when a service must be looked at again.

#![allow(clippy::unwrap_used, reason = "a test that fails there has failed")]

use std::collections::BTreeSet;
use std::time::Duration;

use kontena_core::id::Id;
use kontena_core::reschedule::{Cause, Facts, PAUSE, Rest, SETTLE, STACK_DEPLOY, Verdict, judge};
use kontena_core::scheduler::{Grid, Instance, Node, Service, Strategy};

const MILLI: Duration = Duration::from_millis(1);

fn id(kind: u8, number: u8) -> Id {
    Id::from_bytes([kind, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, number])
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn node(number: u8) -> Node {
    Node {
        id: id(1, number),
        name: format!("node-{number}"),
        number: i64::from(number),
        labels: Vec::new(),
        active: true,
        away: None,
        volume_drivers: BTreeSet::new(),
        volumes: BTreeSet::new(),
        cpus: 4.0,
        mem_total: 1 << 30,
        memory: None,
    }
}

fn service(instances: usize) -> Service {
    Service {
        id: id(2, 1),
        stack: "shop".to_owned(),
        name: "web".to_owned(),
        stateful: false,
        strategy: Strategy::HighAvailability,
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

/// Nodes, with instances 1, 2, ... of the service on those of these numbers.
fn grid(nodes: Vec<Node>, on: &[u8]) -> Grid {
    let mut grid = Grid::new(nodes);
    for (number, at) in (1..).zip(on) {
        grid.place(Instance { service: id(2, 1), number, node: id(1, *at) });
    }
    grid
}

fn settled() -> Facts {
    Facts { running: true, since_deployed: Some(secs(1000)), ..Facts::default() }
}

fn verdict(grid: &Grid, service: &Service, facts: &Facts) -> Verdict {
    judge(grid, service, facts).verdict
}

#[test]
fn the_first_rule_that_holds_decides() {
    let here = grid(vec![node(1), node(2)], &[1, 1]);
    // Everything is wrong with it: the rules are asked one after the other.
    let mut facts = Facts {
        running: false,
        deploy_open: true,
        stack_deploy: Some(secs(1)),
        outdated: Some(secs(5)),
        interval: Some(secs(10)),
        since_deployed: Some(secs(11)),
        ..Facts::default()
    };
    let mut web = Service { stateful: true, ..service(2) };
    assert_eq!(verdict(&here, &web, &facts), Verdict::Leave(Rest::Stateful));
    web.stateful = false;
    assert_eq!(verdict(&here, &web, &facts), Verdict::Leave(Rest::NotRunning));
    facts.running = true;
    assert_eq!(verdict(&here, &web, &facts), Verdict::Leave(Rest::Deploying));
    facts.deploy_open = false;
    assert_eq!(verdict(&here, &web, &facts), Verdict::Leave(Rest::StackDeploying));
    facts.stack_deploy = Some(STACK_DEPLOY + MILLI);
    let wrong = Cause::Nodes { missing: vec!["node-2".to_owned()], surplus: Vec::new() };
    assert_eq!(verdict(&here, &web, &facts), Verdict::Deploy(wrong));
    let right = grid(vec![node(1), node(2)], &[1, 2]);
    assert_eq!(verdict(&right, &web, &facts), Verdict::Deploy(Cause::Outdated));
    facts.outdated = None;
    assert_eq!(verdict(&right, &web, &facts), Verdict::Deploy(Cause::Interval));
    facts.since_deployed = Some(secs(10));
    let last = judge(&right, &web, &facts);
    assert_eq!((last.verdict, last.again), (Verdict::Leave(Rest::InPlace), Some(MILLI)));
    facts.interval = None;
    assert_eq!(judge(&right, &web, &facts).again, None);
}

#[test]
fn a_stack_that_is_deployed_holds_its_services_back_for_half_an_hour() {
    let facts = Facts { stack_deploy: Some(secs(60)), outdated: Some(secs(60)), ..settled() };
    let judged = judge(&grid(vec![node(1)], &[1]), &service(1), &facts);
    assert_eq!(judged.verdict, Verdict::Leave(Rest::StackDeploying));
    assert_eq!(judged.again, Some(STACK_DEPLOY.saturating_sub(secs(60)) + MILLI));
}

#[test]
fn instances_are_wrong_by_their_number_and_by_their_nodes() {
    let web = service(3);
    let none_there = vec![Node { away: Some(secs(1000)), ..node(1) }];
    assert_eq!(verdict(&grid(none_there, &[1]), &web, &settled()), Verdict::Leave(Rest::InPlace));
    let two = Verdict::Deploy(Cause::Count { wanted: 3, placed: 2 });
    assert_eq!(verdict(&grid(vec![node(1), node(2)], &[1, 2]), &web, &settled()), two);
    let four = Verdict::Deploy(Cause::Count { wanted: 3, placed: 4 });
    assert_eq!(verdict(&grid(vec![node(1), node(2)], &[1, 2, 1, 2]), &web, &settled()), four);
    let drained = vec![node(1), Node { active: false, ..node(2) }];
    let away = Verdict::Deploy(Cause::Nodes { missing: Vec::new(), surplus: vec!["node-2".to_owned()] });
    assert_eq!(verdict(&grid(drained, &[1, 2, 1]), &web, &settled()), away);
    // A service that finds no node for one of its instances keeps those it has, and is tried again.
    let picky = Service { affinity: vec!["label==none".to_owned()], ..service(1) };
    assert!(matches!(verdict(&grid(vec![node(1)], &[1]), &picky, &settled()), Verdict::Deploy(_)));
}

#[test]
fn a_lost_node_keeps_its_instances_for_the_grace_of_the_strategy() {
    let graces = [(Strategy::HighAvailability, 120), (Strategy::Daemon, 600), (Strategy::Random, 30)];
    for (strategy, grace) in graces {
        let wanted = if strategy == Strategy::Daemon { 1 } else { 2 };
        let web = Service { strategy, ..service(wanted) };
        let lost = |away| grid(vec![node(1), Node { away: Some(away), ..node(2) }], &[1, 2]);
        let judged = judge(&lost(secs(grace - 1)), &web, &settled());
        assert_eq!(judged.verdict, Verdict::Leave(Rest::InPlace), "{strategy:?}");
        assert_eq!(judged.again, Some(secs(1) + MILLI), "{strategy:?}");
        let over = judge(&lost(secs(grace)), &web, &settled());
        assert!(matches!(over.verdict, Verdict::Deploy(_)), "{strategy:?}: {over:?}");
    }
    // One that hosts nothing of it is nobody's grace.
    let idle = grid(vec![node(1), Node { away: Some(secs(1)), ..node(2) }], &[1]);
    assert_eq!(judge(&idle, &service(1), &settled()).again, None);
}

#[test]
fn what_fails_or_does_not_help_is_tried_again_after_a_pause() {
    let here = grid(vec![node(1), node(2)], &[1]);
    let web = service(2);
    let failed = Facts { since_failed: Some(secs(5)), ..settled() };
    let judged = judge(&here, &web, &failed);
    assert_eq!((judged.verdict, judged.again), (Verdict::Leave(Rest::Pausing), Some(secs(15) + MILLI)));
    let long_ago = Facts { since_failed: Some(PAUSE + MILLI), ..settled() };
    assert!(matches!(verdict(&here, &web, &long_ago), Verdict::Deploy(_)));
    // A second one may follow at once, a third may not.
    let once = Facts { lately: vec![secs(1)], ..settled() };
    assert!(matches!(verdict(&here, &web, &once), Verdict::Deploy(_)));
    let twice = Facts { lately: vec![secs(12), secs(1)], ..settled() };
    let judged = judge(&here, &web, &twice);
    assert_eq!((judged.verdict, judged.again), (Verdict::Leave(Rest::Pausing), Some(secs(8) + MILLI)));
    // With nothing to do there is nothing to wait for.
    let right = grid(vec![node(1), node(2)], &[1, 2]);
    assert_eq!(judge(&right, &web, &twice).again, None);
}

#[test]
fn a_change_is_left_alone_for_a_moment() {
    let right = grid(vec![node(1)], &[1]);
    let changed = Facts { outdated: Some(MILLI), ..settled() };
    let judged = judge(&right, &service(1), &changed);
    assert_eq!((judged.verdict, judged.again), (Verdict::Leave(Rest::Settling), Some(SETTLE)));
}
