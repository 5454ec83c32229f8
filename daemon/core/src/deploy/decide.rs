//! The next moves of a deploy.

use std::collections::BTreeMap;
use std::time::Duration;

use super::DeployState;
use crate::id::Id;

/// How long a deploy waits for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// For an agent to report an instance.
    pub report: Duration,
    /// For an agent that lost its connection and is mostly back in a moment.
    pub away: Duration,
    /// Between two looks while something is waited for.
    pub look: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { report: Duration::from_secs(300), away: Duration::from_secs(10), look: Duration::from_secs(2) }
    }
}

/// A place in the plan: an instance and its node, or why it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// Counts from 1.
    pub number: i64,
    /// Its node, or why it has none.
    pub node: Result<Id, String>,
}

/// Where an instance is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepState {
    /// It is being stopped on another node first.
    Stopping {
        /// Which.
        on: Id,
    },
    /// It is being applied on its node.
    Applying,
    /// It is done, well or not.
    Settled(DeployState),
}

/// The deploy of one instance, as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Counts from 1.
    pub number: i64,
    /// Where it goes.
    pub node: Id,
    /// How far it is.
    pub state: StepState,
    /// The session of the agent that was told; another one was not, or its report may be lost.
    pub epoch: Option<i64>,
}

/// An instance, as it is kept and as its agent reported it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Where it has its place.
    pub node: Option<Id>,
    /// `running` or `stopped`.
    pub desired_state: String,
    /// The revision that it was told of.
    pub deploy_rev: Option<String>,
    /// The revision that its agent reported last.
    pub rev: Option<String>,
    /// As its agent reported.
    pub state: String,
    /// As its agent reported.
    pub error: Option<String>,
}

/// A node, as far as a deploy waits for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Whether an agent holds a session, or looks for another master since its own is gone.
    pub connected: bool,
    /// Since its agent was last heard of, if it is not connected.
    pub away: Duration,
    /// The session.
    pub epoch: Option<i64>,
}

/// What is known of the way of one instance that no document says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// For how long it has been in its state, as far as this master saw.
    pub since: Duration,
    /// The nodes whose agents could not be told of it, and why. Of one that it has left since nothing follows.
    pub unreached: BTreeMap<Id, String>,
}

/// What is known of a deploy.
#[derive(Debug)]
pub struct View<'a> {
    /// The service's path, for what is said.
    pub path: &'a str,
    /// Whether the service is still to be run.
    pub wanted: bool,
    /// Why the deploy is called off.
    pub cancelled: Option<&'a str>,
    /// How many may be under way at once.
    pub parallelism: usize,
    /// Every instance, by number.
    pub plan: &'a [Planned],
    /// Those that are under way or done.
    pub steps: &'a [Step],
    /// The instances, by number.
    pub rows: &'a BTreeMap<i64, Row>,
    /// The nodes that are concerned.
    pub hosts: &'a BTreeMap<Id, Host>,
    /// The instances under way, by number.
    pub places: &'a BTreeMap<i64, Place>,
    /// How long what is waited for.
    pub patience: Patience,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Stop an instance where it is, since it goes elsewhere.
    Stop {
        /// Which.
        number: i64,
        /// Where it is.
        on: Id,
        /// Where it goes.
        to: Id,
    },
    /// Give an instance its place, and tell its agent.
    Apply {
        /// Which.
        number: i64,
        /// Where.
        node: Id,
        /// What went wrong with its stopping elsewhere, which is told and does not matter.
        warning: Option<String>,
    },
    /// Give it a new revision and tell its agent, since a report may be lost.
    Repeat {
        /// Which.
        number: i64,
        /// Where.
        node: Id,
        /// What it was told to be: whoever stopped the service since must not be overruled.
        running: bool,
    },
    /// An instance is done.
    Settle {
        /// Which.
        number: i64,
        /// How it went.
        outcome: Result<(), String>,
    },
    /// The deploy is done.
    End(Result<(), String>),
}

/// What is to be done now, and when to look again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// To be written together.
    pub acts: Vec<Act>,
    /// `None`: when something is reported, or at once if something was to be done.
    pub look_again: Option<Duration>,
}

/// What comes next.
#[must_use]
pub fn decide(view: &View<'_>) -> Decision {
    let mut acts = Vec::new();
    let (mut pending, mut failed) = (0_usize, false);
    for step in view.steps {
        match step.state {
            StepState::Settled(state) => failed |= state == DeployState::Error,
            StepState::Stopping { .. } | StepState::Applying => match waited(view, step) {
                Some(Act::Settle { number, outcome }) => {
                    failed |= outcome.is_err();
                    acts.push(Act::Settle { number, outcome });
                }
                act => {
                    pending += 1;
                    acts.extend(act);
                }
            },
        }
    }
    let halted = halted(view, failed);
    let mut next =
        view.plan.iter().filter(|planned| view.steps.iter().all(|step| step.number != planned.number));
    let mut unplaced = None;
    if halted.is_none() {
        while pending < view.parallelism {
            match next.next() {
                Some(Planned { number, node: Ok(node) }) => {
                    acts.push(begin(view, *number, *node));
                    pending += 1;
                }
                Some(Planned { number, node: Err(why) }) => {
                    let path = view.path;
                    unplaced = Some(format!(
                        "Cannot find applicable node for service instance {path}-{number}: {why}"
                    ));
                    break;
                }
                None => break,
            }
        }
    }
    if pending == 0 {
        let outcome = halted.or(unplaced).map_or(Ok(()), Err);
        acts.push(Act::End(outcome));
    }
    Decision { look_again: (pending > 0).then_some(view.patience.look), acts }
}

/// Why no further instance is begun.
fn halted(view: &View<'_>, failed: bool) -> Option<String> {
    let path = view.path;
    if let Some(why) = view.cancelled {
        return Some(why.to_owned());
    }
    if !view.wanted {
        return Some(unwanted(view));
    }
    failed.then(|| format!("halting deploy of {path}, one or more instances failed"))
}

fn unwanted(view: &View<'_>) -> String {
    format!("halting deploy of {}, desired state has changed", view.path)
}

fn begin(view: &View<'_>, number: i64, to: Id) -> Act {
    let before = view.rows.get(&number).and_then(|row| row.node).filter(|on| *on != to);
    match before.and_then(|on| Some((on, view.hosts.get(&on)?))) {
        Some((on, host)) if host.connected => Act::Stop { number, on, to },
        // Nobody is there who could stop it.
        Some(_) => {
            let warning = Some("GridServiceInstanceDeployer::NodeError: Host node is offline".to_owned());
            Act::Apply { number, node: to, warning }
        }
        None => Act::Apply { number, node: to, warning: None },
    }
}

/// What an instance under way waits for, if that has come or will not come.
fn waited(view: &View<'_>, step: &Step) -> Option<Act> {
    let Step { number, node, state, epoch } = step;
    let waits_for = match state {
        StepState::Stopping { on } => *on,
        StepState::Applying | StepState::Settled(_) => *node,
    };
    let verdict = verdict(view, *number, waits_for);
    let host = view.hosts.get(&waits_for);
    let another = host.is_some_and(|host| host.connected && host.epoch != *epoch);
    match (state, verdict) {
        (_, None) if another => {
            let running = view.rows.get(number).is_some_and(|row| row.desired_state == "running");
            Some(Act::Repeat { number: *number, node: waits_for, running })
        }
        (_, None) => None,
        // It was to be started elsewhere, and the service was stopped since.
        (StepState::Stopping { .. }, Some(_)) if !view.wanted => {
            Some(Act::Settle { number: *number, outcome: Err(unwanted(view)) })
        }
        (StepState::Stopping { .. }, Some(outcome)) => {
            Some(Act::Apply { number: *number, node: *node, warning: outcome.err() })
        }
        (StepState::Applying | StepState::Settled(_), Some(outcome)) => {
            Some(Act::Settle { number: *number, outcome })
        }
    }
}

/// What became of an instance, if that is known.
fn verdict(view: &View<'_>, number: i64, node: Id) -> Option<Result<(), String>> {
    let fault = |kind: &str, what: &str| Some(Err(format!("GridServiceInstanceDeployer::{kind}: {what}")));
    let Some(row) = view.rows.get(&number) else {
        return fault("StateError", "Service instance is gone");
    };
    let place = view.places.get(&number).cloned().unwrap_or_default();
    if row.node != Some(node) {
        return fault("StateError", "Service instance has left its node");
    }
    if let (Some(rev), Some(told)) = (&row.rev, &row.deploy_rev)
        && rev >= told
    {
        return if let Some(error) = &row.error {
            fault("ServiceError", error)
        } else if rev > told {
            fault("StateError", "Service instance was re-deployed")
        } else if row.state != row.desired_state {
            let (wanted, is) = (&row.desired_state, &row.state);
            fault("StateError", &format!("Service instance is not {wanted}, but {is}"))
        } else {
            Some(Ok(()))
        };
    }
    match view.hosts.get(&node) {
        None => return fault("NodeError", "Host node is missing"),
        // While an agent looks for another master its node still counts as connected.
        Some(host) if !host.connected && host.away >= view.patience.away => {
            return fault("NodeError", "Host node is offline");
        }
        Some(_) => {}
    }
    if let Some(why) = place.unreached.get(&node) {
        return Some(Err(why.clone()));
    }
    if place.since >= view.patience.report {
        let (path, wanted) = (view.path, &row.desired_state);
        let limit = view.patience.report.as_secs();
        return Some(Err(format!(
            "Timeout::Error: Timeout after {limit}s: waiting for service {path} instance {number} to be {wanted}"
        )));
    }
    None
}
