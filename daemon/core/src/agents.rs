//! What is decided about agents and their nodes: who is let in, who may stay, how a node stands, and what it is
//! told of itself and its peers.

pub mod admission;
pub mod keepalive;
pub mod node;
pub mod pod;
pub mod refusal;
pub mod secrets;
pub mod skew;
pub mod version;

pub use admission::{Claim, Credential, Decision, Headers, Hello, KnownNode};
pub use node::{NodeStatus, Peer};
pub use refusal::Refusal;
pub use skew::Tolerance;
