//! What is wrong with a configuration: where, what, and what would be right. A value that may be a secret is
//! never quoted.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::key::Key;

/// Where a value was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A line of a file.
    Line(Arc<Path>, usize),
    /// A file as a whole.
    File(Arc<Path>),
    /// A variable of the environment.
    Variable(&'static str),
    /// A systemd credential.
    Credential(PathBuf),
    /// Nowhere: it is missing in all of them.
    Missing(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(path, line) => write!(f, "{}:{line}", path.display()),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => write!(f, "{name} in the environment"),
            Self::Credential(path) => write!(f, "the credential {}", path.display()),
            Self::Missing(looked_in) => f.write_str(looked_in),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    place: Place,
    /// What it is about, if it is about one key.
    key: Option<String>,
    /// What is wrong, and what would be right.
    message: String,
}

impl Fault {
    pub(super) fn of(place: Place, key: &Key, message: impl Into<String>) -> Self {
        Self { place, key: Some(key.name.to_owned()), message: message.into() }
    }

    pub(super) fn named(place: Place, key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place, key: Some(key.into()), message: message.into() }
    }

    pub(super) fn at(place: Place, message: impl Into<String>) -> Self {
        Self { place, key: None, message: message.into() }
    }
}

impl Fault {
    /// File and line, for an order in which people find them.
    pub(super) fn line(&self) -> Option<(Arc<Path>, usize)> {
        match &self.place {
            Place::Line(path, line) => Some((Arc::clone(path), *line)),
            Place::File(_) | Place::Variable(_) | Place::Credential(_) | Place::Missing(_) => None,
        }
    }

    /// Whether it is about a value that stands nowhere.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.place, Place::Missing(_))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, key, message } = self;
        match key {
            Some(key) => write!(f, "{place}: {key} {message}"),
            None => write!(f, "{place}: {message}"),
        }
    }
}

/// Everything that is wrong, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Faults(pub(super) Vec<Fault>);

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the configuration cannot be used")?;
        for fault in &self.0 {
            write!(f, "\n  {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Faults {}
