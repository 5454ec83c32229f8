//! The documents that agents are sent.

use kontena_core::agents::Peer;
use kontena_core::agents::node::{overlay_ip, peer_ips, region};
use kontena_core::input::{LogForwarding, Statsd};
use kontena_store::{GridRow, NodeRow, PeerRow, PlacedVolume};
use kontena_wire::rpc::{Value, map};

/// Who a node is and with whom it shares a network.
pub(super) fn node_info(node: &NodeRow, grid: &GridRow, peers: &[Peer<'_>]) -> Value {
    let NodeRow { known, name, number, labels, epoch: _, created_at, updated_at } = node;
    map([
        ("id", Value::from(known.node_id.as_deref().unwrap_or_default())),
        ("created_at", Value::from(utc(*created_at))),
        ("updated_at", Value::from(utc(*updated_at))),
        ("name", Value::from(name.as_str())),
        ("labels", texts(labels)),
        ("overlay_ip", optional(overlay_ip(&grid.subnet, *number))),
        ("peer_ips", texts(&peer_ips(i64::from(*number), region(labels), peers))),
        ("node_number", Value::from(*number)),
        ("initial_member", Value::from(i64::from(*number) <= grid.initial_size)),
        ("grid", grid_body(grid)),
    ])
}

fn grid_body(grid: &GridRow) -> Value {
    let GridRow {
        id: _,
        name,
        token: _,
        initial_size,
        statsd,
        default_affinity: _,
        trusted_subnets,
        subnet,
        supernet,
        logs,
        members: _,
    } = grid;
    let statsd = statsd.as_ref().map_or(Value::Nil, |Statsd { server, port }| {
        map([("server", Value::from(server.as_str())), ("port", Value::from(*port))])
    });
    let logs = logs.as_ref().map_or(Value::Nil, |LogForwarding { forwarder, opts }| {
        let options =
            opts.iter().filter_map(|(key, value)| Some((key.as_str(), Value::from(value.as_str()?))));
        map([("forwarder", Value::from(forwarder.as_str())), ("opts", map(options))])
    });
    map([
        ("id", Value::from(name.as_str())),
        ("name", Value::from(name.as_str())),
        ("initial_size", Value::from(*initial_size)),
        ("trusted_subnets", texts(trusted_subnets)),
        ("subnet", Value::from(subnet.as_str())),
        ("supernet", Value::from(supernet.as_str())),
        ("stats", map([("statsd", statsd)])),
        ("logs", logs),
    ])
}

pub(super) fn peer(row: &PeerRow) -> Peer<'_> {
    let PeerRow { grid: _, number, labels, private_ip, public_ip } = row;
    Peer {
        number: i64::from(*number),
        region: region(labels),
        private_ip: private_ip.as_deref(),
        public_ip: public_ip.as_deref(),
    }
}

/// The volumes of a node.
pub(super) fn volumes(rows: &[PlacedVolume]) -> Value {
    let volume = |row: &PlacedVolume| {
        let PlacedVolume { instance, node: _, volume, name, driver, options } = row;
        map([
            ("volume_id", Value::from(volume.to_string())),
            ("volume_instance_id", Value::from(instance.to_string())),
            ("name", Value::from(name.as_str())),
            ("driver", Value::from(driver.as_str())),
            (
                "driver_opts",
                map(options.iter().map(|(key, value)| (key.as_str(), Value::from(value.as_str())))),
            ),
        ])
    };
    map([("volumes", Value::Array(rows.iter().map(volume).collect()))])
}

/// Milliseconds since 1970 as the agents read times.
pub(super) fn utc(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(
        |_| "1970-01-01 00:00:00 UTC".to_owned(),
        |at| at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

pub(super) fn texts(texts: &[String]) -> Value {
    Value::Array(texts.iter().map(|text| Value::from(text.as_str())).collect())
}

fn optional(text: Option<String>) -> Value {
    text.map_or(Value::Nil, Value::from)
}
