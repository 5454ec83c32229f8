//! Tells agents that their instances have changed, and remembers whom it could not tell.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use tokio::task::JoinSet;

use crate::agents::{Agents, CallError};

/// For how long an agent is tried that looks for another master.
const PATIENCE: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_millis(500);

/// An instance, the node whose agent could not be told of it, and why.
type Missed = (i64, Id, CallError);

/// The calls of one deploy that are under way.
pub(super) struct Notifier {
    agents: Agents,
    calls: JoinSet<Vec<Missed>>,
    unreached: BTreeMap<i64, BTreeMap<Id, String>>,
}

impl Notifier {
    pub(super) fn new(agents: Agents) -> Self {
        Self { agents, calls: JoinSet::new(), unreached: BTreeMap::new() }
    }

    /// Tells each node once, whatever number of instances it has, those that one master holds together.
    pub(super) fn tell(
        &mut self,
        instances: &BTreeMap<i64, Id>,
        owners: &BTreeMap<Id, HolderId>,
        volumes: bool,
    ) {
        let mut nodes: BTreeMap<Id, Vec<i64>> = BTreeMap::new();
        for (number, node) in instances {
            nodes.entry(*node).or_default().push(*number);
        }
        let mut groups: BTreeMap<Option<HolderId>, BTreeMap<Id, Vec<i64>>> = BTreeMap::new();
        for (node, numbers) in nodes {
            groups.entry(owners.get(&node).copied()).or_default().insert(node, numbers);
        }
        for (owner, nodes) in groups {
            let agents = self.agents.clone();
            self.calls.spawn(async move { tell_all(&agents, owner, &nodes, volumes).await });
        }
    }

    /// Until somebody could not be told.
    pub(super) async fn unreached(&mut self) {
        while let Some(ended) = self.calls.join_next().await {
            if let Ok(missed) = ended
                && !missed.is_empty()
            {
                for (number, node, error) in missed {
                    self.unreached.entry(number).or_default().insert(node, reason(&error));
                }
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// The instances whose agents could not be told since the last time, on which node, and why.
    pub(super) fn take_unreached(&mut self) -> BTreeMap<i64, BTreeMap<Id, String>> {
        std::mem::take(&mut self.unreached)
    }
}

async fn tell_all(
    agents: &Agents,
    owner: Option<HolderId>,
    nodes: &BTreeMap<Id, Vec<i64>>,
    volumes: bool,
) -> Vec<Missed> {
    let ids: Vec<Id> = nodes.keys().copied().collect();
    let missed = match owner.filter(|owner| agents.is_alive(*owner)) {
        Some(owner) => agents.tell_pods(owner, &ids, volumes).await,
        None => ids.iter().map(|node| (*node, CallError::Lost)).collect(),
    };
    // Agents that were not there may be at another master by now.
    let again = missed.into_iter().map(async |(node, error)| match error {
        error @ CallError::Fault(_) => (node, Err(error)),
        _ => (node, tell(agents, node, volumes).await),
    });
    let outcomes = join_all(again).await.into_iter();
    let missed = outcomes.filter_map(|(node, outcome)| Some((node, nodes.get(&node)?, outcome.err()?)));
    missed
        .flat_map(|(node, numbers, error)| numbers.iter().map(move |number| (*number, node, error.clone())))
        .collect()
}

/// An agent that lost its master is back in a moment.
async fn tell(agents: &Agents, node: Id, volumes: bool) -> Result<(), CallError> {
    let trying = async {
        loop {
            match agents.tell_pods_of(node, volumes).await {
                Err(
                    CallError::Lost
                    | CallError::Late(_)
                    | CallError::NotConnected(_)
                    | CallError::Unavailable(_),
                ) => tokio::time::sleep(RETRY).await,
                outcome => return outcome,
            }
        }
    };
    tokio::time::timeout(PATIENCE, trying).await.unwrap_or(Err(CallError::Late(PATIENCE)))
}

fn reason(error: &CallError) -> String {
    match error {
        CallError::Late(_) => format!("RpcClient::TimeoutError: {error}"),
        other => format!("RpcClient::Error: {other}"),
    }
}
