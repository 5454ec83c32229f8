//! Runs the election: carries out its commands, and publishes what this master may do.

mod driver;
mod leadership;

pub use driver::{Driver, Oversight, Request, Requests, RequestsReceiver};
pub use leadership::{Leadership, Publisher, Standing, View};
