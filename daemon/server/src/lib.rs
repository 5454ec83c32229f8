//! The running master: the election's driver, the heartbeat, the leader's duties, and HTTP.
//!
//! It reaches the database through `kontena-store` only. Whatever it decides is decided in `kontena-core`.

pub mod clock;
mod duties;
pub mod election;
mod fitness;
mod heartbeat;
mod http;
mod master;
mod settings;
mod trace;

pub use http::Admission;
pub use master::{Listeners, Master, RunError, StartError};
pub use settings::{AdminToken, Settings};
pub use trace::Trace;
