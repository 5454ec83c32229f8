//! Real parts for the tests: the masters are tested against the database server itself and real
//! sockets, because the promises worth testing are exactly those that a mock would merely repeat.

pub mod administrator;
pub mod agent;
pub mod authority;
pub mod cloud;
pub mod http;
mod keeper;
pub mod master;
pub mod mongod;
mod ports;
pub mod program;
pub mod relay;
mod scratch;
pub mod terminal;
pub mod tls;
