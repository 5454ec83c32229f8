//! Services, stacks, events and a log for tests, some of them in trouble.

use kontena_wire::grid_events::{GridEvent, GridEventList};
use kontena_wire::services::{
    Deploy, Instance, InstanceList, Placement, RefusedNode, Report, Service, ServiceList, ServiceSight, Step,
};
use kontena_wire::stacks::{Revision, ServiceOfDeploy, Stack, StackDeploy, StackList, StackSight};

use super::{agents, rfc3339, send, state};
use crate::event::{Event, Link};
use crate::place::Subject;
use crate::state::State;
use crate::state::logs::Line;

const UNPLACED: &str = "Cannot find applicable node for service instance";

fn deploy(state: &str, ago_ms: i64, reason: Option<&str>) -> Deploy {
    let finished = matches!(state, "success" | "error");
    Deploy {
        id: format!("{ago_ms:024x}"),
        state: state.to_owned(),
        created_at: rfc3339(-ago_ms),
        started_at: Some(rfc3339(-ago_ms + 200)),
        finished_at: finished.then(|| rfc3339(-ago_ms + 4_200)),
        reason: reason.map(str::to_owned),
    }
}

/// Services of two stacks and of none, in two grids.
pub(crate) fn services(count: usize) -> ServiceList {
    let service = |number: usize| {
        let wanted = i64::try_from(number % 4 + 1).unwrap();
        let (stack, name) =
            [("shop", "web"), ("shop", "db"), ("null", "cache"), ("blog", "web"), ("blog", "worker")]
                [number % 5];
        let (state, latest, running) = match number % 7 {
            1 => ("running", Some(deploy("ongoing", 3_000, None)), wanted - 1),
            3 => ("running", Some(deploy("error", 90_000, Some(UNPLACED))), wanted - 1),
            4 => ("running", Some(deploy("success", 7_200_000, None)), wanted - 1),
            5 => ("stopped", Some(deploy("success", 86_400_000, None)), 0),
            6 => ("initialized", None, 0),
            _ => ("running", Some(deploy("success", 3_600_000, None)), wanted),
        };
        Service {
            id: format!("{:024x}", 0x5000 + number),
            grid: if number % 3 == 2 { "staging" } else { "production" }.to_owned(),
            stack: stack.to_owned(),
            name: if number < 5 { name.to_owned() } else { format!("{name}-{}", number / 5) },
            state: state.to_owned(),
            image: format!("registry.example/{name}:1.{number}"),
            strategy: if number % 6 == 5 { "daemon" } else { "ha" }.to_owned(),
            stateful: name == "db",
            wanted,
            instances: if latest.is_some() { wanted } else { 0 },
            running,
            failing: i64::from(number % 14 == 11),
            revision: i64::try_from(number % 9 + 1).unwrap(),
            stack_revision: (stack != "null").then_some(2),
            deploy: latest,
        }
    };
    ServiceList { services: (0..count).map(service).collect(), truncated: false }
}

pub(crate) fn stacks() -> StackList {
    let stack = |number: usize, grid: &str, name: &str, state: &str| Stack {
        id: format!("{:024x}", 0x7000 + number),
        grid: grid.to_owned(),
        name: name.to_owned(),
        parent: None,
        labels: Vec::new(),
        revision: Some(revision(2)),
        deploy: Some(deploy(state, 120_000, None)),
    };
    let stacks = vec![
        stack(1, "production", "shop", "success"),
        stack(2, "production", "blog", "ongoing"),
        stack(3, "staging", "shop", "error"),
    ];
    StackList { stacks, truncated: false }
}

fn revision(number: i64) -> Revision {
    Revision {
        revision: number,
        version: Some(format!("1.{number}.0")),
        file: Some("acme/shop".to_owned()),
        registry: Some("file://".to_owned()),
        expose: Some("web".to_owned()),
        created_at: Some(rfc3339(-number * 3_600_000)),
    }
}

/// A service that is stuck, and why.
pub(crate) fn service_sight() -> ServiceSight {
    let instance = |number: i64, node: &str, state: &str, error: Option<&str>| Instance {
        service: None,
        number,
        node: Some(node.to_owned()),
        desired_state: "running".to_owned(),
        state: state.to_owned(),
        rev: Some("2026-11-22 11:00:00 UTC".to_owned()),
        deploy_rev: Some(format!("2026-11-22 11:{}:00 UTC", if number == 2 { "58" } else { "00" })),
        health: (number == 1).then(|| "healthy".to_owned()),
        error: error.map(str::to_owned),
    };
    let newest = deploy("error", 90_000, Some(UNPLACED));
    let step = |number, node: &str, state: &str, error: Option<&str>| Step {
        number,
        node: Some(node.to_owned()),
        state: state.to_owned(),
        error: error.map(str::to_owned),
    };
    ServiceSight {
        instances: vec![
            instance(1, "node-1", "running", None),
            instance(2, "node-2", "restarting", Some("port is already allocated")),
        ],
        steps: vec![
            step(1, "node-1", "success", None),
            step(2, "node-2", "error", Some("port is already allocated")),
        ],
        report: Some(report()),
        report_of: Some(newest.id.clone()),
        deploys: vec![newest, deploy("success", 3_600_000, None)],
    }
}

fn report() -> Report {
    let refused = |node: &str, filter: &str, reason: &str| RefusedNode {
        node: node.to_owned(),
        filter: filter.to_owned(),
        reason: reason.to_owned(),
    };
    let placed = |number, node: Option<&str>, refused| Placement {
        instance_number: number,
        node: node.map(str::to_owned),
        stays: number == 1,
        zone_load: (number == 2).then_some(1.0),
        node_load: (number == 2).then_some(0.0),
        rank: (number == 2).then_some(0.333_333),
        error: node.is_none().then(|| UNPLACED.to_owned()),
        refused,
    };
    let taken = "a port of the service is taken there";
    let offline = "its agent is not connected";
    Report {
        instances: vec![
            placed(1, Some("node-1"), Vec::new()),
            placed(2, Some("node-2"), vec![refused("node-1", "port", taken)]),
            placed(3, None, vec![refused("node-1", "port", taken), refused("node-2", "port", taken)]),
        ],
        refused: vec![
            refused("node-3", "offline", offline),
            refused("node-4", "offline", offline),
            refused("node-5", "affinity", "it does not meet an affinity of the service"),
        ],
    }
}

fn stack_sight() -> StackSight {
    let newest = stacks().stacks.remove(0).deploy.unwrap();
    let part = |service: &str, state: &str| ServiceOfDeploy {
        service: Some(service.to_owned()),
        state: state.to_owned(),
        reason: (state == "error").then(|| UNPLACED.to_owned()),
    };
    let parts = vec![part("db", "success"), part("web", "error")];
    StackSight {
        revisions: vec![revision(2), revision(1)],
        deploys: vec![
            StackDeploy { deploy: newest, services: parts },
            StackDeploy { deploy: deploy("success", 7_200_000, None), services: Vec::new() },
        ],
    }
}

fn grid_events() -> GridEventList {
    let event = |number: i64, severity: i64, kind: &str, message: String| GridEvent {
        id: format!("{number:024x}"),
        at: rfc3339(-25_000 + number * 100),
        severity,
        kind: kind.to_owned(),
        message,
        grid: Some("production".to_owned()),
        service: Some("production/shop/web".to_owned()),
        node: (number > 2).then(|| "production/node-1".to_owned()),
    };
    let of_deploy = |what: &str| format!("service production/shop/web deploy {what}");
    let mut events = vec![
        event(1, 1, "service:deploy", of_deploy("started")),
        event(2, 3, "service:deploy", of_deploy(&format!("failed: {UNPLACED}"))),
    ];
    let created = |number| event(number, 1, "service:create_instance", format!("creating shop.web-{number}"));
    events.extend((3..9).map(created));
    GridEventList { events }
}

/// So many lines of a log.
pub(crate) fn log(from: usize, count: usize) -> Vec<Line> {
    let line = |number: usize| Line {
        id: format!("{number:024x}"),
        at: rfc3339(i64::try_from(number).unwrap() * 250),
        by: format!("shop.web-{}", number % 3 + 1),
        error: number % 10 == 9,
        text: match number % 10 {
            9 => format!("\u{1b}[31mERROR\u{1b}[0m request {number} failed: connection refused"),
            _ => format!("GET /cart/{number} 200 in {} ms", number % 17),
        },
    };
    (from..from + count).map(line).collect()
}

/// A program of this size that has seen all there is.
pub(crate) fn full(size: (u16, u16)) -> State {
    let mut state = state(size);
    for link in [
        Link::Agents(Some(agents(40))),
        Link::Services(Some(services(14))),
        Link::Stacks(Some(stacks())),
        Link::GridEvents(grid_events()),
    ] {
        send(&mut state, 40, Event::Link(link));
    }
    state
}

/// Answers what is asked of the selected row.
pub(crate) fn answer(state: &mut State) {
    let link = match state.asked.of.clone() {
        None => return,
        Some(Subject::Service(place)) => Link::Service(place, Box::new(service_sight())),
        Some(Subject::Stack(place)) => Link::Stack(place, stack_sight()),
        Some(Subject::Node(node)) => {
            let mut instances = service_sight().instances;
            for (instance, service) in instances.iter_mut().zip(["null/cache", "shop/web"]) {
                instance.service = Some(service.to_owned());
            }
            Link::Node(node, InstanceList { instances })
        }
    };
    send(state, 45, Event::Link(link));
}
