//! The conditions that a service puts on its nodes: `label==disk=ssd`, `service!=~shop/db-%s`, `node==/^core-/`.

use regex::{Regex, RegexBuilder};
use thiserror::Error;

use super::grid::Grid;

/// A pattern from outside may not take more memory than this.
const PATTERN_BYTES: usize = 256 << 10;

/// A condition cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AffinityFault {
    /// It is not of the form key, comparison, value.
    #[error("Invalid affinity filter: {0}")]
    Form(String),
    /// It compares with what no node has.
    #[error("Unknown affinity filter: {0}")]
    Key(String),
}

/// One condition, read for one instance.
#[derive(Clone, Debug)]
pub struct Affinity {
    key: Key,
    wanted: bool,
    soft: bool,
    value: Value,
}

#[derive(Clone, Copy, Debug)]
enum Key {
    Node,
    Service,
    Container,
    Label,
}

#[derive(Clone, Debug)]
enum Value {
    Exactly(String),
    Like(Regex),
    /// A pattern that cannot be read finds nothing.
    Nothing,
}

impl Value {
    fn read(text: &str) -> Self {
        let pattern = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
        match pattern {
            None => Self::Exactly(text.to_owned()),
            Some(pattern) => RegexBuilder::new(pattern)
                .size_limit(PATTERN_BYTES)
                .dfa_size_limit(PATTERN_BYTES)
                .build()
                .map_or(Self::Nothing, Self::Like),
        }
    }

    fn is(&self, text: &str) -> bool {
        match self {
            Self::Exactly(value) => value == text,
            Self::Like(pattern) => pattern.is_match(text),
            Self::Nothing => false,
        }
    }
}

impl Affinity {
    /// Reads a condition for instance `number` of a service of `stack`.
    pub fn read(condition: &str, stack: &str, number: i64) -> Result<Self, AffinityFault> {
        let condition = numbered(condition, number);
        let fault = || AffinityFault::Form(condition.clone());
        // The key takes as much as it can, so the last comparison that leaves a value counts.
        let comparison = |at: &usize| {
            let tail = condition.get(*at..).unwrap_or_default();
            *at > 0 && tail.len() > 2 && (tail.starts_with("==") || tail.starts_with("!="))
        };
        let at = (0..condition.len()).rev().find(comparison).ok_or_else(fault)?;
        let (key, rest) = condition.split_at(at);
        let (operator, rest) = rest.split_at(2);
        // A value that is nothing but the mark is a value.
        let (soft, value) = match rest.strip_prefix('~') {
            Some(value) if !value.is_empty() => (true, value),
            _ => (false, rest),
        };
        let key = match key {
            "node" => Key::Node,
            "service" => Key::Service,
            "container" => Key::Container,
            "label" => Key::Label,
            other => return Err(AffinityFault::Key(other.to_owned())),
        };
        let value = match key {
            // As the original has it: a pattern without an escaped slash is prefixed too, and finds nothing.
            Key::Service if value.starts_with('/') && !value.contains("\\/") => Value::Nothing,
            Key::Service if !value.contains('/') => Value::Exactly(format!("{stack}/{value}")),
            Key::Node | Key::Service | Key::Container | Key::Label => Value::read(value),
        };
        Ok(Self { key, wanted: operator == "==", soft, value })
    }

    /// Whether it is ignored when no node meets it.
    #[must_use]
    pub fn is_soft(&self) -> bool {
        self.soft
    }

    /// Which nodes of the grid meet it, by their position.
    pub(super) fn meeting(&self, grid: &Grid) -> Vec<bool> {
        let mut found: Vec<bool> = match self.key {
            Key::Node => grid.nodes.iter().map(|node| self.value.is(&node.name)).collect(),
            Key::Label => {
                grid.nodes.iter().map(|node| node.labels.iter().any(|label| self.value.is(label))).collect()
            }
            Key::Service | Key::Container => vec![false; grid.nodes.len()],
        };
        let mut mark = |at: usize| found.iter_mut().skip(at).take(1).for_each(|found| *found = true);
        match self.key {
            Key::Service => {
                for neighbour in grid.neighbours().filter(|neighbour| self.value.is(&neighbour.path)) {
                    grid.placed(neighbour.id)
                        .into_iter()
                        .flat_map(|placed| placed.values())
                        .for_each(|at| mark(*at));
                }
            }
            Key::Container => {
                let meant = grid.containers.iter().filter(|(_, container)| self.value.is(&container.name));
                meant.for_each(|(at, _)| mark(*at));
            }
            Key::Node | Key::Label => {}
        }
        if !self.wanted {
            for found in &mut found {
                *found = !*found;
            }
        }
        found
    }
}

/// A text with `%s` and `%d` replaced by the number of the instance, and `%%` by a percent sign.
pub(super) fn numbered(text: &str, number: i64) -> String {
    let mut parts = text.chars();
    let mut numbered = String::with_capacity(text.len());
    while let Some(letter) = parts.next() {
        if letter != '%' {
            numbered.push(letter);
            continue;
        }
        match parts.next() {
            Some('s' | 'd') => numbered.push_str(&number.to_string()),
            Some('%') | None => numbered.push('%'),
            Some(other) => numbered.extend(['%', other]),
        }
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(condition: &str) -> Option<(bool, bool, String)> {
        let read = Affinity::read(condition, "shop", 3).ok()?;
        let value = match read.value {
            Value::Exactly(value) => value,
            Value::Like(pattern) => format!("like {pattern}"),
            Value::Nothing => "nothing".to_owned(),
        };
        Some((read.wanted, read.soft, value))
    }

    #[test]
    fn conditions_are_read_as_the_original_reads_them() {
        let cases = [
            ("label==disk=ssd", Some((true, false, "disk=ssd"))),
            ("label!=~disk=ssd", Some((false, true, "disk=ssd"))),
            ("label==~", Some((true, false, "~"))),
            ("node==core-%s", Some((true, false, "core-3"))),
            ("node==core-%d%%", Some((true, false, "core-3%"))),
            ("service==db", Some((true, false, "shop/db"))),
            ("service==data/db", Some((true, false, "data/db"))),
            ("service==/^shop\\/d/", Some((true, false, "like ^shop\\/d"))),
            ("service==/db/", Some((true, false, "nothing"))),
            ("node==/core-[/", Some((true, false, "nothing"))),
            ("container!=x", Some((false, false, "x"))),
            ("label==", None),
            ("==x", None),
            ("label=x", None),
            ("label==a==b", None),
        ];
        for (condition, expected) in cases {
            let expected = expected.map(|(wanted, soft, value)| (wanted, soft, value.to_owned()));
            assert_eq!(parts(condition), expected, "{condition}");
        }
        assert_eq!(
            Affinity::read("label==a==b", "shop", 1).map(|_| ()),
            Err(AffinityFault::Key("label==a".to_owned()))
        );
    }
}
