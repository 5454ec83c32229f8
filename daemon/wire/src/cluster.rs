//! The bodies of `/v1/cluster`, `/leader` and `/readyz`.

use serde::{Deserialize, Serialize};

/// The answer to `GET /v1/cluster`: the logical master as the asked master sees it.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Cluster {
    /// Of the program that answers.
    pub version: String,
    /// The version of the original that its API announces.
    pub compat_version: String,
    /// The current or last term.
    pub term: u64,
    /// Who holds the lease.
    pub leader: Option<Leader>,
    /// The lease as the asked master sees it. None if nobody holds it, or it was not seen lately.
    #[serde(default)]
    pub lease: Option<LeaseSight>,
    /// All masters that are known, the oldest first.
    pub masters: Vec<Master>,
    /// The agents of all masters.
    pub agents: Agents,
    /// What the leader does, as this master knows it.
    pub duties: Vec<Duty>,
    /// The latest terms, the newest first.
    pub history: Vec<Reign>,
    /// The link to Kontena Cloud, as the leader noted it last. None: no leader did yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloud: Option<Cloud>,
    /// Why the asked master does not reach the database, if it does not: what it tells is what it last saw.
    #[serde(default)]
    pub failure: Option<String>,
}

/// The link to Kontena Cloud, which only the leader holds. The counts are those of all leaders together.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Cloud {
    /// What it is right now.
    pub state: CloudState,
    /// Why, or to where.
    pub why: String,
    /// The name of the master that noted it.
    pub master: String,
    /// The term that it led.
    pub term: u64,
    /// Since when, RFC 3339.
    pub since: String,
    /// Links that were made.
    pub links: u64,
    /// Events that the cloud has for certain.
    pub events: u64,
    /// Events that the cloud may have got once more than it should.
    pub repeated: u64,
    /// How often events were missed, since the database did not remember that far back.
    pub gaps: u64,
    /// When the last of them was confirmed, RFC 3339.
    #[serde(default)]
    pub confirmed_at: Option<String>,
}

/// What the link to Kontena Cloud is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum CloudState {
    /// The configuration does not want it.
    Off,
    /// It is wanted, and tried again and again.
    Down,
    /// It stands.
    Connected,
}

impl CloudState {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Off, Self::Down, Self::Connected];

    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Down => "down",
            Self::Connected => "connected",
        }
    }

    /// From what is stored.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// Who holds the lease.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Leader {
    /// The start of its process.
    pub id: String,
    /// Its host's name.
    pub name: String,
    /// Where its API is reached.
    pub url: Option<String>,
    /// The term it holds.
    pub term: u64,
    /// When the term began, RFC 3339.
    pub since: String,
    /// Whether it is known to act.
    pub acting: bool,
}

/// How fresh the lease is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct LeaseSight {
    /// How long its holder's silence must last until another master takes it, in milliseconds.
    pub ttl_ms: u64,
    /// Milliseconds since the asked master saw it renewed; on the leader, since it sent the last renewal that was
    /// acknowledged.
    pub renewed_ms_ago: u64,
}

/// One master.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct Master {
    /// The start of its process.
    pub id: String,
    /// Its host's name.
    pub name: String,
    /// Where its API is reached.
    pub url: String,
    /// Of its program.
    pub version: String,
    /// What it is right now.
    pub state: MasterState,
    /// RFC 3339.
    pub started_at: String,
    /// Milliseconds since the answering master saw it move. None if it has not yet.
    pub last_seen_ms: Option<u64>,
    /// Agents connected to it.
    pub agents: u64,
    /// Its heartbeat's last round trip to the database, in milliseconds.
    pub mongo_rtt_ms: Option<f64>,
    /// Of the settings that all masters must share.
    pub fingerprint: String,
    /// What an administrator should know.
    pub warnings: Vec<String>,
}

/// What a master is.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum MasterState {
    /// It leads, and its effects are in force.
    Acting,
    /// It holds the lease and does not act yet.
    Elected,
    /// It would take over.
    Standby,
    /// Its configuration keeps it from standing.
    Ineligible,
    /// It is about to stop.
    Draining,
    /// Something is wrong with it; the warnings say what.
    Unfit,
    /// It has not been heard of.
    Lost,
}

impl MasterState {
    /// As in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Acting => "acting",
            Self::Elected => "elected",
            Self::Standby => "standby",
            Self::Ineligible => "ineligible",
            Self::Draining => "draining",
            Self::Unfit => "unfit",
            Self::Lost => "lost",
        }
    }
}

/// Counts of agents.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Agents {
    /// With a session on some master.
    pub connected: u64,
    /// Known at all.
    pub total: u64,
}

/// One duty of the leader.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Duty {
    /// Its name.
    pub name: String,
    /// What it does right now.
    pub state: DutyState,
    /// RFC 3339.
    pub last_run_at: Option<String>,
    /// What the last run said of itself.
    pub last_result: Option<String>,
    /// RFC 3339.
    pub next_run_at: Option<String>,
    /// Since this process started.
    pub runs: u64,
    /// Those of them that failed.
    pub failures: u64,
}

/// What a duty does right now.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum DutyState {
    /// This master does not lead.
    Off,
    /// Until its time comes or something pokes it.
    Waiting,
    /// At work.
    Running,
}

/// How a term began.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Reign {
    /// The term.
    pub term: u64,
    /// Who led before.
    pub from: Option<Person>,
    /// Who leads in it.
    pub to: Person,
    /// Why the term before ended: released, crashed, expired, `stepped_down` or resigned.
    pub reason: Option<String>,
    /// Milliseconds from the end of the earlier lease to the start of this one.
    pub gap_ms: Option<u64>,
    /// When it began, RFC 3339.
    pub at: String,
}

/// A master as it is named in the history.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Person {
    /// The start of its process.
    pub id: String,
    /// Its host's name.
    pub name: String,
}

/// The body of `POST /v1/cluster/step-down`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct StepDown {
    /// Even if nobody could take over.
    #[serde(default)]
    pub force: bool,
}

/// The body of `POST /v1/cluster/masters/:id/drain`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// Even if nobody could take over.
    #[serde(default)]
    pub force: bool,
}

/// The body of `POST /v1/cluster/admin-tokens`.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AdminTokenWish {
    /// Seconds. None or 0: it never expires.
    #[serde(default)]
    pub expires_in: Option<u32>,
}

/// An access token of the local administrator. It is shown once.
#[derive(Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct AdminToken {
    /// By which it can be ended.
    pub id: String,
    /// The token.
    pub access_token: String,
}

/// The answer of `GET /leader`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct LeaderAnswer {
    /// Whether the asked master acts as the leader. Only then the status is 200.
    pub acting: bool,
    /// The term it acts under.
    pub term: Option<u64>,
    /// The asked master.
    pub id: String,
}

/// The answer of `GET /readyz`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Readiness {
    /// Whether requests should be sent here. Only then the status is 200.
    pub ready: bool,
    /// Why not.
    pub reasons: Vec<String>,
}

/// The body of every refusal.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong and what to do.
    pub error: String,
    /// Where to ask instead, when another master must answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ask: Option<String>,
}

/// The answer of `POST /v1/cluster/agents/NODE/ping`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq)]
pub struct AgentPing {
    /// The node's document.
    pub node: String,
    /// From the asked master through the one that holds the session to the agent and back, in milliseconds.
    pub round_trip_ms: f64,
}
