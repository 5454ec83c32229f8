//! Tells agents that their instances have changed, and remembers whom it could not tell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kontena_core::id::Id;
use kontena_wire::agent::outbound;
use tokio::task::JoinSet;

use crate::agents::{Agents, CallError};

/// For how long an agent is tried that looks for another master.
const PATIENCE: Duration = Duration::from_secs(15);
const RETRY: Duration = Duration::from_millis(500);

/// The calls of one deploy that are under way.
pub(super) struct Notifier {
    agents: Agents,
    calls: JoinSet<(Vec<i64>, Result<(), CallError>)>,
    unreached: BTreeMap<i64, String>,
}

impl Notifier {
    pub(super) fn new(agents: Agents) -> Self {
        Self { agents, calls: JoinSet::new(), unreached: BTreeMap::new() }
    }

    /// Tells each node once, whatever number of instances it has.
    pub(super) fn tell(&mut self, instances: &BTreeMap<i64, Id>, volumes: bool) {
        let nodes: BTreeSet<Id> = instances.values().copied().collect();
        for node in nodes {
            let numbers: Vec<i64> =
                instances.iter().filter(|(_, at)| **at == node).map(|(number, _)| *number).collect();
            let agents = self.agents.clone();
            self.calls.spawn(async move { (numbers, tell(&agents, node, volumes).await) });
        }
    }

    /// Until somebody could not be told.
    pub(super) async fn unreached(&mut self) {
        while let Some(ended) = self.calls.join_next().await {
            if let Ok((numbers, Err(error))) = ended {
                self.unreached.extend(numbers.into_iter().map(|number| (number, reason(&error))));
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// The instances whose agents could not be told since the last time, and why.
    pub(super) fn take_unreached(&mut self) -> BTreeMap<i64, String> {
        std::mem::take(&mut self.unreached)
    }
}

async fn tell(agents: &Agents, node: Id, volumes: bool) -> Result<(), CallError> {
    let trying = async {
        if volumes {
            until_reached(agents, node, outbound::volumes_changed).await?;
        }
        until_reached(agents, node, outbound::pods_changed).await
    };
    tokio::time::timeout(PATIENCE, trying).await.unwrap_or(Err(CallError::Late(PATIENCE)))
}

/// An agent that lost its master is back in a moment.
async fn until_reached(agents: &Agents, node: Id, call: fn() -> outbound::Outbound) -> Result<(), CallError> {
    loop {
        match agents.request(node, call()).await {
            Ok(_) => return Ok(()),
            Err(
                CallError::Lost | CallError::Late(_) | CallError::NotConnected(_) | CallError::Unavailable(_),
            ) => {
                tokio::time::sleep(RETRY).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn reason(error: &CallError) -> String {
    match error {
        CallError::Late(_) => format!("RpcClient::TimeoutError: {error}"),
        other => format!("RpcClient::Error: {other}"),
    }
}
