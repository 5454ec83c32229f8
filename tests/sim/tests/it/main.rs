//! The simulator at work: fixed seeds hold, runs repeat, and broken parts are caught.

mod bites;
mod coverage;
mod determinism;
mod seeds;
