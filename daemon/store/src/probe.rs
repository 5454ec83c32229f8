//! The rows of the probe duty: `probe {term, batch, part, before_us}`. They exist to be judged by: no row of a term may
//! appear after the fence rose above it, and no batch may appear in part.

use std::time::Duration;

use kontena_core::election::Term;
use mongodb::bson::doc;

use crate::command::stored;
use crate::effect::{Effect, Statement};

pub(crate) const PROBE: &str = "probe";

/// One document of a probe batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeRow {
    /// Under which it was written.
    pub term: Term,
    /// Counts the batches of a term, from 1.
    pub batch: u64,
    /// Counts the rows of a batch, from 1.
    pub part: u64,
    /// When the batch before was acknowledged, by boot time, if it was.
    pub before: Option<Duration>,
}

impl ProbeRow {
    /// Inserts the row.
    #[must_use]
    pub fn insert(self) -> Effect {
        let Self { term, batch, part, before } = self;
        let before = before.and_then(|at| u64::try_from(at.as_micros()).ok());
        let row = doc! {
            "term": stored(term.0), "batch": stored(batch), "part": stored(part), "before_us": before.map(stored),
        };
        Effect { collection: PROBE, statement: Statement::Insert(row) }
    }
}
