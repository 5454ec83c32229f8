//! A deterministic simulation of several masters that elect a leader.
//!
//! The production driver runs unchanged. What it touches is simulated: the clocks of each host, the database with
//! its majority, and the bus. One number, the seed, decides everything that happens: how many masters there are,
//! how wrong their clocks go, which faults strike and when. An oracle with the true time watches.
//!
//! * First comes chaos: faults of all kinds, while the safety invariants must hold at every moment.
//! * Then all faults end, and within [`RECOVERY_LIMIT`] one master must act, and go on acting.
//!
//! The simulation has an event loop of its own, in nanoseconds of true time: nothing is rounded to a timer's
//! grain, and nothing depends on the machine. The runtime around it only lends the driver its cooperative budget,
//! so that a driver that spins is caught instead of never coming back.
//!
//! Where randomness could come in from elsewhere, and does not: the driver selects with `biased`; no map with a
//! random order is iterated; holders' ids come from the seed; there is one thread.

mod bus;
mod chaos;
mod clock;
mod database;
mod dice;
mod event;
mod fault;
mod history;
mod host;
mod invariants;
mod lease_store;
mod many;
mod network;
mod oracle;
mod outcome;
mod process;
mod sabotage;
mod scenario;
mod seat;
mod shared;
mod simulation;
mod time;
mod weather;
mod world;

pub use fault::{Fault, Injected, Mishap};
pub use invariants::{Invariant, RECOVERY_LIMIT, Violation};
pub use many::{Failure, Progress, Summary, run_many};
pub use outcome::{Outcome, Stats};
pub use sabotage::Sabotage;
pub use simulation::{Options, run, run_with};
