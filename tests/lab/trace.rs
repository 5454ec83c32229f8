//! The masters' own records of when they acted, compared: no two of them at once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

/// One line of a trace. Times are microseconds of boot time.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    ActingFrom { at_us: u64, term: u64, until_us: u64 },
    Extended { at_us: u64, until_us: u64 },
    ActingUntil { at_us: u64 },
    Commands { at_us: u64, count: u64 },
}

/// A time in which a master might have acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    /// Under which term.
    pub(crate) term: u64,
    from: u64,
    until: u64,
}

/// What is known of one start of a master's process.
#[derive(Debug)]
pub(crate) struct Life {
    lines: Vec<Line>,
}

impl Life {
    /// Reads the lives of all processes that wrote to the trace at `path`; `deaths` says, in order, when each
    /// but the last ended.
    pub(crate) fn read(path: &Path, deaths: &[Duration]) -> Result<Vec<Self>> {
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut lives: Vec<Self> = (0..=deaths.len()).map(|_| Self { lines: Vec::new() }).collect();
        for line in text.lines() {
            let line: Line =
                serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display()))?;
            let (Line::ActingFrom { at_us, .. }
            | Line::Extended { at_us, .. }
            | Line::ActingUntil { at_us, .. }
            | Line::Commands { at_us, .. }) = line;
            let index = deaths.iter().filter(|death| micros(**death) < at_us).count();
            if let Some(life) = lives.get_mut(index) {
                life.lines.push(line);
            }
        }
        Ok(lives)
    }

    /// When the process might have acted, if it ended at `end`.
    pub(crate) fn windows(&self, end: Duration) -> Vec<Window> {
        let end = micros(end);
        let mut windows = Vec::new();
        let mut open: Option<Window> = None;
        for line in &self.lines {
            match *line {
                Line::ActingFrom { at_us, term, until_us } => {
                    windows.extend(open.take());
                    open = Some(Window { term, from: at_us, until: until_us.min(end) });
                }
                Line::Extended { at_us: _, until_us } => {
                    if let Some(window) = &mut open {
                        window.until = until_us.min(end);
                    }
                }
                Line::ActingUntil { at_us } => {
                    if let Some(mut window) = open.take() {
                        window.until = window.until.min(at_us);
                        windows.push(window);
                    }
                }
                Line::Commands { .. } => {}
            }
        }
        windows.extend(open);
        windows
    }

    /// How many commands it sent to the database a second, between the first and the last record.
    pub(crate) fn commands_per_second(&self, from: Duration, to: Duration) -> Option<f64> {
        let within = |at: u64| (micros(from)..=micros(to)).contains(&at);
        let mut counts = self.lines.iter().filter_map(|line| match *line {
            Line::Commands { at_us, count } if within(at_us) => Some((at_us, count)),
            _ => None,
        });
        let (first_at, first) = counts.next()?;
        let (last_at, last) = counts.next_back()?;
        let seconds = Duration::from_micros(last_at.checked_sub(first_at)?).as_secs_f64();
        let sent = u32::try_from(last.checked_sub(first)?).ok()?;
        (seconds > 0.0).then(|| f64::from(sent) / seconds)
    }
}

/// How many pairs of windows of different masters cross.
pub(crate) fn overlaps(masters: &[Vec<Window>]) -> u64 {
    u64::try_from(crossings(masters).len()).unwrap_or(u64::MAX)
}

/// When pairs of windows of different masters begin to cross, in boot time.
pub(crate) fn crossings(masters: &[Vec<Window>]) -> Vec<Duration> {
    let mut found = Vec::new();
    for (index, windows) in masters.iter().enumerate() {
        for other in masters.iter().skip(index + 1).flatten() {
            let crossing = windows.iter().filter(|own| own.from < other.until && other.from < own.until);
            found.extend(crossing.map(|own| Duration::from_micros(own.from.max(other.from))));
        }
    }
    found
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(term: u64, from: u64, until: u64) -> Window {
        Window { term, from, until }
    }

    #[test]
    fn windows_that_only_touch_do_not_cross() {
        assert_eq!(overlaps(&[vec![window(1, 0, 10)], vec![window(2, 10, 20)]]), 0);
        assert_eq!(overlaps(&[vec![window(1, 0, 11)], vec![window(2, 10, 20)]]), 1);
        assert_eq!(overlaps(&[vec![window(1, 0, 5), window(3, 25, 30)], vec![window(2, 10, 26)]]), 1);
    }

    #[test]
    fn a_window_ends_with_the_permission_or_with_the_process() {
        let lines = vec![
            Line::ActingFrom { at_us: 5, term: 1, until_us: 20 },
            Line::Extended { at_us: 10, until_us: 40 },
            Line::ActingUntil { at_us: 30 },
            Line::ActingFrom { at_us: 50, term: 3, until_us: 90 },
        ];
        let life = Life { lines };
        assert_eq!(life.windows(Duration::from_micros(60)), [window(1, 5, 30), window(3, 50, 60)]);
    }
}
