//! Bodies of the original's HTTP API, as its command line reads them: the order of the fields, what is null and
//! what is absent are part of the contract.

mod access;
mod grid;
mod log;
mod node;
mod resource;

pub use access::{Code, Role, Server, Token, TokenUser, Tokens, User, Users};
pub use grid::{Grid, Grids, LogForwarding, Stats, Statsd};
pub use log::{Audit, AuditUser, Event, Logs, Relationship};
pub use node::{Node, NodeGrid, NodePlugin, NodeToken, Nodes};
pub use resource::{
    Certificate, CertificateExport, Certificates, DomainAuthorization, DomainAuthorizations, Registries,
    Registry, Secret, SecretSummary, Secrets, ServiceId, ServiceName, Volume, VolumeInstance, Volumes,
};
