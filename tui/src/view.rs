//! The views. Each is a list of rows with columns; one file each says what they hold, and what a row's
//! details are. Everything else (sorting, filtering, drawing, exporting) is the same for all.

mod agents;
mod duties;
mod events;
mod masters;
mod report;
mod services;
mod stacks;

use serde_json::Value;

pub(crate) use agents::Agents;
pub(crate) use duties::{Duties, cloud, has_failed};
pub(crate) use events::Events;
pub(crate) use masters::Masters;
pub(crate) use services::Services;
pub(crate) use stacks::Stacks;

use crate::command::Command;
use crate::state::State;
use crate::theme::Tone;

/// Which view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum View {
    Masters,
    Agents,
    Services,
    Stacks,
    Duties,
    Events,
}

/// All views, in the order of their tabs.
pub(crate) const VIEWS: [View; 6] =
    [View::Masters, View::Agents, View::Services, View::Stacks, View::Duties, View::Events];

impl View {
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Masters => "Masters",
            Self::Agents => "Agents",
            Self::Services => "Services",
            Self::Stacks => "Stacks",
            Self::Duties => "Duties",
            Self::Events => "Events",
        }
    }

    pub(crate) fn index(self) -> usize {
        VIEWS.iter().position(|view| *view == self).unwrap_or(0)
    }

    pub(crate) fn command(self) -> Command {
        match self {
            Self::Masters => Command::Masters,
            Self::Agents => Command::Agents,
            Self::Services => Command::Services,
            Self::Stacks => Command::Stacks,
            Self::Duties => Command::Duties,
            Self::Events => Command::Events,
        }
    }

    /// The view so many tabs further.
    pub(crate) fn turned(self, by: usize) -> Self {
        VIEWS.get((self.index() + by) % VIEWS.len()).copied().unwrap_or(self)
    }

    /// Its rows.
    pub(crate) fn listing(self, state: &State) -> Box<dyn Listing + '_> {
        match self {
            Self::Masters => Box::new(Masters(state)),
            Self::Agents => Box::new(Agents(state)),
            Self::Services => Box::new(Services(state)),
            Self::Stacks => Box::new(Stacks(state)),
            Self::Duties => Box::new(Duties(state)),
            Self::Events => Box::new(Events(state)),
        }
    }
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// Columns of the screen that it takes; a growing column takes at least these.
    pub(crate) width: u16,
    /// How much of what is left over it takes, compared with other growing columns.
    pub(crate) grow: u16,
    pub(crate) right: bool,
    /// When the screen is too narrow, the columns with the greatest number go first. 0 never goes.
    pub(crate) rank: u8,
}

impl Column {
    const fn new(title: &'static str, width: u16, rank: u8) -> Self {
        Self { title, width, grow: 0, right: false, rank }
    }

    const fn right(self) -> Self {
        Self { right: true, ..self }
    }

    const fn grow(self, grow: u16) -> Self {
        Self { grow, ..self }
    }
}

/// What stands in a column of a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) tone: Tone,
}

impl Cell {
    pub(crate) fn new(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone }
    }

    fn plain(text: impl Into<String>) -> Self {
        Self::new(text, Tone::Plain)
    }
}

/// What a column is sorted by.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SortKey<'a> {
    /// Sorts behind everything else, whichever way round.
    Nothing,
    Number(f64),
    Text(&'a str),
    /// By the first, then by the second.
    Path(&'a str, &'a str),
}

/// A line of the details of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Detail {
    Heading(String),
    Pair(&'static str, Cell),
    /// One of several: what it is called in a few letters, and what there is to say.
    Item(String, Cell),
    /// Keys, and what they do.
    Keys(String, &'static str),
    Text(Cell),
    Blank,
}

/// The rows of a view.
pub(crate) trait Listing {
    fn columns(&self) -> &'static [Column];
    fn len(&self) -> usize;
    /// What a row is recognised by when the rows change.
    fn id(&self, row: usize) -> String;
    fn cell(&self, row: usize, column: usize) -> Cell;
    fn sort_key(&self, row: usize, column: usize) -> SortKey<'_>;
    /// What the filter looks at, one field a line, written behind what `text` holds.
    fn haystack(&self, row: usize, text: &mut String);
    fn detail(&self, row: usize) -> Vec<Detail>;
    /// The row for programs.
    fn json(&self, row: usize) -> Value;
    /// What is said when there are no rows at all, and whether the rows are complete.
    fn empty(&self) -> Vec<Cell>;
    /// The shell command that shows the same.
    fn shell(&self) -> String;
}

/// For sorting and shares, where the last digits do not matter.
#[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53 here")]
fn float(value: impl Into<i128>) -> f64 {
    value.into() as f64
}
