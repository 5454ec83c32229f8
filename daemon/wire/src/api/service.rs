//! Services, their deploys and their instances.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Named;

/// A grid by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GridName {
    /// The name.
    pub id: String,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields of the contract, by their documented names")]
pub struct Service {
    pub id: String,
    pub created_at: String,
    pub updated_at: String,
    pub image: String,
    pub affinity: Vec<String>,
    pub name: String,
    pub stateful: bool,
    pub user: Option<String>,
    pub instances: i64,
    pub cmd: Option<Vec<String>>,
    pub entrypoint: Option<String>,
    pub net: String,
    pub dns: String,
    pub ports: Vec<ServicePort>,
    pub env: Vec<String>,
    pub secrets: Vec<ServiceSecret>,
    pub memory: Option<i64>,
    pub memory_swap: Option<i64>,
    pub shm_size: Option<i64>,
    pub cpus: Option<f64>,
    pub cpu_shares: Option<i64>,
    pub volumes: Vec<String>,
    pub volumes_from: Vec<String>,
    pub cap_add: Vec<String>,
    pub cap_drop: Vec<String>,
    pub state: String,
    pub grid: GridName,
    pub stack: Named,
    pub links: Vec<ServiceLink>,
    pub log_driver: Option<String>,
    pub log_opts: Map<String, Value>,
    pub strategy: String,
    pub deploy_opts: ServiceDeployOptions,
    pub pid: Option<String>,
    pub read_only: bool,
    pub instance_counts: InstanceCounts,
    pub hooks: Vec<ServiceHook>,
    pub revision: i64,
    pub stack_revision: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<ServiceHealthCheck>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_status: Option<ServiceHealth>,
    pub stop_signal: Option<String>,
    pub stop_grace_period: i64,
    pub certificates: Vec<ServiceCertificate>,
}

/// A port that nodes offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "by their documented names")]
pub struct ServicePort {
    pub ip: String,
    pub protocol: String,
    pub node_port: i64,
    pub container_port: i64,
}

/// A secret that instances get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceSecret {
    /// The variable.
    pub name: String,
    /// Its name in the vault.
    pub secret: String,
    /// `env`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A certificate that instances get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceCertificate {
    /// Its first domain.
    pub subject: String,
    /// The variable.
    pub name: String,
    /// `env`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// A link to another service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceLink {
    /// `grid/stack/service`.
    pub id: String,
    /// What it is called here.
    pub alias: String,
    /// `service` of no stack, or `stack/service`.
    pub name: String,
}

/// How a service is deployed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceDeployOptions {
    /// Seconds after which it is deployed anew.
    pub interval: Option<i64>,
    /// The part that must stay up.
    pub min_health: Option<f64>,
    /// Where an instance must answer.
    pub wait_for_port: Option<i64>,
}

/// How many containers a service has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceCounts {
    /// All.
    pub total: i64,
    /// That run.
    pub running: i64,
}

/// A command around the life of instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceHook {
    /// The command.
    pub cmd: String,
    /// Its name.
    pub name: String,
    /// Whether it runs once only.
    pub oneshot: bool,
    /// `pre_start`, `post_start` or `pre_stop`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// How agents check instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "by their documented names")]
pub struct ServiceHealthCheck {
    pub protocol: String,
    pub uri: String,
    pub port: Option<i64>,
    pub timeout: i64,
    pub initial_delay: i64,
    pub interval: i64,
}

/// What the checks say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceHealth {
    /// Instances that do well.
    pub healthy: i64,
    /// Instances that do not.
    pub unhealthy: i64,
    /// All instances.
    pub total: i64,
}

/// Several services.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Services {
    /// The newest first.
    pub services: Vec<Service>,
}

/// A deploy of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceDeploy {
    /// Object id.
    pub id: String,
    /// When.
    pub created_at: String,
    /// When.
    pub queued_at: Option<String>,
    /// When.
    pub started_at: Option<String>,
    /// When.
    pub finished_at: Option<String>,
    /// `grid/stack/service`.
    pub service_id: String,
    /// `created`, `ongoing`, `success` or `error`.
    pub state: String,
    /// What went wrong.
    pub reason: Option<String>,
    /// How many instances are wanted.
    pub instance_count: i64,
    /// One by one.
    pub instance_deploys: Vec<InstanceDeploy>,
    /// Why each node was chosen or refused; what the original did not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Map<String, Value>>,
}

/// The deploy of one instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceDeploy {
    /// Counts from 1.
    pub instance_number: i64,
    /// The node's name.
    pub node: Option<String>,
    /// As of the deploy.
    pub state: String,
    /// What went wrong.
    pub error: Option<String>,
}

/// An instance of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "by their documented names")]
pub struct ServiceInstance {
    pub id: String,
    pub created_at: String,
    pub updated_at: String,
    pub instance_number: i64,
    pub desired_state: String,
    pub state: String,
    pub deploy_rev: Option<String>,
    pub rev: Option<String>,
    pub error: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<InstanceNode>,
}

/// The node of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstanceNode {
    /// `grid/node`.
    pub id: String,
    /// The last part of it.
    pub name: String,
    /// Where it is reached.
    pub public_ip: Option<String>,
}

/// Several instances.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceInstances {
    /// By number.
    pub instances: Vec<ServiceInstance>,
}
