//! The rows of the probe duty: `probe {term, batch, part}`. They exist to be judged by: no row of a term may
//! appear after the fence rose above it, and no batch may appear in part.

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
}

impl ProbeRow {
    /// Inserts the row.
    #[must_use]
    pub fn insert(self) -> Effect {
        let Self { term, batch, part } = self;
        let row = doc! { "term": stored(term.0), "batch": stored(batch), "part": stored(part) };
        Effect { collection: PROBE, statement: Statement::Insert(row) }
    }
}
