//! Deploys played through: agents that report well, badly, late or never, and a master that dies between any two
//! writes. Whatever happens, a deploy ends, and never more instances are under way than may be.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails there has failed")]

use std::collections::BTreeMap;
use std::time::Duration;

use kontena_core::deploy::{
    Act, DeployState, Host, Patience, Place, Planned, Row, Step, StepState, View, decide,
};
use kontena_core::id::Id;
use proptest::prelude::*;

const REV: &str = "2026-11-22 18:24:40.000 UTC";

fn node(number: usize) -> Id {
    Id::from_bytes([u8::try_from(number).unwrap(); 12])
}

/// How an agent behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Agent {
    Well,
    Fails,
    Silent,
    Offline,
    Reconnects,
}

/// What the database has of a deploy; the rest a master forgets when it dies.
#[derive(Clone)]
struct World {
    plan: Vec<Planned>,
    steps: Vec<Step>,
    rows: BTreeMap<i64, Row>,
    hosts: BTreeMap<Id, Host>,
    agents: Vec<Agent>,
    places: BTreeMap<i64, Place>,
    wanted: bool,
    cancelled: bool,
    ended: Option<Result<(), String>>,
    revs: u32,
}

impl World {
    fn new(agents: &[Agent], before: &[Option<usize>]) -> Self {
        let plan = (1..)
            .zip(agents)
            .map(|(number, _)| Planned { number, node: Ok(node(usize::try_from(number).unwrap())) });
        let rows = (1..).zip(before).filter_map(|(number, on)| {
            let row = Row {
                node: Some(node((*on)?)),
                desired_state: "running".to_owned(),
                deploy_rev: Some("2026-11-22 18:00:00 UTC".to_owned()),
                rev: Some("2026-11-22 18:00:00 UTC".to_owned()),
                state: "running".to_owned(),
                error: None,
            };
            Some((number, row))
        });
        let hosts = (1..=agents.len() + 3).map(|number| {
            let connected = agents.get(number - 1) != Some(&Agent::Offline);
            let away = if connected { Duration::ZERO } else { Duration::from_secs(60) };
            (node(number), Host { connected, away, epoch: Some(1) })
        });
        Self {
            plan: plan.collect(),
            steps: Vec::new(),
            rows: rows.collect(),
            hosts: hosts.collect(),
            agents: agents.to_vec(),
            places: BTreeMap::new(),
            wanted: true,
            cancelled: false,
            ended: None,
            revs: 0,
        }
    }

    fn next(&self, parallelism: usize) -> kontena_core::deploy::Decision {
        decide(&View {
            path: "main/shop/web",
            wanted: self.wanted,
            cancelled: self.cancelled.then_some("called off"),
            parallelism,
            plan: &self.plan,
            steps: &self.steps,
            rows: &self.rows,
            hosts: &self.hosts,
            places: &self.places,
            patience: Patience::default(),
        })
    }

    fn write(&mut self, act: Act) {
        match act {
            Act::Stop { number, on, to } => {
                self.tell(number, on, "stopped");
                self.step(number, to, StepState::Stopping { on });
            }
            Act::Apply { number, node, .. } => {
                self.tell(number, node, "running");
                self.step(number, node, StepState::Applying);
            }
            Act::Repeat { number, node, running } => {
                self.tell(number, node, if running { "running" } else { "stopped" });
                let epoch = self.hosts[&node].epoch;
                self.steps
                    .iter_mut()
                    .filter(|step| step.number == number)
                    .for_each(|step| step.epoch = epoch);
            }
            Act::Settle { number, outcome } => {
                let state = if outcome.is_ok() { DeployState::Success } else { DeployState::Error };
                let mut own = self.steps.iter_mut().filter(|step| step.number == number);
                own.next().unwrap().state = StepState::Settled(state);
            }
            Act::End(outcome) => self.ended = Some(outcome),
        }
    }

    fn step(&mut self, number: i64, node: Id, state: StepState) {
        self.steps.retain(|step| step.number != number);
        let waits = if let StepState::Stopping { on } = state { on } else { node };
        let epoch = self.hosts.get(&waits).and_then(|host| host.epoch);
        self.steps.push(Step { number, node, state, epoch });
        self.places.insert(number, Place::default());
    }

    fn tell(&mut self, number: i64, node: Id, wanted: &str) {
        self.revs += 1;
        let rev = format!("2026-11-22 18:24:40.{:03} UTC", self.revs);
        assert!(rev.as_str() > REV);
        let row = Row {
            node: Some(node),
            desired_state: wanted.to_owned(),
            deploy_rev: Some(rev),
            rev: None,
            state: "running".to_owned(),
            error: None,
        };
        self.rows.insert(number, row);
    }

    /// Time passes, and the agents do what they do.
    fn pass(&mut self) {
        for place in self.places.values_mut() {
            place.since += Duration::from_secs(5);
        }
        for row in self.rows.values_mut() {
            let Some(at) = row.node else { continue };
            let agent = (1..=self.agents.len())
                .find(|number| node(*number) == at)
                .map(|number| self.agents[number - 1]);
            let report = match agent.unwrap_or(Agent::Well) {
                Agent::Well => Some(None),
                Agent::Fails => Some(Some("boom".to_owned())),
                Agent::Silent | Agent::Offline => None,
                Agent::Reconnects => {
                    let host = self.hosts.get_mut(&at).unwrap();
                    let was = host.epoch.replace(2);
                    (was == Some(2)).then_some(None)
                }
            };
            if let Some(error) = report {
                row.rev.clone_from(&row.deploy_rev);
                row.state.clone_from(&row.desired_state);
                row.error = error;
            }
        }
    }

    fn under_way(&self) -> usize {
        self.steps.iter().filter(|step| !matches!(step.state, StepState::Settled(_))).count()
    }

    /// Plays on to the end; the master dies before the write of this number.
    fn play(&mut self, parallelism: usize, dies_before: usize) -> Result<(), String> {
        let mut writes = 0;
        for _ in 0..2_000 {
            for act in self.next(parallelism).acts {
                writes += 1;
                if writes == dies_before {
                    // Its successor knows only what is written, and counts anew.
                    self.places.values_mut().for_each(|place| *place = Place::default());
                    break;
                }
                self.write(act);
                assert!(self.under_way() <= parallelism, "more under way than may be");
                if let Some(outcome) = self.ended.take() {
                    assert_eq!(self.under_way(), 0);
                    return outcome;
                }
            }
            self.pass();
        }
        panic!("the deploy does not end: {:?}", self.steps);
    }
}

fn any_agent() -> impl Strategy<Value = Agent> {
    prop_oneof![
        6 => Just(Agent::Well), 1 => Just(Agent::Fails), 1 => Just(Agent::Silent), 1 => Just(Agent::Offline),
        2 => Just(Agent::Reconnects)
    ]
}

proptest! {
    #[test]
    fn every_deploy_ends_wherever_its_master_dies(
        agents in prop::collection::vec(any_agent(), 0..9),
        before in prop::collection::vec(prop::option::of(1..12_usize), 0..9),
        parallelism in 1..5_usize,
        dies_before in 0..30_usize,
    ) {
        let before: Vec<Option<usize>> =
            before.into_iter().map(|on| on.filter(|on| *on <= agents.len() + 3)).take(agents.len()).collect();
        let mut world = World::new(&agents, &before);
        let outcome = world.play(parallelism, dies_before);
        let well = agents.iter().all(|agent| matches!(agent, Agent::Well | Agent::Reconnects));
        prop_assert_eq!(outcome.is_ok(), well, "{:?}", outcome);
        if well {
            prop_assert_eq!(world.steps.len(), agents.len());
            for (number, row) in &world.rows {
                prop_assert_eq!(row.node, Some(node(usize::try_from(*number).unwrap())));
            }
        }
    }
}

#[test]
fn a_failed_instance_halts_the_rest() {
    let mut world = World::new(&[Agent::Well, Agent::Fails, Agent::Well], &[]);
    let expected = "halting deploy of main/shop/web, one or more instances failed";
    assert_eq!(world.play(1, 0), Err(expected.to_owned()));
    assert_eq!(world.steps.len(), 2, "the third was never begun");
    assert_eq!(world.rows[&2].error.as_deref(), Some("boom"));
}

#[test]
fn an_instance_without_a_node_ends_the_deploy_after_those_before_it() {
    let mut world = World::new(&[Agent::Well, Agent::Well], &[]);
    world.plan[1].node = Err("Did not find any nodes with unused ports: [80]".to_owned());
    let expected = "Cannot find applicable node for service instance main/shop/web-2: Did not find any nodes with \
                    unused ports: [80]";
    assert_eq!(world.play(2, 0), Err(expected.to_owned()));
    assert_eq!(world.steps.len(), 1);
}

#[test]
fn stopping_the_service_or_calling_the_deploy_off_ends_it_once_nothing_is_under_way() {
    for cancelled in [true, false] {
        let mut world = World::new(&[Agent::Well; 4], &[]);
        for act in world.next(2).acts {
            world.write(act);
        }
        (world.cancelled, world.wanted) = (cancelled, cancelled);
        assert!(world.next(2).acts.is_empty(), "what is under way is waited for");
        let outcome = world.play(2, 0).unwrap_err();
        assert_eq!(outcome.contains("called off"), cancelled);
        assert_eq!(world.steps.len(), 2);
    }
}

#[test]
fn an_instance_that_moves_is_stopped_first_and_a_failure_of_that_is_only_told() {
    let mut world = World::new(&[Agent::Well], &[Some(3)]);
    let first = world.next(1).acts;
    assert_eq!(first, [Act::Stop { number: 1, on: node(3), to: node(1) }]);
    for act in first {
        world.write(act);
    }
    let host = world.hosts.get_mut(&node(3)).unwrap();
    (host.connected, host.away) = (false, Duration::from_secs(9));
    assert!(world.next(1).acts.is_empty(), "its agent may be back in a moment");
    world.hosts.get_mut(&node(3)).unwrap().away = Duration::from_secs(10);
    let warning = Some("GridServiceInstanceDeployer::NodeError: Host node is offline".to_owned());
    let expected = [Act::Apply { number: 1, node: node(1), warning }];
    assert_eq!(world.next(1).acts, expected);
    // That the old node's agent was called in vain is known only later, and is no failure on the new one.
    for act in expected.clone() {
        world.write(act);
    }
    world.places.get_mut(&1).unwrap().unreached.insert(node(3), "nobody there".to_owned());
    assert!(world.next(1).acts.is_empty(), "it is waited for where it is now");
    world.places.get_mut(&1).unwrap().unreached.insert(node(1), "nobody here".to_owned());
    let failed = Act::Settle { number: 1, outcome: Err("nobody here".to_owned()) };
    assert_eq!(world.next(1).acts.first(), Some(&failed));
    // Of a node that is offline from the start nobody is asked.
    let mut world = World::new(&[Agent::Well], &[Some(3)]);
    world.hosts.get_mut(&node(3)).unwrap().connected = false;
    assert_eq!(world.next(1).acts, expected);
}

#[test]
fn who_stops_a_service_is_not_overruled_by_agents_that_come_back() {
    let mut world = World::new(&[Agent::Silent; 2], &[None, Some(3)]);
    for act in world.next(2).acts {
        world.write(act);
    }
    // Whoever stops a service stops its instances.
    world.wanted = false;
    (1..=2).for_each(|number| world.tell(number, world.rows[&number].node.unwrap(), "stopped"));
    let moving = world.rows[&2].node.unwrap();
    for host in [node(1), moving] {
        world.hosts.get_mut(&host).unwrap().epoch = Some(2);
    }
    let repeated = world.next(2).acts;
    let expected =
        [(1, node(1)), (2, moving)].map(|(number, node)| Act::Repeat { number, node, running: false });
    assert_eq!(repeated, expected);
    for act in repeated {
        world.write(act);
    }
    for row in world.rows.values_mut() {
        row.rev.clone_from(&row.deploy_rev);
        row.state.clone_from(&row.desired_state);
    }
    assert!(world.play(2, 0).unwrap_err().contains("desired state has changed"));
    assert!(world.rows.values().all(|row| row.desired_state == "stopped"), "{:?}", world.rows);
}
