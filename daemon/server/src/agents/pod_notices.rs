//! Tells many agents at once that their pods have changed: one message to each master that holds sessions of them.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::PacketKind;
use kontena_wire::agent::outbound;
use kontena_wire::rpc::{self, Value, loose};

use tokio::time::Instant;

use super::bus::{answer, answer_body, exchange, node_id, parse_answer};
use super::outbound::Place;
use super::{Agents, CallError, LIMIT};

/// For another master to tell its agents of their volumes and pods.
const WITHIN: Duration = Duration::from_secs(12);
/// How often a master is asked that is too busy to answer.
const TRIES: u32 = 4;

impl Agents {
    /// Tells the agents of these nodes, whose sessions `owner` holds, to look at their pods; at their volumes first if
    /// `volumes`. Returns those that were not reached.
    pub(crate) async fn tell_pods(
        &self,
        owner: HolderId,
        nodes: &[Id],
        volumes: bool,
    ) -> Vec<(Id, CallError)> {
        if owner == self.0.me {
            return here(self, nodes, volumes).await;
        }
        let everyone = |error: &CallError| nodes.iter().map(|node| (*node, error.clone())).collect();
        let mut tries = 1..TRIES;
        loop {
            match exchange(self, owner, (PacketKind::Pods, body(nodes, volumes)), WITHIN).await {
                Ok(missed) => return parse_missed(&missed).unwrap_or_else(|| everyone(&CallError::Lost)),
                // The other master is alive and busy, which is not the agents' fault.
                Err(CallError::Late(_)) if tries.next().is_some() => {}
                Err(error) => return everyone(&error),
            }
        }
    }

    /// The same for one node, wherever its session is now.
    pub(crate) async fn tell_pods_of(&self, node: Id, volumes: bool) -> Result<(), CallError> {
        let owner = match self.place(node, LIMIT).await? {
            Place::Here(_) => self.0.me,
            Place::At(owner) => owner,
        };
        self.tell_pods(owner, &[node], volumes).await.pop().map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Tells the agents of these nodes to look at their pods; nobody waits for it, and those that are away look by
    /// themselves.
    pub(crate) fn tell_soon(&self, nodes: BTreeSet<Id>) {
        if nodes.is_empty() {
            return;
        }
        let agents = self.clone();
        self.0.tasks.spawn(async move {
            for node in nodes {
                if let Err(error) = agents.notify(node, outbound::pods_changed()).await {
                    tracing::debug!(%node, %error, "an agent was not told");
                }
            }
        });
    }
}

/// What another master wants its agents to be told; the answer names those that were not reached.
pub(super) async fn told(
    agents: &Agents,
    from: HolderId,
    payload: &[u8],
) -> Option<Result<Value, CallError>> {
    let (nodes, volumes) = parse(payload)?;
    for node in &nodes {
        agents.0.claimers.asked(*node, from, Instant::now());
    }
    let missed = here(agents, &nodes, volumes).await.into_iter();
    let missed = missed.map(|(node, error)| {
        Value::Array(vec![Value::Binary(node.bytes().to_vec()), Value::Binary(answer_body(Err(error)))])
    });
    Some(Ok(Value::Array(missed.collect())))
}

async fn here(agents: &Agents, nodes: &[Id], volumes: bool) -> Vec<(Id, CallError)> {
    let tell = async |node: &Id| {
        let told = async {
            if volumes {
                answer(agents, *node, outbound::volumes_changed(), None).await?;
            }
            answer(agents, *node, outbound::pods_changed(), None).await
        };
        told.await.err().map(|error| (*node, error))
    };
    join_all(nodes.iter().map(tell)).await.into_iter().flatten().collect()
}

fn body(nodes: &[Id], volumes: bool) -> Vec<u8> {
    let nodes = nodes.iter().map(|node| Value::Binary(node.bytes().to_vec())).collect();
    rpc::encode(&Value::Array(vec![Value::Array(nodes), volumes.into()]))
}

fn parse(payload: &[u8]) -> Option<(Vec<Id>, bool)> {
    let Value::Array(parts) = rpc::decode(payload).ok()? else { return None };
    let [Value::Array(nodes), volumes] = parts.as_slice() else { return None };
    let nodes: Option<Vec<Id>> = nodes.iter().map(node_id).collect();
    Some((nodes?, loose::flag(volumes)?))
}

fn parse_missed(answer: &Value) -> Option<Vec<(Id, CallError)>> {
    let Value::Array(missed) = answer else { return None };
    let one = |one: &Value| {
        let Value::Array(parts) = one else { return None };
        let [node, error] = parts.as_slice() else { return None };
        Some((node_id(node)?, parse_answer(loose::bytes(error)?)?.err()?))
    };
    missed.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_as_it_was_written() {
        let nodes = [Id::from_bytes([1; 12]), Id::from_bytes([2; 12])];
        assert_eq!(parse(&body(&nodes, true)), Some((nodes.to_vec(), true)));
        assert_eq!(parse(&rpc::encode(&Value::Nil)), None);
        let missed = Value::Array(vec![Value::Array(vec![
            Value::Binary(vec![1; 12]),
            Value::Binary(answer_body(Err(CallError::NotConnected("node-1".to_owned())))),
        ])]);
        let missed = parse_missed(&missed).unwrap();
        assert!(matches!(missed.as_slice(), [(node, CallError::NotConnected(_))] if *node == nodes[0]));
    }
}
