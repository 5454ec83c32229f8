//! The only crate that sees MongoDB.
//!
//! Documents are private to it: what goes in and comes out are the types of `kontena-core` where something is
//! decided with them, and plain rows where nothing is. One file per collection.

mod access_tokens;
mod acme_orders;
mod audit_logs;
mod authorization_requests;
mod bus;
mod certificate_expiry;
mod certificate_renewals;
mod certificates;
mod claims;
mod client;
mod cloud;
mod cloud_watch;
mod command;
mod configurations;
mod container_logs;
mod containers;
mod deploys;
mod diagnosis;
mod document;
mod effect;
mod event_logs;
mod fence;
mod grid_scene;
mod grid_secrets;
mod grid_services;
mod grid_watch;
mod grids;
mod host_nodes;
mod indexes;
mod leader_history;
mod lease;
mod lease_watch;
mod left_open;
mod leftovers;
mod log_page;
mod masters;
mod measures;
mod old_deploys;
mod opaque;
mod original_lock;
mod overview;
mod pod_secrets;
mod pod_sources;
mod primaries;
mod probe;
mod registries;
mod requirements;
mod rescheduling;
mod schedules;
mod seed;
mod sentinel;
mod service_instances;
mod service_references;
mod session;
mod stacks;
mod statistics;
mod table;
mod telemetry;
mod token_key;
mod transaction;
mod users;
mod volume_instances;
mod volumes;
mod writer;

pub use access_tokens::{AccessTokens, Grant, Minted, REFRESHED_SECONDS, TokenRow, VerifiedToken};
pub use acme_orders::{AcmeOrders, Asked, Issued, OrderRow, OrderState, OrderSteps, Presented, Wish};
pub use audit_logs::{AuditEntry, AuditLogs, AuditRow};
pub use authorization_requests::{AuthorizationRequests, LoginRequest};
pub use bus::{Bus, Packet, PacketKind};
pub use certificate_expiry::{CertificateExpiry, ExpiringCertificate};
pub use certificate_renewals::{CertificateRenewals, Renewal};
pub use certificates::{AuthorizationRow, CertificateParts, CertificateRow, Certificates};
pub use client::{CommandCounter, CommandKind, ConnectionError, DatabaseUri, Purpose, Store};
pub use cloud::{CloudLink, CloudRecords, Names, Position, Token};
pub use cloud_watch::{CloudChange, CloudWatch, Happened, Kind, Thing, Told, WatchEnd};
pub use command::Failure;
pub use configurations::Configurations;
pub use container_logs::{ContainerLogs, LineFilter, LineRow, ServicePlace};
pub use containers::{ContainerDetails, Containers, SavedContainer};
pub use deploys::{
    Begin, Claim, DeployBatch, DeployEvent, DeployRow, Deploys, InstanceWrite, OpenDeploy, Progress, Seen,
    Sight, StepRow, VolumePlace,
};
pub use diagnosis::{Duplicates, Known, MemberFacts, SetFacts, Silent, Unwell};
pub use effect::Effect;
pub use event_logs::{EventFilter, EventLogs, EventRow, NewEvent};
pub use grid_scene::{Scene, Scenes};
pub use grid_secrets::{GridSecrets, SecretRow};
pub use grid_services::{
    ContainerCounts, Inside, Resolved, ServiceRow, ServiceSurroundings, Services, Unlinked,
};
pub use grid_watch::{Changed, GridWatch};
pub use grids::{GridCounts, GridRow, Grids, MadeGrid};
pub use host_nodes::{
    CreateFault, Ended, Ending, HostNodes, LostNode, MadeNode, NewNode, NodeDetails, NodeOwner, NodeRow,
    NodeSummary, PeerRow, Plug, Reported, Session,
};
pub use indexes::IndexFailure;
pub use leader_history::{HISTORY_MAX, HistoryRow, LeaderHistory, Person, Reign};
pub use lease::{LeaseParty, MongoLease, release_by_holder};
pub use lease_watch::LeaseWatch;
pub use leftovers::Leftovers;
pub use log_page::Page;
pub use masters::{MasterRow, Masters};
pub use measures::Measures;
pub use old_deploys::{OldDeploys, Overfull};
pub use original_lock::OriginalLock;
pub use overview::{
    DeployGlance, InstanceSight, Overview, RevisionGlance, ServiceGlance, ServiceOfDeploy, ServiceSight,
    StackDeploySight, StackGlance, StackSight,
};
pub use pod_sources::{
    HooksDone, NetworkDefinition, PodNode, PodSources, Pods, RegistryLogin, VolumeDefinition,
};
pub use probe::ProbeRow;
pub use registries::{Registries, RegistryRow};
pub use requirements::{Facts, OLDEST_SERVER, Unfit};
pub use rescheduling::{Candidate, Rescheduling, Situation};
pub use schedules::{LastRun, Schedules};
pub use seed::{MigrationState, Seed, SeedPlan};
pub use sentinel::Sentinel;
pub use service_instances::{InstanceDetails, InstanceRow, NotFound, ServiceInstances};
pub use service_references::{ServiceReference, ServiceReferences, Used};
pub use session::{InvalidSessionId, SessionId};
pub use stacks::{
    ChangedMember, NewMember, NextDeploy, OpenStack, StackClaim, StackLook, StackMove, StackRevision,
    StackRow, StackRun, Stacks,
};
pub use statistics::{Link, Measure, Minute, Statistics, Usage, Wanted};
pub use telemetry::{ContainerStatRow, LogRow, NodeStatRow, ReportedEvent, Telemetry};
pub use token_key::TokenKey;
pub use users::{Granted, Unassigned, UserRow, Users};
pub use volume_instances::{PlacedVolume, VolumeInstance, VolumeInstances};
pub use volumes::{VolumeRow, Volumes};
pub use writer::{Authority, Batch, Limits, WriteError, Writer, WriterHandle, WriterSession};
