//! How a node stands, and what it is told of itself and its peers.

use std::collections::HashSet;
use std::net::Ipv4Addr;

/// How a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeStatus {
    /// Made for a token, and has never come.
    Created,
    /// Not connected.
    Offline,
    /// Connected, and has not reported yet.
    Connecting,
    /// Connected, and gives away its services.
    Drain,
    /// Connected.
    Online,
}

impl NodeStatus {
    /// As the API names it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Offline => "offline",
            Self::Connecting => "connecting",
            Self::Drain => "drain",
            Self::Online => "online",
        }
    }

    /// By the fields of the node's record; the first that applies.
    #[must_use]
    #[expect(clippy::fn_params_excessive_bools, reason = "independent facts, as they stand in the record")]
    pub fn of(has_node_id: bool, connected: bool, updated: bool, draining: bool) -> Self {
        match (has_node_id, connected, updated, draining) {
            (false, ..) => Self::Created,
            (_, false, ..) => Self::Offline,
            (_, _, false, _) => Self::Connecting,
            (.., true) => Self::Drain,
            _ => Self::Online,
        }
    }
}

/// A node as its peers see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer<'a> {
    /// Its number in the grid.
    pub number: i64,
    /// Within it addresses are private.
    pub region: &'a str,
    /// Where the same region reaches it.
    pub private_ip: Option<&'a str>,
    /// Where others reach it.
    pub public_ip: Option<&'a str>,
}

/// The region that a node's labels name.
#[must_use]
pub fn region(labels: &[String]) -> &str {
    label(labels, "region").unwrap_or("default")
}

/// The value of the first label `key=value`.
#[must_use]
pub fn label<'a>(labels: &'a [String], key: &str) -> Option<&'a str> {
    labels.iter().find_map(|label| label.strip_prefix(key)?.strip_prefix('='))
}

/// The addresses at which the node `own` in `region` reaches all others of the grid: private within a region, public
/// across; each once, in the order of the nodes.
#[must_use]
pub fn peer_ips(own: i64, region: &str, all: &[Peer<'_>]) -> Vec<String> {
    let mut seen = HashSet::with_capacity(all.len());
    let others = all.iter().filter(|peer| peer.number != own);
    let addresses =
        others.filter_map(|peer| if peer.region == region { peer.private_ip } else { peer.public_ip });
    addresses.filter(|ip| !ip.is_empty() && seen.insert(*ip)).map(str::to_owned).collect()
}

/// The address of node `number` in the grid's network, such as `10.81.0.0/16`.
#[must_use]
pub fn overlay_ip(subnet: &str, number: u8) -> Option<String> {
    let (address, _) = subnet.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    Some(Ipv4Addr::from(u32::from(address) | u32::from(number)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_status_that_applies_counts() {
        for (fields, status) in [
            ((false, true, true, true), "created"),
            ((true, false, true, true), "offline"),
            ((true, true, false, true), "connecting"),
            ((true, true, true, true), "drain"),
            ((true, true, true, false), "online"),
        ] {
            let (has_node_id, connected, updated, draining) = fields;
            assert_eq!(NodeStatus::of(has_node_id, connected, updated, draining).name(), status);
        }
    }

    #[test]
    fn peers_are_reached_by_the_private_address_within_a_region() {
        let peer = |number, region, private_ip, public_ip| Peer {
            number,
            region,
            private_ip: Some(private_ip),
            public_ip: Some(public_ip),
        };
        let silent = Peer { private_ip: None, ..peer(5, "eu", "", "9.9.9.9") };
        let all = [
            peer(1, "eu", "10.0.0.1", "1.1.1.1"),
            peer(2, "eu", "10.0.0.2", "2.2.2.2"),
            peer(3, "us", "10.0.0.3", "3.3.3.3"),
            peer(4, "eu", "10.0.0.2", "4.4.4.4"),
            silent,
            peer(6, "eu", "", "6.6.6.6"),
        ];
        assert_eq!(peer_ips(1, "eu", &all), ["10.0.0.2", "3.3.3.3"]);
        assert_eq!(region(&["a".to_owned(), "region=eu".to_owned()]), "eu");
        assert_eq!(region(&[]), "default");
    }

    #[test]
    fn the_overlay_address_is_the_subnet_with_the_number() {
        assert_eq!(overlay_ip("10.81.0.0/16", 3).as_deref(), Some("10.81.0.3"));
        assert_eq!(overlay_ip("10.90.0.0/16", 254).as_deref(), Some("10.90.0.254"));
        assert_eq!(overlay_ip("rubbish", 1), None);
    }
}
