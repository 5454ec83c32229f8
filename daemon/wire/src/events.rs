//! The bodies of `GET /v1/cluster/events`: what happens to the masters, as server-sent events.
//!
//! An event's id is opaque to clients: they hand the last one back in `Last-Event-ID`, to any master.

use serde::{Deserialize, Serialize};

use crate::cluster::{MasterState, Person, Reign};

/// One event.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Event {
    /// When, RFC 3339. Elections carry the database's time, everything else that of the observing host.
    pub at: String,
    /// The name of the master that observed it.
    pub by: String,
    /// What happened.
    #[serde(flatten)]
    pub what: Happening,
}

/// What can happen.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Happening {
    /// A term began. From the database, so it is the same at every master and survives their restarts.
    Election {
        /// How it began.
        reign: Reign,
    },
    /// The lease was seen to change hands.
    Lease {
        /// The term that it carries.
        term: u64,
        /// Who holds it. None when it was given back.
        holder: Option<Person>,
    },
    /// The observing master became something else in the election.
    Standing {
        /// What it is now.
        standing: Standing,
        /// Under which term, where it has one.
        term: Option<u64>,
    },
    /// A master appeared, changed, or is gone.
    Master {
        /// Which one.
        master: Person,
        /// What it was. None when it appeared.
        was: Option<MasterState>,
        /// What it is. None when it has ended.
        is: Option<MasterState>,
        /// What an administrator should know about it.
        warnings: Vec<String>,
    },
    /// A duty's last run ended otherwise than the one before.
    Duty {
        /// Its name.
        name: String,
        /// Whether the run failed.
        failed: bool,
        /// What it said of itself.
        result: String,
    },
    /// Agents came to a master, or left it, within about a second.
    Agents {
        /// Which master.
        master: Person,
        /// How many connected.
        came: u64,
        /// How many connections ended.
        left: u64,
        /// The first of them.
        names: Vec<Move>,
    },
    /// The database stopped answering the observing master, or answers again.
    Database {
        /// Whether it answers.
        answers: bool,
        /// Why not.
        reason: Option<String>,
    },
    /// Events are missing here: the client was away for too long, too slow, or comes from another master, which
    /// alone knows what it observed.
    Missed {
        /// How many, where that is known.
        count: Option<u64>,
        /// Why.
        reason: String,
    },
    /// A kind of event that this version does not know.
    #[serde(other)]
    Unknown,
}

/// One agent that came or left.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Move {
    /// Its node's name.
    pub name: String,
    /// Whether it came.
    pub came: bool,
}

/// What a master is in the election.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Somebody else may lead.
    Following,
    /// It holds the lease and does not act yet, or not at the moment.
    Elected,
    /// It leads.
    Acting,
    /// It gives the lease back.
    Releasing,
}
