//! A node as clients see it.

use kontena_core::agents::node::{self, NodeStatus, Peer, peer_ips, region};
use kontena_store::{GridRow, NodeDetails};
use kontena_wire::api;
use kontena_wire::rpc::{self, loose};
use serde_json::{Map, Value};

use crate::http::api::answer::time;
use crate::http::api::grids::{logs, stats};

/// What is shown of the last measurement.
const USAGE: [&str; 5] = ["memory", "load", "filesystem", "usage", "cpu"];

/// All nodes of a grid, as each of them sees the others.
pub(in crate::http::api) fn neighbours(rows: &[NodeDetails]) -> Vec<Peer<'_>> {
    let mut sorted: Vec<&NodeDetails> = rows.iter().collect();
    sorted.sort_by_key(|row| row.id);
    sorted.into_iter().map(peer).collect()
}

fn peer(row: &NodeDetails) -> Peer<'_> {
    Peer {
        number: row.node_number,
        region: region(&row.labels),
        private_ip: row.private_ip.as_deref(),
        public_ip: row.public_ip.as_deref(),
    }
}

fn status(row: &NodeDetails) -> &'static str {
    NodeStatus::of(row.node_id.is_some(), row.connected, row.updated, row.availability == "drain").name()
}

/// Why the agent of a node is not there.
pub(super) fn disconnection(row: &NodeDetails) -> String {
    let Some((opened, code, reason)) = &row.last_connection else {
        return "Websocket is not connected".to_owned();
    };
    let (how, at) = if *opened {
        ("disconnected", row.disconnected_at)
    } else {
        ("connection rejected", row.connected_at)
    };
    let (Some(at), Some(code)) = (at.or(row.disconnected_at), code) else {
        return "Websocket is not connected".to_owned();
    };
    let at = jiff::Timestamp::from_millisecond(at).map(|at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    let reason = reason.as_deref().unwrap_or_default();
    format!("Websocket {how} at {} with code {code}: {reason}", at.unwrap_or_default())
}

/// How a connected node does, by what its agent says of its etcd.
pub(super) fn health(grid: &GridRow, row: &NodeDetails, answer: &rpc::Value) -> api::NodeHealth {
    api::NodeHealth {
        id: format!("{}/{}", grid.name, row.name),
        name: row.name.clone(),
        node_number: row.node_number,
        initial_member: row.node_number <= grid.initial_size,
        status: status(row).to_owned(),
        connected_at: row.connected_at.map(time),
        disconnected_at: row.disconnected_at.map(time),
        connected: row.connected,
        etcd_health: api::EtcdHealth {
            health: loose::get(answer, "health").and_then(loose::flag),
            error: loose::text_at(answer, "error"),
        },
    }
}

/// The node's own address in the grid's network.
fn overlay_ip(grid: &GridRow, number: i64) -> String {
    u8::try_from(number).ok().and_then(|number| node::overlay_ip(&grid.subnet, number)).unwrap_or_default()
}

fn plugins(drivers: &[(String, Option<String>)]) -> Vec<api::NodePlugin> {
    drivers.iter().cloned().map(|(name, version)| api::NodePlugin { name, version }).collect()
}

fn usage(row: &NodeDetails) -> Option<Map<String, Value>> {
    let shown = USAGE.iter().filter_map(|key| Some(((*key).to_owned(), row.latest_stats.get(*key)?.clone())));
    let usage: Map<String, Value> = shown.collect();
    (!usage.is_empty()).then_some(usage)
}

/// A node among its neighbours.
pub(in crate::http::api) fn node(grid: &GridRow, row: &NodeDetails, neighbours: &[Peer<'_>]) -> api::Node {
    api::Node {
        id: format!("{}/{}", grid.name, row.name),
        node_id: row.node_id.clone(),
        connected: row.connected,
        // What was told in an earlier session may be out of date.
        updated: row.connected && row.updated,
        availability: row.availability.clone(),
        created_at: time(row.created_at),
        updated_at: time(row.updated_at),
        connected_at: row.connected_at.map(time),
        last_seen_at: row.last_seen_at.map(time),
        disconnected_at: row.disconnected_at.map(time),
        status: status(row).to_owned(),
        has_token: row.token.is_some(),
        name: row.name.clone(),
        os: row.os.clone(),
        engine_root_dir: row.docker_root_dir.clone(),
        driver: row.driver.clone(),
        network_drivers: plugins(&row.network_drivers),
        volume_drivers: plugins(&row.volume_drivers),
        kernel_version: row.kernel_version.clone(),
        labels: row.labels.clone(),
        mem_total: row.mem_total,
        mem_limit: row.mem_limit,
        cpus: row.cpus,
        public_ip: row.public_ip.clone(),
        private_ip: row.private_ip.clone(),
        overlay_ip: overlay_ip(grid, row.node_number),
        agent_version: row.agent_version.clone(),
        docker_version: row.docker_version.clone(),
        peer_ips: peer_ips(row.node_number, region(&row.labels), neighbours),
        node_number: row.node_number,
        initial_member: row.node_number <= grid.initial_size,
        grid: Some(api::NodeGrid {
            id: grid.name.clone(),
            name: grid.name.clone(),
            initial_size: grid.initial_size,
            token: grid.token.clone(),
            stats: stats(grid.statsd.as_ref()),
            logs: logs(grid.logs.as_ref()),
            trusted_subnets: grid.trusted_subnets.clone(),
            subnet: grid.subnet.clone(),
            supernet: grid.supernet.clone(),
        }),
        resource_usage: usage(row),
    }
}
