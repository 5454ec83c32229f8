//! What the masters decide, as values in and values out.
//!
//! Nothing in here reads a clock, opens a socket or waits: time, randomness and the answers of the database
//! come in as parameters, so that the same code runs in production, in the simulator and under the model
//! checker.

pub mod access;
pub mod acme;
pub mod agents;
pub mod clock;
pub mod cloud;
pub mod deploy;
pub mod election;
pub mod exec;
pub mod form;
pub mod id;
pub mod input;
pub mod login;
pub mod masters;
pub mod petname;
pub mod rate_limit;
pub mod reschedule;
pub mod scheduler;
pub mod stack;
pub mod token;
pub mod vault;
