//! What a server wrote: it tells when the server listens, and why it did not start.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::PathBuf;

/// How much of the end goes into an error.
const TAIL_LINES: usize = 15;

/// The output of one member over all its lives.
#[derive(Debug)]
pub(super) struct Log(PathBuf);

impl Log {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    /// For the server to write to.
    pub(super) fn open(&self) -> io::Result<File> {
        OpenOptions::new().create(true).append(true).open(&self.0)
    }

    /// How much there is, in bytes.
    pub(super) fn length(&self) -> usize {
        self.read().len()
    }

    /// Whether the server wrote this after so many bytes.
    pub(super) fn says(&self, what: &str, after: usize) -> bool {
        self.read().get(after..).is_some_and(|new| String::from_utf8_lossy(new).contains(what))
    }

    /// The last lines.
    pub(super) fn tail(&self) -> String {
        let text = self.read();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    fn read(&self) -> Vec<u8> {
        fs::read(&self.0).unwrap_or_default()
    }
}
