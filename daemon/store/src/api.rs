//! Documents as the HTTP API shows and changes them. Agents and the scheduler see some of the same collections with
//! other eyes, beside this module.

mod access_tokens;
mod audit_logs;
mod authorization_requests;
mod certificates;
mod configurations;
mod document;
mod event_logs;
mod grid_secrets;
mod grids;
mod nodes;
pub(crate) mod original_indexes;
mod registries;
mod seed;
mod service_references;
mod table;
mod transaction;
mod users;
mod volumes;

pub use access_tokens::{AccessTokens, Grant, Minted, REFRESHED_SECONDS, Session, TokenRow};
pub use audit_logs::{AuditEntry, AuditLogs, AuditRow};
pub use authorization_requests::{AuthorizationRequests, LoginRequest};
pub use certificates::{AuthorizationRow, CertificateParts, CertificateRow, Certificates};
pub use configurations::Configurations;
pub use event_logs::{EventFilter, EventLogs, EventRow, Page};
pub use grid_secrets::{GridSecrets, SecretRow};
pub use grids::{GridCounts, GridRow, Grids, MadeGrid};
pub use nodes::{MadeNode, NodeRow, Nodes};
pub use registries::{Registries, RegistryRow};
pub use seed::{MigrationState, Seed, SeedPlan};
pub use service_references::{ServiceReference, ServiceReferences, Used};
pub use users::{Granted, Unassigned, UserRow, Users};
pub use volumes::{VolumeInstance, VolumeRow, Volumes};
