//! The bodies of `/v1/cluster/stacks`: the stacks of all grids, for administrators. `GET /v1/cluster/stacks` lists
//! them, `GET /v1/cluster/stacks/GRID/STACK` tells all about one. Their services are those of
//! [`ServiceList`](crate::services::ServiceList) with their name.

use serde::{Deserialize, Serialize};

use crate::services::Deploy;

/// All stacks, without those that hold services without one.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct StackList {
    /// In no order.
    pub stacks: Vec<Stack>,
    /// Whether there are more than are listed.
    #[serde(default)]
    pub truncated: bool,
}

/// One stack at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Stack {
    /// Its document.
    pub id: String,
    /// The name of its grid.
    pub grid: String,
    /// Its name.
    pub name: String,
    /// The stack that it belongs to.
    #[serde(default)]
    pub parent: Option<String>,
    /// `key=value`.
    #[serde(default)]
    pub labels: Vec<String>,
    /// The newest one. None: it has none yet.
    #[serde(default)]
    pub revision: Option<Revision>,
    /// The latest one.
    #[serde(default)]
    pub deploy: Option<Deploy>,
}

/// What a stack was at one time.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Revision {
    /// Counts from 1.
    pub revision: i64,
    /// Of the file it was made from.
    #[serde(default)]
    pub version: Option<String>,
    /// The name in that file, such as `user/redis`.
    #[serde(default)]
    pub file: Option<String>,
    /// Where the file is from.
    #[serde(default)]
    pub registry: Option<String>,
    /// The service that represents the stack to others.
    #[serde(default)]
    pub expose: Option<String>,
    /// RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
}

/// All about one stack.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
pub struct StackSight {
    /// The latest ones, the newest first.
    pub revisions: Vec<Revision>,
    /// The latest ones, the newest first.
    pub deploys: Vec<StackDeploy>,
}

/// A deploy of a stack with those of its services.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct StackDeploy {
    /// The whole.
    #[serde(flatten)]
    pub deploy: Deploy,
    /// Of the services, as far as they have begun.
    #[serde(default)]
    pub services: Vec<ServiceOfDeploy>,
}

/// The deploy of one service of a stack.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct ServiceOfDeploy {
    /// The service's name. None: the service is gone.
    #[serde(default)]
    pub service: Option<String>,
    /// `created`, `ongoing`, `success` or `error`.
    pub state: String,
    /// What went wrong.
    #[serde(default)]
    pub reason: Option<String>,
}
