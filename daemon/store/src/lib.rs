//! The only crate that sees MongoDB.
//!
//! Documents are private to it: what goes in and comes out are the types of `kontena-core` where something is
//! decided with them, and plain rows where nothing is. One file per collection.

mod agent_indexes;
pub mod api;
mod bus;
mod client;
mod command;
mod containers;
mod diagnosis;
mod effect;
mod fence;
mod grids;
mod host_nodes;
mod indexes;
mod leader_history;
mod lease;
mod lease_watch;
mod masters;
mod object_id;
mod opaque;
mod original_lock;
mod pod_sources;
mod probe;
mod requirements;
mod sentinel;
mod service_instances;
mod session;
mod telemetry;
mod volume_instances;
mod writer;

pub use bus::{Bus, Packet, PacketKind};
pub use client::{CommandCounter, ConnectionError, DatabaseUri, Purpose, Store};
pub use command::Failure;
pub use containers::{Containers, SavedContainer};
pub use diagnosis::{Duplicates, Known, MemberFacts, SetFacts};
pub use effect::Effect;
pub use grids::{GridRow, Grids, LogForwarder};
pub use host_nodes::{
    CreateFault, Ended, Ending, HostNodes, LostNode, NewNode, NodeOwner, NodeRow, NodeSummary, PeerRow, Plug,
    Reported, Session,
};
pub use indexes::IndexFailure;
pub use leader_history::{HISTORY_MAX, HistoryRow, LeaderHistory, Person, Reign};
pub use lease::{LeaseParty, MongoLease, release_by_holder};
pub use lease_watch::LeaseWatch;
pub use masters::{MasterRow, Masters};
pub use original_lock::OriginalLock;
pub use pod_sources::{NetworkDefinition, PodSources, Pods, RegistryLogin, VolumeDefinition};
pub use probe::ProbeRow;
pub use requirements::{Facts, OLDEST_SERVER, Unfit};
pub use sentinel::Sentinel;
pub use service_instances::{InstanceRow, NotFound, ServiceInstances};
pub use session::{InvalidSessionId, SessionId};
pub use telemetry::{ContainerStatRow, EventRow, LogRow, NodeStatRow, Telemetry};
pub use volume_instances::{VolumeInstances, VolumeRow};
pub use writer::{Authority, Batch, Limits, WriteError, Writer, WriterHandle, WriterSession};
