//! What agents are told when clients change something that concerns them. Clients do not wait for it: agents that
//! are away learn it when they come back.

use kontena_core::id::Id;
use kontena_wire::agent::outbound;
use kontena_wire::agent::outbound::Outbound;

use crate::http::Api;

/// A grid, or what its nodes should know of each other, has changed.
pub(super) fn grid_changed(api: &Api, grid: Id) {
    let agents = api.agents.clone();
    api.resources.tasks.spawn(async move { agents.announce_grid(grid).await });
}

/// These nodes have other instances than before.
pub(super) fn pods_changed(api: &Api, nodes: Vec<Id>) {
    tell(api, nodes, outbound::pods_changed());
}

/// These nodes have other volumes than before.
pub(super) fn volumes_changed(api: &Api, nodes: Vec<Id>) {
    tell(api, nodes, outbound::volumes_changed());
}

/// These nodes are called, and what they answer does not matter.
pub(super) fn tell(api: &Api, nodes: Vec<Id>, call: Outbound) {
    let agents = api.agents.clone();
    api.resources.tasks.spawn(async move {
        for node in nodes {
            if let Err(error) = agents.notify(node, call.clone()).await {
                tracing::debug!(%node, %error, "an agent was not told");
            }
        }
    });
}
