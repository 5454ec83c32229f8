//! The bodies of `/v1/cluster/services`: what runs in all grids, for administrators. `GET /v1/cluster/services` lists
//! them, `GET /v1/cluster/services/GRID/STACK/SERVICE` tells all about one, and
//! `GET /v1/cluster/agents/NODE/instances` lists what is on one node.

use serde::{Deserialize, Serialize};

/// All services.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct ServiceList {
    /// In no order.
    pub services: Vec<Service>,
    /// Whether there are more than are listed.
    #[serde(default)]
    pub truncated: bool,
}

/// One service at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Service {
    /// Its document.
    pub id: String,
    /// The name of its grid.
    pub grid: String,
    /// The name of its stack, `null` for services without one.
    pub stack: String,
    /// Its name within the stack.
    pub name: String,
    /// What it shall be: `initialized`, `running` or `stopped`.
    pub state: String,
    /// What its containers are made from.
    pub image: String,
    /// `ha`, `daemon` or `random`.
    pub strategy: String,
    /// Whether it keeps data.
    pub stateful: bool,
    /// How many instances are asked for; of a `daemon`, on each node.
    pub wanted: i64,
    /// How many instances there are.
    pub instances: i64,
    /// How many of them run.
    pub running: i64,
    /// How many of them reported an error.
    pub failing: i64,
    /// Rises with every change.
    pub revision: i64,
    /// Of the stack, when that was deployed last.
    #[serde(default)]
    pub stack_revision: Option<i64>,
    /// The latest one.
    #[serde(default)]
    pub deploy: Option<Deploy>,
}

/// A deploy of a service or of a stack at a glance.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Deploy {
    /// Its document.
    pub id: String,
    /// `created`, `ongoing`, `success` or `error`.
    pub state: String,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
    /// When a master began with it, RFC 3339.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When it was over, RFC 3339.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// What went wrong.
    #[serde(default)]
    pub reason: Option<String>,
}

/// All about one service.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct ServiceSight {
    /// Where its instances are, by number.
    pub instances: Vec<Instance>,
    /// The latest ones, the newest first.
    pub deploys: Vec<Deploy>,
    /// What became of each instance in the newest deploy.
    pub steps: Vec<Step>,
    /// Why the newest deploy that has a plan put each instance where it is.
    #[serde(default)]
    pub report: Option<Report>,
    /// The deploy that the report is of.
    #[serde(default)]
    pub report_of: Option<String>,
}

/// The instances on one node.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct InstanceList {
    /// By service and number.
    pub instances: Vec<Instance>,
}

/// One instance of a service.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Instance {
    /// `STACK/SERVICE`, where several services are listed.
    #[serde(default)]
    pub service: Option<String>,
    /// Counts from 1.
    pub number: i64,
    /// The name of its node. None: it is on none.
    #[serde(default)]
    pub node: Option<String>,
    /// What it shall be: `running` or `stopped`.
    pub desired_state: String,
    /// What its agent told last: `running`, `restarting`, `stopped`, `missing`.
    pub state: String,
    /// The deploy that is in force.
    #[serde(default)]
    pub rev: Option<String>,
    /// The deploy that shall be.
    #[serde(default)]
    pub deploy_rev: Option<String>,
    /// What its container's own check says: `healthy` or `unhealthy`.
    #[serde(default)]
    pub health: Option<String>,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<String>,
}

/// What became of one instance in a deploy.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Step {
    /// Which instance.
    pub number: i64,
    /// The name of the node it goes to.
    #[serde(default)]
    pub node: Option<String>,
    /// `ongoing`, `success` or `error`.
    pub state: String,
    /// What went wrong.
    #[serde(default)]
    pub error: Option<String>,
}

/// Why instances went where they went.
#[derive(Clone, Debug, Default, Serialize, Deserialize, PartialEq)]
pub struct Report {
    /// Instance by instance.
    #[serde(default)]
    pub instances: Vec<Placement>,
    /// The nodes that were refused for all of them.
    #[serde(default)]
    pub refused: Vec<RefusedNode>,
}

/// Where one instance went.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Placement {
    /// Which one.
    pub instance_number: i64,
    /// The name of its node. None: there is none for it.
    #[serde(default)]
    pub node: Option<String>,
    /// Whether it was there already.
    #[serde(default)]
    pub stays: bool,
    /// How many instances of the service the node's zone had.
    #[serde(default)]
    pub zone_load: Option<f64>,
    /// How many of them the node had.
    #[serde(default)]
    pub node_load: Option<f64>,
    /// The less, the better.
    #[serde(default)]
    pub rank: Option<f64>,
    /// Why there is no node for it.
    #[serde(default)]
    pub error: Option<String>,
    /// The nodes that were refused for this instance.
    #[serde(default)]
    pub refused: Vec<RefusedNode>,
}

/// A node that was not taken.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct RefusedNode {
    /// Its name.
    pub node: String,
    /// What refused it.
    pub filter: String,
    /// Why, in words.
    pub reason: String,
}
