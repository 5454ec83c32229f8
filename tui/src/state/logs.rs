//! The log of a service or a stack while it is followed: the latest lines within a bound, and where the eye is in them.

use std::collections::VecDeque;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Serialize};
use tui_input::Input;

use crate::place::LogOf;

/// How many lines are kept, and how many bytes of text.
const LINES_MAX: usize = 5_000;
const BYTES_MAX: usize = 4 << 20;
/// The longest line; what is longer is cut.
const LINE_MAX: usize = 8 << 10;
/// How much memory a regular expression may take once compiled.
const REGEX_SIZE_MAX: usize = 1 << 20;

/// One line of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) id: String,
    /// RFC 3339.
    pub(crate) at: String,
    /// The container's name.
    pub(crate) by: String,
    /// Written to its standard error.
    pub(crate) error: bool,
    pub(crate) text: String,
}

/// The log that is followed.
#[derive(Clone, Debug)]
pub(crate) struct Logs {
    pub(crate) of: LogOf,
    pub(crate) lines: VecDeque<Line>,
    bytes: usize,
    /// The first line on the screen. None: the last ones, whatever comes.
    pub(crate) top: Option<usize>,
    /// Lines that came since it was held.
    pub(crate) fresh: usize,
    /// Columns that are passed over at the left.
    pub(crate) left: usize,
    /// Lines on the screen.
    pub(crate) page: usize,
    /// While a search is typed.
    pub(crate) typed: Option<Input>,
    pub(crate) search: Search,
    /// The line that the search stands at.
    pub(crate) found: Option<usize>,
    /// Whether anything was heard of it yet.
    pub(crate) answered: bool,
}

/// What is searched for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Search {
    text: String,
    pub(crate) is_regex: bool,
    compiled: Option<Regex>,
    pub(crate) fault: bool,
}

impl Search {
    /// Takes over what was typed; small letters stand for both.
    pub(crate) fn set(&mut self, text: &str, is_regex: bool) {
        text.clone_into(&mut self.text);
        self.is_regex = is_regex;
        let pattern = if is_regex { text.to_owned() } else { regex::escape(text) };
        let built = RegexBuilder::new(&pattern)
            .case_insensitive(!text.chars().any(char::is_uppercase))
            .size_limit(REGEX_SIZE_MAX)
            .build();
        self.fault = built.is_err();
        if text.is_empty() {
            self.compiled = None;
        } else if let Ok(regex) = built {
            self.compiled = Some(regex);
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Where a line matches, as ranges of bytes.
    pub(crate) fn matches(&self, line: &str) -> Vec<(usize, usize)> {
        let Some(regex) = &self.compiled else { return Vec::new() };
        regex.find_iter(line).map(|found| (found.start(), found.end())).filter(|(a, b)| a < b).collect()
    }

    fn is_in(&self, line: &str) -> bool {
        self.compiled.as_ref().is_some_and(|regex| regex.is_match(line))
    }
}

impl Logs {
    pub(crate) fn new(of: LogOf) -> Self {
        Self {
            of,
            lines: VecDeque::new(),
            bytes: 0,
            top: None,
            fresh: 0,
            left: 0,
            page: 1,
            typed: None,
            search: Search::default(),
            found: None,
            answered: false,
        }
    }

    /// Takes in lines that came.
    pub(crate) fn take_in(&mut self, lines: Vec<Line>) {
        self.answered = true;
        for mut line in lines {
            line.text = plain(&line.text);
            self.bytes += line.text.len();
            self.lines.push_back(line);
            if self.top.is_some() {
                self.fresh += 1;
            }
            while self.lines.len() > LINES_MAX || self.bytes > BYTES_MAX {
                let Some(gone) = self.lines.pop_front() else { break };
                self.bytes -= gone.text.len();
                // What is looked at stays where it is, until it is gone.
                self.top = self.top.map(|top| top.saturating_sub(1));
                self.found = self.found.and_then(|found| found.checked_sub(1));
            }
        }
    }

    /// The first line on the screen.
    pub(crate) fn first(&self) -> usize {
        let end = self.lines.len().saturating_sub(self.page);
        self.top.map_or(end, |top| top.min(end))
    }

    /// Whether the newest lines are shown as they come.
    pub(crate) fn follows(&self) -> bool {
        self.top.is_none()
    }

    /// Holds the lines that are shown, or goes on with the newest.
    pub(crate) fn hold(&mut self, hold: bool) {
        self.top = hold.then(|| self.first());
        if !hold {
            self.fresh = 0;
        }
    }

    /// Moves through the lines, which holds them.
    pub(crate) fn move_by(&mut self, by: isize) {
        let end = self.lines.len().saturating_sub(self.page);
        self.top = Some(self.first().saturating_add_signed(by).min(end));
    }

    /// Goes to the nearest line that matches, below or above the one found last, and around the end.
    pub(crate) fn seek(&mut self, down: bool) -> bool {
        let count = self.lines.len();
        let begin = self.found.unwrap_or(if down { self.first() } else { self.first() + self.page });
        let place = |step: usize| {
            if down { (begin + step) % count } else { (begin % count + count - step) % count }
        };
        let hits = |place: &usize| self.lines.get(*place).is_some_and(|line| self.search.is_in(&line.text));
        let Some(found) = (count > 0).then(|| (1..=count).map(place).find(hits)).flatten() else {
            return false;
        };
        self.show(found);
        true
    }

    /// Goes to the last line that matches, if there is one.
    pub(crate) fn seek_last(&mut self) -> bool {
        let hits = |line: &Line| self.search.is_in(&line.text);
        let Some(found) = self.lines.iter().rposition(hits) else {
            self.found = None;
            return false;
        };
        self.show(found);
        true
    }

    fn show(&mut self, found: usize) {
        self.found = Some(found);
        let shown = self.first()..self.first() + self.page;
        if self.top.is_none() || !shown.contains(&found) {
            let end = self.lines.len().saturating_sub(self.page);
            self.top = Some(found.saturating_sub(self.page / 2).min(end));
        }
    }
}

/// One line without what steers terminals: containers colour what they write.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len().min(LINE_MAX));
    let mut chars = text.trim_end().chars().peekable();
    while let Some(char) = chars.next() {
        if plain.len() >= LINE_MAX {
            break;
        }
        match char {
            '\u{1b}' => {
                if chars.next_if_eq(&'[').is_some() {
                    // Parameters, until the letter that ends them.
                    while chars.next().is_some_and(|char| !('@'..='~').contains(&char)) {}
                }
            }
            '\t' => plain.push_str("    "),
            char if char.is_control() => plain.push(' '),
            char => plain.push(char),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::StackPlace;

    fn line(text: &str) -> Line {
        Line {
            id: text.to_owned(),
            at: "2026-01-01T00:00:00Z".to_owned(),
            by: "web-1".to_owned(),
            error: false,
            text: text.to_owned(),
        }
    }

    fn logs(count: usize) -> Logs {
        let place = StackPlace { grid: "main".to_owned(), name: "shop".to_owned() };
        let mut logs = Logs::new(LogOf::Stack(place));
        logs.page = 10;
        logs.take_in((0..count).map(|number| line(&format!("line {number}"))).collect());
        logs
    }

    #[test]
    fn memory_is_bounded_in_lines_and_in_bytes() {
        let mut logs = logs(LINES_MAX + 7);
        assert_eq!(logs.lines.len(), LINES_MAX);
        assert_eq!(logs.lines[0].text, "line 7");
        for _ in 0..LINES_MAX {
            logs.take_in(vec![line(&"x".repeat(LINE_MAX * 2))]);
        }
        assert!(logs.bytes <= BYTES_MAX && logs.lines.iter().all(|line| line.text.len() <= LINE_MAX));
        assert_eq!(logs.bytes, logs.lines.iter().map(|line| line.text.len()).sum::<usize>());
    }

    #[test]
    fn what_is_held_stays_while_more_comes() {
        let mut logs = logs(100);
        assert_eq!(logs.first(), 90);
        logs.hold(true);
        logs.take_in(vec![line("new"); 5]);
        assert_eq!((logs.first(), logs.fresh), (90, 5));
        logs.move_by(-50);
        assert_eq!(logs.first(), 40);
        logs.hold(false);
        assert_eq!((logs.first(), logs.fresh), (95, 0));
    }

    #[test]
    fn a_search_goes_around() {
        let mut logs = logs(100);
        logs.search.set("LINE 7", false);
        assert!(!logs.seek_last(), "capitals are meant");
        logs.search.set("line 7", false);
        assert!(logs.seek_last());
        let mut seen = vec![logs.found];
        for _ in 0..2 {
            logs.seek(false);
            seen.push(logs.found);
        }
        assert_eq!(seen, [Some(79), Some(78), Some(77)]);
        logs.seek(true);
        assert_eq!(logs.found, Some(78));
        logs.search.set("^line [12]$", true);
        logs.seek(true);
        assert_eq!(logs.found, Some(1), "around the end");
        logs.search.set("(", true);
        assert!(logs.search.fault);
        assert_eq!(logs.search.matches("line 2"), [(0, 6)], "the last good one stays in force");
    }

    #[test]
    fn nothing_in_a_line_steers_the_terminal() {
        assert_eq!(plain("\u{1b}[1;31mred\u{1b}[0m\tand\u{7} more\r\n"), "red    and  more");
        assert_eq!(plain("\u{1b}"), "");
    }
}
