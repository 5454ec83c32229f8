//! Why a connection is ended, in the codes that the agents act by.
//!
//! An agent that is told 4001, 4010, 4040 or 4041 ends its process; after anything else it comes back within a
//! second. So those four are for what is certain.

/// The longest reason, in bytes: a longer control frame breaks the protocol and loses its code.
pub const REASON_MAX: usize = 123;

/// The code and reason of a close frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// As in the frame.
    pub code: u16,
    /// At most [`REASON_MAX`] bytes.
    pub reason: String,
}

impl Refusal {
    /// A refusal whose reason is cut to what a frame can hold.
    #[must_use]
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        let mut reason = reason.into();
        let mut end = reason.len().min(REASON_MAX);
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        reason.truncate(end);
        Self { code, reason }
    }

    /// This master stops, or cannot serve: come back, elsewhere.
    #[must_use]
    pub fn going_away(reason: &str) -> Self {
        Self::new(1001, reason)
    }

    pub(super) fn missing(what: &str) -> Self {
        Self::new(4000, format!("Missing {what}"))
    }

    pub(super) fn unreadable(what: &str) -> Self {
        Self::new(4000, format!("Malformed {what}"))
    }

    pub(super) fn grid_token() -> Self {
        Self::new(4001, "Invalid grid token")
    }

    pub(super) fn node_token() -> Self {
        Self::new(4002, "Invalid node token")
    }

    pub(super) fn node_token_used() -> Self {
        Self::new(4003, "Invalid node token, already used by a different node")
    }

    pub(super) fn token_missing() -> Self {
        Self::new(4004, "Missing token")
    }

    pub(super) fn grid_token_for_token_node() -> Self {
        Self::new(4005, "Invalid grid token, node was created using a node token")
    }

    /// The node id belongs to a node of another token or grid.
    #[must_use]
    pub fn node_id_used() -> Self {
        Self::new(4006, "Invalid node ID, already used by a different node")
    }

    pub(super) fn version(agent: &str, master: &str) -> Self {
        Self::new(4010, format!("agent version {agent} is not compatible with server version {master}"))
    }

    /// All numbers of the grid are taken.
    #[must_use]
    pub fn grid_full(most: u8) -> Self {
        Self::new(1008, format!("the grid has {most} nodes, which is as many as it can have"))
    }

    /// No answer to a ping.
    #[must_use]
    pub fn ping_timeout(seconds: f64) -> Self {
        Self::new(4030, format!("ping timeout after {seconds:.2}s"))
    }

    /// The node's record says that it is not connected.
    #[must_use]
    pub fn disconnected(name: &str) -> Self {
        Self::new(4031, format!("host node {name} has been disconnected"))
    }

    /// The node's record is gone.
    #[must_use]
    pub fn removed(node_id: &str) -> Self {
        Self::new(4040, format!("host node {node_id} has been removed"))
    }

    /// A newer connection of the same node was accepted.
    #[must_use]
    pub fn superseded(name: &str, connected_at: &str) -> Self {
        Self::new(4041, format!("host node {name} connection conflict with new connection at {connected_at}"))
    }

    /// Whether the agent must be told the version to run before it is told this.
    #[must_use]
    pub fn announces_version(&self) -> bool {
        self.code == 4010
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_into_a_control_frame_whatever_the_name() {
        for name in ["core-1".to_owned(), "x".repeat(200), "ä".repeat(100)] {
            assert!(Refusal::disconnected(&name).reason.len() <= REASON_MAX);
            assert!(Refusal::superseded(&name, "2017-10-10 10:10:10 UTC").reason.len() <= REASON_MAX);
            assert!(Refusal::version(&name, &name).reason.len() <= REASON_MAX);
        }
        assert_eq!(Refusal::disconnected("core-1").reason, "host node core-1 has been disconnected");
    }
}
