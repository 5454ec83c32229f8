//! A container as clients see it.

use std::collections::HashMap;

use kontena_core::id::Id;
use kontena_store::{ContainerDetails, GridRow, NodeDetails};
use kontena_wire::api;

use crate::http::api::answer::time;

/// What containers are shown among: their grid, its nodes, and the paths of its services.
pub(in crate::http::api) struct Surroundings<'a> {
    grid: &'a GridRow,
    nodes: HashMap<Id, &'a NodeDetails>,
    services: HashMap<Id, String>,
}

impl<'a> Surroundings<'a> {
    pub(in crate::http::api) fn new(
        grid: &'a GridRow,
        nodes: impl IntoIterator<Item = &'a NodeDetails>,
        services: HashMap<Id, String>,
    ) -> Self {
        Self { grid, nodes: nodes.into_iter().map(|node| (node.id, node)).collect(), services }
    }

    pub(in crate::http::api) fn show(&self, container: &ContainerDetails) -> api::Container {
        let grid = &self.grid.name;
        let node = container.node.and_then(|id| self.nodes.get(&id).copied());
        let service = container.service.and_then(|id| self.services.get(&id));
        let id = match node {
            Some(node) => format!("{grid}/{}/{}", node.name, container.name),
            None => container.name.clone(),
        };
        api::Container {
            id,
            name: container.name.clone(),
            container_id: container.container_id.clone(),
            grid_id: Some(grid.clone()),
            node: node.map(|node| self.node(node)),
            service_id: service.map(|path| format!("{grid}/{path}")),
            created_at: time(container.created_at),
            updated_at: time(container.updated_at),
            started_at: container.started_at.map(time),
            finished_at: container.finished_at.map(time),
            deleted_at: container.deleted_at.map(time),
            status: status(container).to_owned(),
            state: container.state.clone(),
            deploy_rev: container.deploy_rev.clone(),
            service_rev: container.service_rev.clone(),
            instance_number: container.instance_number,
            image: container.image.clone(),
            cmd: container.cmd.clone(),
            env: container.env.clone(),
            volumes: container.volumes.clone(),
            ip_address: container.overlay_ip.clone(),
            hostname: container.hostname.clone(),
            domainname: container.domainname.clone(),
            network_settings: container.network_settings.clone(),
            health_status: container
                .health
                .as_ref()
                .map(|(status, at)| api::ContainerHealth { status: status.clone(), updated_at: time(*at) }),
        }
    }

    fn node(&self, node: &NodeDetails) -> api::ContainerNode {
        api::ContainerNode {
            id: node.node_id.clone(),
            connected: node.connected,
            last_seen_at: node.last_seen_at.map(time),
            name: node.name.clone(),
            labels: node.labels.clone(),
            public_ip: node.public_ip.clone(),
            private_ip: node.private_ip.clone(),
            node_number: node.node_number,
            grid: api::ContainerGrid {
                id: self.grid.name.clone(),
                name: self.grid.name.clone(),
                initial_size: self.grid.initial_size,
            },
        }
    }
}

/// The first that applies.
fn status(container: &ContainerDetails) -> &'static str {
    if container.deleted_at.is_some() {
        return "deleted";
    }
    let states = ["paused", "restarting", "dead", "running", "oom_killed"];
    states.into_iter().find(|state| container.is(state)).unwrap_or("stopped")
}
