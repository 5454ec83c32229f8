//! The master's own record of when it acted, for measurements: one JSON object a line, times in microseconds of
//! `CLOCK_BOOTTIME`. Written only when asked for; all masters of one kernel share that clock.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kontena_core::election::{Acting, Election};
use serde::Serialize;

/// A file to append to, or nothing at all.
#[derive(Clone, Debug, Default)]
pub struct Trace(Option<Arc<Mutex<Record>>>);

#[derive(Debug)]
struct Record {
    file: File,
    acting: Option<Acting>,
}

/// One line.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// Acting may be done from here on.
    ActingFrom { at_us: u64, term: u64, until_us: u64 },
    /// A renewal moved the end.
    Extended { at_us: u64, term: u64, until_us: u64 },
    /// Nothing was done from here on.
    ActingUntil { at_us: u64, term: u64 },
    /// Commands sent to the database so far.
    Commands { at_us: u64, count: u64 },
}

impl Trace {
    /// Appends to `path`.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self(Some(Arc::new(Mutex::new(Record { file, acting: None })))))
    }

    /// Notes a change of the permission to act, which was published between `before` and `now`, both boot time.
    pub fn acting(&self, election: &Election, before: Duration, now: Duration) {
        let Some(record) = &self.0 else { return };
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        let acting = election.acting();
        if acting == record.acting {
            return;
        }
        let at_us = micros(now);
        let ended = record.acting.take();
        if let Some(ended) = ended
            && acting.is_none_or(|acting| acting.term != ended.term || ended.until <= now)
        {
            record.write(&Line::ActingUntil { at_us: at_us.min(micros(ended.until)), term: ended.term.0 });
        }
        if let Some(acting) = acting {
            let (term, until_us) = (acting.term.0, micros(acting.until));
            let goes_on = ended.is_some_and(|ended| ended.term == acting.term && ended.until > now);
            record.write(&if goes_on {
                Line::Extended { at_us, term, until_us }
            } else {
                Line::ActingFrom { at_us: micros(before), term, until_us }
            });
        }
        record.acting = acting;
    }

    /// Notes how many commands were sent so far. `now` is boot time.
    pub fn commands(&self, count: u64, now: Duration) {
        if let Some(record) = &self.0 {
            let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
            record.write(&Line::Commands { at_us: micros(now), count });
        }
    }
}

impl Record {
    fn write(&mut self, line: &Line) {
        // One write call a line, so that a killed process leaves whole lines.
        if let Ok(mut text) = serde_json::to_vec(line) {
            text.push(b'\n');
            if let Err(error) = self.file.write_all(&text) {
                tracing::warn!(%error, "the trace cannot be written");
            }
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
