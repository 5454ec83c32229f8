//! The running master: the election's driver, the heartbeat, the leader's duties, and HTTP.
//!
//! It reaches the database through `kontena-store` only. Whatever it decides is decided in `kontena-core`.

mod acme;
mod agents;
mod candidacy;
mod chronicle;
pub mod clock;
mod cloud;
mod deploys;
mod desk;
mod duties;
pub mod election;
pub mod events;
mod feed;
mod fitness;
mod heartbeat;
mod http;
mod lease_thread;
mod master;
mod metrics;
mod outward;
mod oversight;
pub mod scarcity;
mod settings;
mod stacks;
mod trace;

pub use acme::AcmeSettings;
pub use agents::{AgentSettings, Agents, CallError, Exec, ExecEvent};
pub use cloud::CloudSettings;
pub use http::Admission;
pub use master::{Listeners, Manager, Master, RunError, StartError, Wishes};
pub use oversight::Watchdog;
pub use settings::{AdminToken, ConfigurationDefaults, Settings, Tunables};
pub use trace::Trace;
