//! Real systemd hosts with their own addresses, in which the packages are installed and broken.

mod cluster;
mod script;
mod setup;
mod town;
mod writable;

pub(crate) use cluster::Cluster;
pub(crate) use script::Script;
pub(crate) use setup::{Elections, Packages, push_and_install, set_up};
pub(crate) use town::Town;
pub(crate) use writable::Writable;

/// How many hosts there are: each has a master and a member of the database.
pub(crate) const COUNT: usize = 3;
/// The unit under test.
pub(crate) const UNIT: &str = "kontena-master";
/// The database of the masters.
pub(crate) const DATABASE: &str = "kontena_server";
/// Where each master records when it acted.
pub(crate) const TRACE: &str = "/var/lib/kontena-lab/trace.jsonl";
