//! Tests of the real program on a real MongoDB replica set: what the database must keep of the election's rules,
//! and how a master behaves as a process.

mod agents;
mod cloud;
mod duties;
mod events;
mod fence;
mod lease;
mod left_open;
mod membership;
mod metrics;
mod new_primary;
mod outage;
mod overview;
mod process;
mod provision;
mod secured;
mod stop_points;
mod store;
mod tui;
mod visible;
mod writer;
