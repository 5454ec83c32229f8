//! Whether a service must be deployed again without anybody asking: the original's seven rules, in its order.
//!
//! Two things differ. An open deploy holds its service back whatever its age, since a deploy ends here wherever its
//! master dies; and a service whose deploys fail, or do not help, is left alone for a while, so that nothing storms.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::id::Id;
use crate::scheduler::{Grid, Service, plan};

/// For how long the deploy of a stack holds its services back.
pub const STACK_DEPLOY: Duration = Duration::from_secs(30 * 60);
/// From the end of a failed deploy to the next, and the time in which there may be no more than [`TOGETHER`].
pub const PAUSE: Duration = Duration::from_secs(20);
/// For how long a service that was changed is left alone: whoever changes it often deploys it next, by itself or with
/// its stack.
pub const SETTLE: Duration = Duration::from_millis(700);
/// A second deploy may follow at once, since the world may have changed meanwhile.
const TOGETHER: usize = 2;

/// What is known of a service beside where it is. All times are by one clock, the database's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Whether it shall run.
    pub running: bool,
    /// Whether a deploy of it is not finished.
    pub deploy_open: bool,
    /// The age of the youngest deploy of its stack that is not finished.
    pub stack_deploy: Option<Duration>,
    /// Since it was changed, if that was after its last deploy began.
    pub outdated: Option<Duration>,
    /// How often it shall be deployed.
    pub interval: Option<Duration>,
    /// Since its last deploy began.
    pub since_deployed: Option<Duration>,
    /// Since its last deploy failed, if it did.
    pub since_failed: Option<Duration>,
    /// The ages of the deploys that these rules made lately, the oldest first.
    pub lately: Vec<Duration>,
}

/// Why a service is deployed again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Other instances have a node than should.
    Count {
        /// How many should.
        wanted: usize,
        /// How many do.
        placed: usize,
    },
    /// They are on other nodes than they should be.
    Nodes {
        /// The names of those that should have instances and have none.
        missing: Vec<String>,
        /// The names of those that have some and should not.
        surplus: Vec<String>,
    },
    /// It was changed after it was deployed.
    Outdated,
    /// The time between two deploys has passed.
    Interval,
}

impl Cause {
    /// One word, for programs.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Count { .. } | Self::Nodes { .. } => "instances",
            Self::Outdated => "outdated",
            Self::Interval => "interval",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { wanted, placed } => {
                write!(f, "{placed} of its instances have a node, {wanted} should")
            }
            Self::Nodes { missing, surplus } => {
                let parts = [("should be on", missing), ("should leave", surplus)];
                let parts = parts.into_iter().filter(|(_, names)| !names.is_empty());
                let parts: Vec<String> =
                    parts.map(|(verb, names)| format!("{verb} {}", names.join(", "))).collect();
                write!(f, "its instances {}", parts.join(" and "))
            }
            Self::Outdated => f.write_str("an older version of it is running"),
            Self::Interval => f.write_str("its deploy interval has passed"),
        }
    }
}

/// Why a service is left as it is: the first rule that says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rest {
    /// Its data stays where it is.
    Stateful,
    /// It shall not run.
    NotRunning,
    /// It is being deployed.
    Deploying,
    /// Its stack is being deployed.
    StackDeploying,
    /// It was changed a moment ago.
    Settling,
    /// There is something to do, but it was tried a moment ago.
    Pausing,
    /// Everything is as it should be.
    InPlace,
}

impl Rest {
    /// In words, for the report of many.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Stateful => "stateful",
            Self::NotRunning => "not running",
            Self::Deploying => "being deployed",
            Self::StackDeploying => "in a stack being deployed",
            Self::Settling => "changed a moment ago",
            Self::Pausing => "pausing",
            Self::InPlace => "in place",
        }
    }
}

/// What becomes of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Leave(Rest),
    /// It is deployed.
    Deploy(Cause),
}

/// What the rules say of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// What becomes of it.
    pub verdict: Verdict,
    /// When it must be judged again though nothing was changed by anybody.
    pub again: Option<Duration>,
    /// Whether the rule of the instances was asked and every instance may stay where it is. If not, and the service
    /// has no limit of memory, the verdict may change with what its instances were seen to use.
    pub settled: bool,
}

/// Judges a service by the rules, in their order.
#[must_use]
pub fn judge(grid: &Grid, service: &Service, facts: &Facts) -> Judgement {
    let leave = |rest, again| Judgement { verdict: Verdict::Leave(rest), again, settled: true };
    if service.stateful {
        return leave(Rest::Stateful, None);
    }
    if !facts.running {
        return leave(Rest::NotRunning, None);
    }
    if facts.deploy_open {
        return leave(Rest::Deploying, None);
    }
    if let Some(left) = facts.stack_deploy.and_then(|age| remaining(STACK_DEPLOY, age)) {
        return leave(Rest::StackDeploying, Some(left));
    }
    if let Some(left) = facts.outdated.and_then(|since| remaining(SETTLE, since)) {
        return leave(Rest::Settling, Some(left));
    }
    let (wrong, settled) = misplaced(grid, service);
    let interval = facts.interval.zip(facts.since_deployed);
    let cause = wrong
        .or_else(|| facts.outdated.map(|_| Cause::Outdated))
        .or_else(|| interval.is_some_and(|(interval, since)| interval < since).then_some(Cause::Interval));
    let (verdict, again) = match (cause, pause(facts)) {
        (Some(_), Some(pause)) => (Verdict::Leave(Rest::Pausing), Some(pause)),
        (Some(cause), None) => (Verdict::Deploy(cause), None),
        (None, _) => {
            let interval = interval.and_then(|(interval, since)| remaining(interval, since));
            (Verdict::Leave(Rest::InPlace), [interval, grace_left(grid, service)].into_iter().flatten().min())
        }
    };
    Judgement { verdict, again, settled }
}

/// A time that is to come; just over, so that it has passed for sure.
fn remaining(whole: Duration, passed: Duration) -> Option<Duration> {
    whole.checked_sub(passed).map(|left| left + Duration::from_millis(1))
}

/// How long the next deploy must wait.
fn pause(facts: &Facts) -> Option<Duration> {
    let failed = facts.since_failed.and_then(|since| PAUSE.checked_sub(since));
    let many = facts.lately.len().checked_sub(TOGETHER).and_then(|first| facts.lately.get(first));
    let many = many.and_then(|age| PAUSE.checked_sub(*age));
    [failed, many].into_iter().flatten().max().map(|left| left + Duration::from_millis(1))
}

/// What is wrong with where the instances are, and whether each of them may stay.
fn misplaced(grid: &Grid, service: &Service) -> (Option<Cause>, bool) {
    if grid.nodes().iter().all(|node| node.away.is_some()) {
        return (None, true);
    }
    let plan = plan(grid, service, Some(service.strategy.grace()));
    let placed = grid.nodes_of(service.id).count();
    let stays = |placement: &crate::scheduler::Placement| placement.outcome.as_ref().is_ok_and(|at| at.stays);
    let settled = plan.placements.iter().all(stays);
    let wanted = plan.placements.len();
    if wanted != placed {
        return (Some(Cause::Count { wanted, placed }), settled);
    }
    let (should, does) = (plan.nodes(), grid.nodes_of(service.id).collect::<BTreeSet<Id>>());
    if should == does {
        return (None, settled);
    }
    let names = |only: &BTreeSet<Id>, other: &BTreeSet<Id>| {
        let nodes = grid.nodes().iter().filter(|node| only.contains(&node.id) && !other.contains(&node.id));
        nodes.map(|node| node.name.clone()).collect::<Vec<String>>()
    };
    (Some(Cause::Nodes { missing: names(&should, &does), surplus: names(&does, &should) }), settled)
}

/// Until the first of the nodes that are away, and host an instance, was away for too long.
fn grace_left(grid: &Grid, service: &Service) -> Option<Duration> {
    let hosts: BTreeSet<Id> = grid.nodes_of(service.id).collect();
    let away = grid.nodes().iter().filter(|node| hosts.contains(&node.id)).filter_map(|node| node.away);
    away.filter_map(|away| remaining(service.strategy.grace(), away)).min()
}
