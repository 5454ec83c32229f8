//! Which rows are shown: fuzzy by default, a regular expression on request.

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher, Utf32Str};
use regex::{Regex, RegexBuilder};

/// How much memory a regular expression may take once compiled.
const REGEX_SIZE_MAX: usize = 1 << 20;

/// What the user typed, understood.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    text: String,
    regex: bool,
    compiled: Compiled,
    /// Why the text is not a regular expression.
    pub(crate) fault: Option<String>,
}

#[derive(Clone, Debug, Default)]
enum Compiled {
    #[default]
    All,
    Fuzzy(Pattern),
    Regex(Regex),
}

impl Filter {
    /// Takes over what was typed. A text that is no regular expression (yet) leaves the last good one in force.
    pub(crate) fn set(&mut self, text: &str, regex: bool) {
        text.clone_into(&mut self.text);
        self.regex = regex;
        self.fault = None;
        if text.is_empty() {
            self.compiled = Compiled::All;
        } else if regex {
            let smart = !text.chars().any(char::is_uppercase);
            match self::regex(text, smart) {
                Ok(regex) => self.compiled = Compiled::Regex(regex),
                Err(error) => {
                    let fault = error.to_string();
                    self.fault = fault.lines().last().map(|line| line.trim().to_owned());
                }
            }
        } else {
            self.compiled = Compiled::Fuzzy(Pattern::parse(text, CaseMatching::Smart, Normalization::Smart));
        }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn is_regex(&self) -> bool {
        self.regex
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// A function that says of a text, with one field a line, whether it is shown.
    pub(crate) fn matcher(&self) -> impl FnMut(&str) -> bool + use<> {
        let mut score = self.scorer();
        move |text| score(text).is_some()
    }

    /// A function that says of a text, with one field a line, how well it matches, if it does. It keeps its memory
    /// from one text to the next.
    pub(crate) fn scorer(&self) -> impl FnMut(&str) -> Option<u32> + use<> {
        let compiled = self.compiled.clone();
        let mut matcher = Matcher::new(Config::DEFAULT);
        let mut chars = Vec::new();
        move |text| match &compiled {
            Compiled::All => Some(0),
            Compiled::Regex(regex) => regex.is_match(text).then_some(0),
            // Letters that are spread over several fields would match nearly everything.
            Compiled::Fuzzy(pattern) => pattern.atoms.iter().try_fold(0_u32, |sum, atom| {
                let mut score =
                    |field: &str| atom.score(Utf32Str::new(field, &mut chars), &mut matcher).map(u32::from);
                if atom.negative {
                    text.lines().all(|field| score(field).is_some()).then_some(sum)
                } else {
                    text.lines().filter_map(score).max().map(|best| sum + best)
                }
            }),
        }
    }
}

/// `^` and `$` stand for the ends of a field.
fn regex(text: &str, ignore_case: bool) -> Result<Regex, regex::Error> {
    RegexBuilder::new(text).case_insensitive(ignore_case).multi_line(true).size_limit(REGEX_SIZE_MAX).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, regex: bool) -> Vec<&'static str> {
        let mut filter = Filter::default();
        filter.set(text, regex);
        let mut matches = filter.matcher();
        ["master-1\nacting", "master-2\nstandby", "other"].into_iter().filter(|row| matches(row)).collect()
    }

    #[test]
    fn fuzzy_takes_letters_in_their_order_and_words_in_any() {
        assert_eq!(shown("", false).len(), 3);
        assert_eq!(shown("m2", false), ["master-2\nstandby"]);
        assert_eq!(shown("acting master", false), ["master-1\nacting"]);
        assert_eq!(shown("!master", false), ["other"]);
    }

    #[test]
    fn a_regex_that_is_not_finished_leaves_the_last_one_in_force() {
        assert_eq!(shown("^master-[2]$", true), ["master-2\nstandby"]);
        let mut filter = Filter::default();
        filter.set("act", true);
        filter.set("act(", true);
        assert!(
            filter.fault.as_deref().is_some_and(|fault| fault.contains("unclosed")),
            "{:?}",
            filter.fault
        );
        assert!(filter.matcher()("acting") && !filter.matcher()("standby"));
    }

    #[test]
    fn a_regex_cannot_take_all_memory() {
        let mut filter = Filter::default();
        filter.set(r"(\w{1000}){1000}", true);
        assert!(filter.fault.is_some());
    }
}
