//! The next move of a stack's deploy, and of its removal.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use super::order::{Linked, order_whatever};
use crate::deploy::DeployState;
use crate::id::Id;

/// For how long a stack waits for the deploy of one of its services.
pub const PATIENCE: Duration = Duration::from_secs(600);

/// A service of a stack, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: Id,
    /// Unique in the stack.
    pub name: String,
    /// The services that it links to.
    pub links: Vec<Id>,
    /// The services that link to it, with their paths `stack/service`.
    pub users: Vec<(Id, String)>,
}

/// The deploy of a service that belongs to the deploy of its stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberDeploy {
    /// How far it is.
    pub state: DeployState,
    /// Whether it is over.
    pub finished: bool,
    /// Why it went wrong.
    pub reason: Option<String>,
    /// How long ago it was asked for, by the database's clock.
    pub age: Duration,
}

/// What is known of the deploy of a stack.
#[derive(Debug)]
pub struct DeployView<'a> {
    /// `grid/stack`, for what is said.
    pub path: &'a str,
    /// Whether it has begun.
    pub begun: bool,
    /// Whether the stack is to be removed.
    pub removing: bool,
    /// The services of the revision that is deployed.
    pub wanted: &'a [String],
    /// Those of the latest revision. Its new ones are there already, though their deploy comes later.
    pub latest: &'a [String],
    /// The services that there are.
    pub members: &'a [Member],
    /// What of them was asked to be deployed, by service.
    pub deploys: &'a BTreeMap<Id, MemberDeploy>,
    /// For how long one of them is waited for.
    pub patience: Duration,
}

/// What is to be done for the deploy of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeployAct {
    /// It begins.
    Begin,
    /// Remove a service that the stack has no more.
    Remove(Id),
    /// Ask for the deploy of a service.
    Deploy(Id),
    /// Nothing, but to look again.
    Wait,
    /// It is over.
    End(Result<(), String>),
}

/// What comes next in the deploy of a stack: services that neither its revision nor a later one has go first, then one
/// service of its revision after the other is deployed, each after those that it links to. What fails keeps the rest from
/// being deployed.
#[must_use]
pub fn decide_deploy(view: &DeployView<'_>) -> DeployAct {
    let path = view.path;
    if view.removing {
        return DeployAct::End(Err(format!("stack {path} is being removed")));
    }
    if !view.begun {
        return DeployAct::Begin;
    }
    let order = ordered(view.members);
    let wanted: HashSet<&str> = view.wanted.iter().map(String::as_str).collect();
    let latest: HashSet<&str> = view.latest.iter().map(String::as_str).collect();
    let leaving =
        |member: &&Member| !wanted.contains(member.name.as_str()) && !latest.contains(member.name.as_str());
    let gone: HashSet<Id> = view.members.iter().filter(leaving).map(|member| member.id).collect();
    if let Some(member) = order.iter().rev().copied().find(leaving) {
        let users: Vec<&str> = users_outside(member, &gone).collect();
        return if users.is_empty() {
            DeployAct::Remove(member.id)
        } else {
            let (name, users) = (&member.name, users.join(", "));
            DeployAct::End(Err(format!("service {path}/{name} is not removed, since {users} link to it")))
        };
    }
    let there: HashSet<&str> = view.members.iter().map(|member| member.name.as_str()).collect();
    // What a later revision has no more may be gone.
    let missing = |name: &&String| latest.contains(name.as_str()) && !there.contains(name.as_str());
    if let Some(name) = view.wanted.iter().find(missing) {
        return DeployAct::End(Err(format!("service {path}/{name} does not exist")));
    }
    for member in order.into_iter().filter(|member| wanted.contains(member.name.as_str())) {
        let name = &member.name;
        match view.deploys.get(&member.id) {
            None => return DeployAct::Deploy(member.id),
            Some(MemberDeploy { finished: true, state: DeployState::Error, reason, age: _ }) => {
                let reason = reason.as_deref().unwrap_or("for an unknown reason");
                return DeployAct::End(Err(format!("deploy of service {path}/{name} failed: {reason}")));
            }
            Some(MemberDeploy { finished: true, .. }) => {}
            Some(MemberDeploy { age, .. }) if *age >= view.patience => {
                let limit = view.patience.as_secs();
                let why = format!("deploy of service {path}/{name} is not finished after {limit}s");
                return DeployAct::End(Err(why));
            }
            Some(_) => return DeployAct::Wait,
        }
    }
    DeployAct::End(Ok(()))
}

/// What is known of a stack that is to be removed.
#[derive(Debug)]
pub struct RemovalView<'a> {
    /// Whether its services were told to stop.
    pub stopped: bool,
    /// The services that there are.
    pub members: &'a [Member],
}

/// What is to be done to remove a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RemovalAct {
    /// Stop all of its services.
    Stop,
    /// Remove a service.
    Remove(Id),
    /// Nothing can be done, as long as this is so.
    Blocked(String),
    /// Remove the stack itself.
    Finish,
}

/// What comes next in the removal of a stack: all services stop, then each goes before those that it links to. Nothing
/// goes while a service of another stack links to any of them.
#[must_use]
pub fn decide_removal(view: &RemovalView<'_>) -> RemovalAct {
    let own: HashSet<Id> = view.members.iter().map(|member| member.id).collect();
    let order = ordered(view.members);
    for member in &order {
        let users: Vec<&str> = users_outside(member, &own).collect();
        if !users.is_empty() {
            let (name, users) = (&member.name, users.join(", "));
            return RemovalAct::Blocked(format!("{users} of another stack link to its service {name}"));
        }
    }
    if !view.stopped {
        return RemovalAct::Stop;
    }
    order.last().map_or(RemovalAct::Finish, |member| RemovalAct::Remove(member.id))
}

fn users_outside<'a>(member: &'a Member, inside: &HashSet<Id>) -> impl Iterator<Item = &'a str> {
    member.users.iter().filter(|(user, _)| !inside.contains(user)).map(|(_, path)| path.as_str())
}

fn ordered(members: &[Member]) -> Vec<&Member> {
    let names: HashMap<Id, &str> = members.iter().map(|member| (member.id, member.name.as_str())).collect();
    let linked: Vec<Linked> = members
        .iter()
        .map(|member| Linked {
            name: member.name.clone(),
            links: member
                .links
                .iter()
                .filter_map(|link| names.get(link))
                .map(|name| (*name).to_owned())
                .collect(),
        })
        .collect();
    order_whatever(&linked).into_iter().filter_map(|at| members.get(at)).collect()
}
