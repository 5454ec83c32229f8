//! Bodies of the original's HTTP API, as its command line reads them: the order of the fields, what is null and
//! what is absent are part of the contract.

mod access;
mod container;
mod grid;
mod log;
mod node;
mod resource;
mod service;
mod stack;
mod statistics;

pub use access::{Code, Role, Server, Token, TokenUser, Tokens, User, Users};
pub use container::{
    Container, ContainerGrid, ContainerHealth, ContainerNode, Containers, LogLine, NodeName,
};
pub use grid::{Grid, Grids, LogForwarding, Stats, Statsd};
pub use log::{Audit, AuditUser, Event, Logs, Relationship};
pub use node::{EtcdHealth, Node, NodeGrid, NodeHealth, NodePlugin, NodeToken, Nodes};
pub use resource::{
    Certificate, CertificateExport, Certificates, DomainAuthorization, DomainAuthorizations, Named,
    Registries, Registry, Secret, SecretSummary, Secrets, ServiceId, Volume, VolumeInstance, Volumes,
};
pub use service::{
    GridName, InstanceCounts, InstanceDeploy, InstanceNode, Service, ServiceCertificate, ServiceDeploy,
    ServiceDeployOptions, ServiceHealth, ServiceHealthCheck, ServiceHook, ServiceInstance, ServiceInstances,
    ServiceLink, ServicePort, ServiceSecret, Services,
};
pub use stack::{Stack, StackDeploy, StackParent, Stacks};
pub use statistics::{
    ContainerStat, ContainerStats, CpuUsage, MemoryUsage, Metrics, Point, PointCpu, PointFilesystem,
    PointLink, PointMemory, PointNetwork,
};
