//! The body of `GET /v1/cluster/grid-events`: the latest of what the users of all grids are told, for administrators.

use serde::{Deserialize, Serialize};

/// The answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct GridEventList {
    /// The oldest first.
    pub events: Vec<GridEvent>,
}

/// One event.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct GridEvent {
    /// Its document.
    pub id: String,
    /// RFC 3339.
    pub at: String,
    /// 0 debug, 1 info, 2 warn, 3 error.
    pub severity: i64,
    /// Such as `service:deploy`.
    pub kind: String,
    /// In words.
    pub message: String,
    /// The name of its grid.
    #[serde(default)]
    pub grid: Option<String>,
    /// `GRID/STACK/SERVICE`, where it is about one.
    #[serde(default)]
    pub service: Option<String>,
    /// `GRID/NODE`, where it is about one.
    #[serde(default)]
    pub node: Option<String>,
}
