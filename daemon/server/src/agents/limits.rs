//! How patient a master is with its agents, and how much it takes on.

use std::time::Duration;

use kontena_core::agents::Tolerance;

/// What can be set about agents.
#[derive(Clone, Debug, PartialEq)]
pub struct AgentSettings {
    /// From one ping to the next.
    pub ping_every: Duration,
    /// For the answer to a ping.
    pub ping_timeout: Duration,
    /// How far the clocks of agents may be off.
    pub tolerance: Tolerance,
    /// How many agents may wait for their admission; more are told to come back later.
    pub handshakes_max: usize,
    /// How many sessions this master takes.
    pub sessions_max: u64,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(30),
            ping_timeout: Duration::from_secs(5),
            tolerance: Tolerance::default(),
            handshakes_max: 4096,
            sessions_max: 50_000,
        }
    }
}

/// For the admission of an agent, which itself waits ten seconds.
pub(super) const ADMIT_WITHIN: Duration = Duration::from_secs(9);
/// For the answer to a request of an agent, which itself waits thirty.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(25);
/// For a frame to be taken by the agent's host.
pub(super) const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// For an agent to answer a close frame.
pub(super) const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// For a report of state to be carried out, whether or not its session still stands: agents do not repeat it.
pub(super) const STATE_WITHIN: Duration = Duration::from_secs(600);

/// How many calls of one agent may wait, and how many bytes of them. Beyond that nothing more is read from its
/// socket, which slows it down and loses nothing; but its pings lie behind, and it leaves if they are not answered. So
/// this is more than a host with many containers has to say while the database is away for half a minute.
pub(super) const WAITING_CALLS: usize = 4096;
/// See [`WAITING_CALLS`].
pub(super) const WAITING_BYTES: usize = 4 << 20;
/// How many bytes may wait of one agent however many wait of the others.
pub(super) const WAITING_OWN: usize = 64 << 10;
/// How many bytes may wait of all agents together before nobody has more waiting than its own share.
pub(super) const WAITING_SHARED: usize = 128 << 20;
/// How many bytes may wait of all agents together before each has one call waiting at most.
pub(super) const WAITING_ALL: usize = 384 << 20;
/// What a waiting call costs besides its frame, in bytes.
pub(super) const WAITING_EACH: usize = 512;
/// How many messages to one agent may wait.
pub(super) const WAITING_ORDERS: usize = 32;

/// The largest frame of a single report: with more the database would refuse what it is stored as.
pub(super) const REPORT_MAX: usize = 4 << 20;
