//! Stacks: the order of their services, and deploys and removals played through by masters that forget everything
//! between any two moves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails there has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kontena_core::deploy::DeployState;
use kontena_core::id::Id;
use kontena_core::stack::{
    DeployAct, DeployView, LinkFault, Linked, Member, MemberDeploy, PATIENCE, RemovalAct, RemovalView,
    decide_deploy, decide_removal, order, order_whatever,
};
use proptest::prelude::*;

fn services(links: &[(&str, &[&str])]) -> Vec<Linked> {
    let service = |(name, links): &(&str, &[&str])| Linked {
        name: (*name).to_owned(),
        links: links.iter().map(|link| (*link).to_owned()).collect(),
    };
    links.iter().map(service).collect()
}

fn names(links: &[(&str, &[&str])]) -> Vec<String> {
    let services = services(links);
    order(&services).unwrap().into_iter().map(|at| services[at].name.clone()).collect()
}

#[test]
fn services_come_after_those_that_they_link_to_and_those_with_fewer_links_first() {
    // As it was recorded.
    let shop: &[(&str, &[&str])] =
        &[("web", &["cache", "db", "db"]), ("cache", &[]), ("worker", &["cache"]), ("db", &[])];
    assert_eq!(names(shop), ["cache", "db", "worker", "web"]);
    assert_eq!(names(&[("a", &["b"]), ("b", &["c"]), ("c", &["d"]), ("d", &[])]), ["d", "c", "b", "a"]);
    assert_eq!(names(&[("b", &[]), ("a", &[])]), ["b", "a"]);
    assert_eq!(names(&[]), Vec::<String>::new());
}

#[test]
fn missing_and_recursive_links_are_told_as_the_original_tells_them() {
    let fault = |links: &[(&str, &[&str])]| {
        let fault = order(&services(links)).unwrap_err();
        (fault.service().to_owned(), fault.to_string())
    };
    assert_eq!(
        fault(&[("a", &["b"]), ("c", &["x", "y"])]),
        ("a".to_owned(), "service a has missing links: b".to_owned())
    );
    let recursive = [
        (vec![("api", ["api"].as_slice())], "api", r#"["api", [...]]"#),
        (vec![("api", ["bar"].as_slice()), ("bar", &["api"])], "api", r#"["bar", ["api", [...]]]"#),
        // Whoever links into a circle is in it as well; what has been looked at before is shown flat.
        (
            vec![("z", [].as_slice()), ("y", &["z"]), ("x", &["y", "a"]), ("a", &["b"]), ("b", &["a"])],
            "x",
            r#"["y", "a", ["z"], ["b", ["a", [...]]]]"#,
        ),
    ];
    for (links, service, shown) in recursive {
        let expected = format!("service {service} has recursive links: {shown}");
        assert_eq!(fault(&links), (service.to_owned(), expected));
    }
}

#[test]
fn links_without_end_end() {
    // Each links to the next twice: more links than can be counted, and a circle at their end.
    let chain = |last: &[&str]| -> Vec<Linked> {
        let mut all: Vec<Linked> = (0..400)
            .map(|n| Linked { name: format!("s{n}"), links: vec![format!("s{}", n + 1); 2] })
            .collect();
        all.push(Linked {
            name: "s400".to_owned(),
            links: last.iter().map(|link| (*link).to_owned()).collect(),
        });
        all
    };
    let expected: Vec<usize> = (0..=400).rev().collect();
    assert_eq!(order(&chain(&[])), Ok(expected));
    let Err(LinkFault::Recursive { service, links }) = order(&chain(&["s0"])) else { panic!("an order") };
    assert_eq!(service, "s0");
    assert!(links.len() < 5_000, "{}", links.len());
    assert_eq!(order_whatever(&chain(&["s0"])).len(), 401);
}

proptest! {
    #[test]
    fn whatever_the_links_an_order_keeps_them_or_there_is_a_circle(
        links in prop::collection::vec(prop::collection::vec(0_usize..8, 0..4), 1..8)
    ) {
        let count = links.len();
        let name = |at: usize| format!("s{at}");
        let services: Vec<Linked> = links
            .iter()
            .enumerate()
            .map(|(at, targets)| Linked {
                name: name(at),
                links: targets.iter().map(|target| name(target % count)).collect(),
            })
            .collect();
        // Reached over any number of links.
        let mut reached: Vec<BTreeSet<usize>> =
            links.iter().map(|targets| targets.iter().map(|target| target % count).collect()).collect();
        for _ in 0..count {
            let before = reached.clone();
            for targets in &mut reached {
                let further: Vec<usize> = targets.iter().flat_map(|at| before[*at].clone()).collect();
                targets.extend(further);
            }
        }
        let circle = (0..count).any(|at| reached[at].contains(&at));
        match order(&services) {
            Ok(order) => {
                prop_assert!(!circle);
                for (place, at) in order.iter().enumerate() {
                    let before: BTreeSet<usize> = order[..place].iter().copied().collect();
                    prop_assert!(reached[*at].is_subset(&before));
                }
            }
            Err(fault) => {
                let recursive = matches!(fault, LinkFault::Recursive { .. });
                prop_assert!(circle && recursive);
            }
        }
        let all: BTreeSet<usize> = order_whatever(&services).into_iter().collect();
        prop_assert_eq!(all.len(), count);
    }
}

fn id(number: u8) -> Id {
    Id::from_bytes([number; 12])
}

/// What the database has of a stack.
struct World {
    members: Vec<Member>,
    wanted: Vec<String>,
    latest: Vec<String>,
    deploys: BTreeMap<Id, MemberDeploy>,
    begun: bool,
    removing: bool,
    stopped: bool,
    done: Vec<String>,
}

impl World {
    /// Services by their links; those whose names are `wanted` stay.
    fn new(links: &[(&str, &[&str])], wanted: &[&str]) -> Self {
        let at = |name: &str| {
            let at = links.iter().position(|(found, _)| *found == name).unwrap();
            id(u8::try_from(at + 1).unwrap())
        };
        let member = |(name, targets): &(&str, &[&str])| Member {
            id: at(name),
            name: (*name).to_owned(),
            links: targets.iter().map(|target| at(target)).collect(),
            users: links
                .iter()
                .filter(|(_, targets)| targets.contains(name))
                .map(|(user, _)| (at(user), format!("shop/{user}")))
                .collect(),
        };
        Self {
            members: links.iter().map(member).collect(),
            wanted: wanted.iter().map(|name| (*name).to_owned()).collect(),
            latest: wanted.iter().map(|name| (*name).to_owned()).collect(),
            deploys: BTreeMap::new(),
            begun: false,
            removing: false,
            stopped: false,
            done: Vec::new(),
        }
    }

    fn name(&self, id: Id) -> String {
        self.members.iter().find(|member| member.id == id).unwrap().name.clone()
    }

    fn remove(&mut self, id: Id) {
        self.done.push(format!("remove {}", self.name(id)));
        self.members.retain(|member| member.id != id);
        for member in &mut self.members {
            member.users.retain(|(user, _)| *user != id);
        }
    }

    fn next(&self) -> DeployAct {
        decide_deploy(&DeployView {
            path: "main/shop",
            begun: self.begun,
            removing: self.removing,
            wanted: &self.wanted,
            latest: &self.latest,
            members: &self.members,
            deploys: &self.deploys,
            patience: PATIENCE,
        })
    }

    /// Carries a deploy out to its end, or until it waits.
    fn deploy(&mut self) -> Option<Result<(), String>> {
        for _ in 0..100 {
            match self.next() {
                DeployAct::Begin => self.begun = true,
                DeployAct::Remove(id) => self.remove(id),
                DeployAct::Deploy(id) => {
                    self.done.push(format!("deploy {}", self.name(id)));
                    let asked = MemberDeploy {
                        state: DeployState::Created,
                        finished: false,
                        reason: None,
                        age: Duration::ZERO,
                    };
                    assert!(self.deploys.insert(id, asked).is_none(), "asked for twice");
                }
                DeployAct::Wait => return None,
                DeployAct::End(outcome) => return Some(outcome),
            }
        }
        panic!("no end")
    }

    fn finish(&mut self, reason: Option<&str>) {
        for deploy in self.deploys.values_mut().filter(|deploy| !deploy.finished) {
            deploy.finished = true;
            deploy.state = if reason.is_some() { DeployState::Error } else { DeployState::Success };
            deploy.reason = reason.map(str::to_owned);
        }
    }
}

const SHOP: &[(&str, &[&str])] = &[
    ("web", &["api", "cache"]),
    ("api", &["db"]),
    ("db", &[]),
    ("cache", &[]),
    ("old", &["older"]),
    ("older", &[]),
];

#[test]
fn a_deploy_removes_what_is_left_out_and_deploys_one_after_the_other() {
    let mut world = World::new(SHOP, &["web", "api", "db", "cache"]);
    for deployed in 1..=4 {
        assert_eq!(world.deploy(), None);
        assert_eq!(world.deploys.len(), deployed);
        world.finish(None);
    }
    assert_eq!(world.deploy(), Some(Ok(())));
    let expected = ["remove old", "remove older", "deploy db", "deploy cache", "deploy api", "deploy web"]
        .map(str::to_owned);
    assert_eq!(world.done, expected);
}

#[test]
fn what_a_later_revision_has_is_left_to_its_own_deploy() {
    // `old` came with the later revision and links to what both have; `older` is in neither.
    let links: &[(&str, &[&str])] = &[("web", &["db"]), ("db", &[]), ("old", &["db"]), ("older", &[])];
    let mut world = World::new(links, &["web", "db", "left"]);
    world.latest = ["web", "db", "old"].map(str::to_owned).to_vec();
    for _ in ["db", "web"] {
        assert_eq!(world.deploy(), None);
        world.finish(None);
    }
    assert_eq!(world.deploy(), Some(Ok(())));
    assert_eq!(world.done, ["remove older", "deploy db", "deploy web"]);
}

#[test]
fn what_links_to_a_service_of_a_later_revision_is_deployed_all_the_same() {
    // The later deploy is asked for already, and with that the link is there.
    let mut world = World::new(&[("web", &["new"]), ("new", &[])], &["web"]);
    world.latest.push("new".to_owned());
    assert_eq!(world.deploy(), None);
    world.finish(None);
    assert_eq!(world.deploy(), Some(Ok(())));
    assert_eq!(world.done, ["deploy web"]);
}

#[test]
fn a_service_that_must_be_deployed_and_is_not_there_is_no_success() {
    let mut world = World::new(&[("web", &["db"]), ("db", &[])], &["web", "db", "gone"]);
    assert_eq!(world.deploy(), Some(Err("service main/shop/gone does not exist".to_owned())));
}

#[test]
fn what_fails_keeps_the_rest_from_being_deployed() {
    let mut world = World::new(SHOP, &["web", "api", "db", "cache", "old", "older"]);
    assert_eq!(world.deploy(), None);
    world.finish(Some("no node"));
    assert_eq!(world.deploy(), Some(Err("deploy of service main/shop/db failed: no node".to_owned())));
    assert_eq!(world.done, ["deploy db"]);
}

#[test]
fn a_service_is_waited_for_as_long_as_the_original_waited() {
    let mut world = World::new(SHOP, &["web", "api", "db", "cache", "old", "older"]);
    assert_eq!(world.deploy(), None);
    let mut age = |seconds: u64| {
        world.deploys.values_mut().for_each(|deploy| deploy.age = Duration::from_secs(seconds));
        world.next()
    };
    assert_eq!(age(599), DeployAct::Wait);
    let late = "deploy of service main/shop/db is not finished after 600s".to_owned();
    assert_eq!(age(600), DeployAct::End(Err(late)));
}

#[test]
fn a_service_that_others_link_to_is_not_removed_by_a_deploy() {
    let mut world = World::new(&[("web", &["db"]), ("db", &[])], &["web"]);
    let why = "service main/shop/db is not removed, since shop/web link to it".to_owned();
    assert_eq!(world.deploy(), Some(Err(why)));
    assert!(world.done.is_empty());
}

#[test]
fn a_stack_that_is_removed_is_not_deployed() {
    let mut world = World::new(SHOP, &["web"]);
    world.removing = true;
    assert_eq!(world.deploy(), Some(Err("stack main/shop is being removed".to_owned())));
}

fn remove(world: &mut World) -> Option<String> {
    for _ in 0..100 {
        match decide_removal(&RemovalView { stopped: world.stopped, members: &world.members }) {
            RemovalAct::Stop => {
                world.stopped = true;
                world.done.push("stop".to_owned());
            }
            RemovalAct::Remove(id) => world.remove(id),
            RemovalAct::Blocked(why) => return Some(why),
            RemovalAct::Finish => {
                world.done.push("finish".to_owned());
                return None;
            }
        }
    }
    panic!("no end")
}

#[test]
fn a_removal_stops_all_and_goes_from_the_last_to_the_first() {
    let mut world = World::new(&SHOP[..4], &[]);
    assert_eq!(remove(&mut world), None);
    let expected = ["stop", "remove web", "remove api", "remove cache", "remove db", "finish"];
    assert_eq!(world.done, expected);
}

#[test]
fn a_removal_waits_whole_for_services_of_other_stacks_and_minds_no_circles() {
    let mut world = World::new(&[("a", &["b"]), ("b", &["a"])], &[]);
    world.members[0].users.push((id(99), "other/web".to_owned()));
    let why = "other/web of another stack link to its service a".to_owned();
    assert_eq!(remove(&mut world), Some(why));
    assert!(world.done.is_empty(), "{:?}", world.done);
    world.members[0].users.retain(|(user, _)| *user != id(99));
    assert_eq!(remove(&mut world), None);
    assert_eq!(world.done.len(), 4);
}
