//! Who is let in. The headers are judged first, then the tokens against what the database holds; the first
//! fault in this order is the one that is told.

use super::{Refusal, version::Version};
use crate::id::Id;

/// The headers of a connection, as they came.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    /// `Kontena-Node-Id`
    pub node_id: Option<String>,
    /// `Kontena-Node-Name`
    pub node_name: Option<String>,
    /// `Kontena-Version`
    pub version: Option<String>,
    /// `Kontena-Node-Labels`
    pub labels: Option<String>,
    /// `Kontena-Grid-Token`. It counts even if it is empty.
    pub grid_token: Option<String>,
    /// `Kontena-Node-Token`. It counts if there is no grid token.
    pub node_token: Option<String>,
}

/// By what right a node comes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Credential {
    /// As any node of the grid.
    Grid(String),
    /// As the one node that was made for it.
    Node(String),
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Grid(_) => "Grid(..)",
            Self::Node(_) => "Node(..)",
        })
    }
}

/// Headers in which nothing is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The engine's id of the host.
    pub node_id: String,
    /// The name that it wants.
    pub node_name: String,
    /// Of the agent.
    pub version: String,
    /// `key=value` or `key`.
    pub labels: Vec<String>,
    /// By what right it comes.
    pub credential: Credential,
}

impl Hello {
    /// Judges the headers for a master that announces `own` as its version.
    pub fn read(headers: Headers, own: &str) -> Result<Self, Refusal> {
        let Headers { node_id, node_name, version, labels, grid_token, node_token } = headers;
        let version = version.unwrap_or_default();
        match (Version::parse(own), Version::parse(&version)) {
            (Some(master), Some(agent)) if master.takes(&agent) => {}
            (_, None) => return Err(Refusal::unreadable("Kontena-Version")),
            _ => return Err(Refusal::version(&version, own)),
        }
        let filled = |text: Option<String>| text.filter(|text| !text.is_empty());
        let node_id = filled(node_id).ok_or_else(|| Refusal::missing("Kontena-Node-ID"))?;
        let node_name = filled(node_name).ok_or_else(|| Refusal::missing("Kontena-Node-Name"))?;
        let credential = match (grid_token, node_token) {
            (Some(token), _) => Credential::Grid(token),
            (None, Some(token)) => Credential::Node(token),
            (None, None) => return Err(Refusal::token_missing()),
        };
        let labels = labels.unwrap_or_default();
        let labels = labels.split(',').filter(|label| !label.is_empty()).map(str::to_owned).collect();
        Ok(Self { node_id, node_name, version, labels, credential })
    }
}

/// What the database holds of a node, as far as its admission goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNode {
    /// Its document.
    pub id: Id,
    /// Its grid.
    pub grid: Id,
    /// The engine's id, once it has come.
    pub node_id: Option<String>,
    /// Whether it was made for a token of its own.
    pub has_token: bool,
}

/// How a node is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// As the node that it was before.
    Known(Id),
    /// As a new node of this grid.
    New {
        /// The grid.
        grid: Id,
    },
    /// As the node that was made for its token and that nobody has been yet.
    Claim(Claim),
}

/// A node to be taken by the first that brings its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its document.
    pub node: Id,
}

/// Decides about `hello`, given the grid of its grid token, the node with its node id in any grid, and the node
/// with its node token.
pub fn decide(
    hello: &Hello,
    grid: Option<Id>,
    by_node_id: Option<&KnownNode>,
    by_token: Option<&KnownNode>,
) -> Result<Decision, Refusal> {
    match &hello.credential {
        Credential::Grid(_) => {
            let grid = grid.ok_or_else(Refusal::grid_token)?;
            match by_node_id {
                None => Ok(Decision::New { grid }),
                // The original left such a connection open and deaf.
                Some(node) if node.grid != grid => Err(Refusal::node_id_used()),
                Some(node) if node.has_token => Err(Refusal::grid_token_for_token_node()),
                Some(node) => Ok(Decision::Known(node.id)),
            }
        }
        Credential::Node(_) => {
            let meant = by_token.ok_or_else(Refusal::node_token)?;
            match by_node_id {
                Some(node) if node.id == meant.id => Ok(Decision::Known(node.id)),
                Some(_) => Err(Refusal::node_id_used()),
                None if meant.node_id.is_none() => Ok(Decision::Claim(Claim { node: meant.id })),
                None => Err(Refusal::node_token_used()),
            }
        }
    }
}

/// The lowest number that no node of the grid has.
#[must_use]
pub fn free_number(taken: &std::collections::BTreeSet<u8>) -> Option<u8> {
    (1..=NODES_MAX).find(|number| !taken.contains(number))
}

/// The most nodes of a grid.
pub const NODES_MAX: u8 = 254;

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Id = Id::from_bytes([1; 12]);
    const OTHER: Id = Id::from_bytes([2; 12]);

    fn headers() -> Headers {
        let some = |text: &str| Some(text.to_owned());
        Headers {
            node_id: some("AAAA:BBBB"),
            node_name: some("core-1"),
            version: some("1.5.4"),
            labels: some("zone=a,ssd"),
            grid_token: some("grid"),
            node_token: None,
        }
    }

    fn node(id: u8, grid: Id, node_id: Option<&str>, has_token: bool) -> KnownNode {
        KnownNode { id: Id::from_bytes([id; 12]), grid, node_id: node_id.map(str::to_owned), has_token }
    }

    #[test]
    fn the_first_fault_in_the_documented_order_is_told() {
        let code = |headers| Hello::read(headers, "1.5.4").map_err(|refusal| (refusal.code, refusal.reason));
        let refused = |code: u16, reason: &str| Err((code, reason.to_owned()));
        let none = Headers::default();
        let reason = "agent version  is not compatible with server version 1.5.4";
        assert_eq!(code(none.clone()), refused(4010, reason));
        let none = Headers { version: Some("1.5.0".to_owned()), ..none };
        assert_eq!(code(none.clone()), refused(4000, "Missing Kontena-Node-ID"));
        let none = Headers { node_id: Some("A".to_owned()), node_name: Some(String::new()), ..none };
        assert_eq!(code(none.clone()), refused(4000, "Missing Kontena-Node-Name"));
        let none = Headers { node_name: Some("core-1".to_owned()), ..none };
        assert_eq!(code(none), refused(4004, "Missing token"));
        let rubbish = Headers { version: Some("rubbish".to_owned()), ..headers() };
        assert_eq!(code(rubbish), refused(4000, "Malformed Kontena-Version"));
        let hello = code(headers()).unwrap();
        assert_eq!(hello.labels, ["zone=a", "ssd"]);
    }

    #[test]
    fn the_grid_token_counts_before_the_node_token_and_even_if_empty() {
        let both = Headers { grid_token: Some(String::new()), node_token: Some("n".to_owned()), ..headers() };
        let hello = Hello::read(both, "1.5.4").unwrap();
        assert_eq!(hello.credential, Credential::Grid(String::new()));
        assert_eq!(decide(&hello, None, None, None).unwrap_err().code, 4001);
    }

    #[test]
    fn a_grid_token_admits_new_nodes_and_those_that_came_with_it() {
        let hello = Hello::read(headers(), "1.5.4").unwrap();
        let decide = |by_node_id: Option<&KnownNode>| {
            decide(&hello, Some(GRID), by_node_id, None).map_err(|refusal| refusal.code)
        };
        assert_eq!(decide(None), Ok(Decision::New { grid: GRID }));
        assert_eq!(
            decide(Some(&node(7, GRID, Some("AAAA:BBBB"), false))),
            Ok(Decision::Known(Id::from_bytes([7; 12])))
        );
        assert_eq!(decide(Some(&node(7, GRID, Some("AAAA:BBBB"), true))), Err(4005));
        assert_eq!(decide(Some(&node(7, OTHER, Some("AAAA:BBBB"), false))), Err(4006));
    }

    #[test]
    fn a_node_token_admits_one_node() {
        let headers = Headers { grid_token: None, node_token: Some("token".to_owned()), ..headers() };
        let hello = Hello::read(headers, "1.5.4").unwrap();
        let decide = |by_node_id: Option<&KnownNode>, by_token: Option<&KnownNode>| {
            decide(&hello, None, by_node_id, by_token).map_err(|refusal| refusal.code)
        };
        let fresh = node(7, GRID, None, true);
        let taken = node(7, GRID, Some("ZZZZ"), true);
        let own = node(7, GRID, Some("AAAA:BBBB"), true);
        let other = node(8, GRID, Some("AAAA:BBBB"), false);
        assert_eq!(decide(None, None), Err(4002));
        assert_eq!(decide(None, Some(&fresh)), Ok(Decision::Claim(Claim { node: fresh.id })));
        assert_eq!(decide(None, Some(&taken)), Err(4003));
        assert_eq!(decide(Some(&own), Some(&own)), Ok(Decision::Known(own.id)));
        assert_eq!(decide(Some(&other), Some(&fresh)), Err(4006));
    }

    #[test]
    fn numbers_are_given_from_below_until_there_are_none() {
        let taken = |numbers: &[u8]| free_number(&numbers.iter().copied().collect());
        assert_eq!(taken(&[]), Some(1));
        assert_eq!(taken(&[1, 2, 4]), Some(3));
        assert_eq!(taken(&(1..=254).collect::<Vec<_>>()), None);
    }
}
