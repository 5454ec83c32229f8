//! Runs the election: carries out its commands, and publishes what this master may do.

mod driver;
mod leadership;

pub(crate) use driver::RESIGNED_FOR;
pub use driver::{Driver, Oversight, Request, Requests, RequestsReceiver};
pub use leadership::{Leadership, Publisher, Standing, View};
