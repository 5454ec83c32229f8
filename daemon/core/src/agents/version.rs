//! Which agents a master of some version takes: those of the same major and minor version, by the rules that
//! the agents' own packages are ordered by (a version with letters comes before the one without them).

use std::cmp::Ordering;

/// A version in segments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Number(u64),
    Letters(String),
}

impl Version {
    /// Reads a version. Nothing at all counts as 0; what is no version is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().replace('-', ".pre.");
        let text = if text.is_empty() { "0" } else { text.as_str() };
        let mut segments = Vec::new();
        for part in text.split('.') {
            if part.is_empty() || !part.chars().all(|c| c.is_ascii_alphanumeric()) {
                return None;
            }
            // `1rc2` is three segments.
            let mut rest = part;
            while let Some(first) = rest.chars().next() {
                let digits = first.is_ascii_digit();
                let end = rest.find(|c: char| c.is_ascii_digit() != digits).unwrap_or(rest.len());
                let (segment, behind) = rest.split_at(end);
                segments.push(if digits {
                    Segment::Number(segment.parse().ok()?)
                } else {
                    Segment::Letters(segment.to_owned())
                });
                rest = behind;
            }
        }
        matches!(segments.first(), Some(Segment::Number(_))).then_some(Self(segments))
    }

    fn is_prerelease(&self) -> bool {
        self.0.iter().any(|segment| matches!(segment, Segment::Letters(_)))
    }

    fn number(&self, at: usize) -> u64 {
        match self.0.get(at) {
            Some(Segment::Number(number)) => *number,
            _ => 0,
        }
    }

    /// Whether a master of this version takes an agent of version `agent`.
    #[must_use]
    pub fn takes(&self, agent: &Self) -> bool {
        if agent.is_prerelease() && !self.is_prerelease() {
            return false;
        }
        let mut least =
            vec![Segment::Number(self.number(0)), Segment::Number(self.number(1)), Segment::Number(0)];
        least.extend(self.0.iter().skip_while(|segment| matches!(segment, Segment::Number(_))).cloned());
        let same_line = (agent.number(0), agent.number(1)) == (self.number(0), self.number(1));
        same_line && agent.compare(&Self(least)) != Ordering::Less
    }

    fn compare(&self, other: &Self) -> Ordering {
        let missing = Segment::Number(0);
        for at in 0..self.0.len().max(other.0.len()) {
            let (own, others) = (self.0.get(at).unwrap_or(&missing), other.0.get(at).unwrap_or(&missing));
            let order = match (own, others) {
                (Segment::Number(own), Segment::Number(others)) => own.cmp(others),
                (Segment::Letters(own), Segment::Letters(others)) => own.cmp(others),
                (Segment::Letters(_), Segment::Number(_)) => Ordering::Less,
                (Segment::Number(_), Segment::Letters(_)) => Ordering::Greater,
            };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_of_the_same_line_are_taken() {
        let version = |text: &str| Version::parse(text).unwrap();
        let cases: [(&str, &[&str], &[&str]); 2] = [
            (
                "1.5.4",
                &["1.5", "1.5.0", "1.5.4", "1.5.99"],
                &["1.4.3", "1.6.0", "1.5.4.rc1", "1.5.4-x", "", "2.5.4"],
            ),
            (
                "1.6.0.dev",
                &["1.6.0.dev", "1.6.0.rc1", "1.6.0", "1.6.3.rc1", "1.6.9", "1.6.0-x"],
                &["1.5.4", "1.6.0.alpha", "1.7.0.dev", ""],
            ),
        ];
        for (master, taken, refused) in cases {
            for agent in taken {
                assert!(version(master).takes(&version(agent)), "{master} takes {agent}");
            }
            for agent in refused {
                assert!(!version(master).takes(&version(agent)), "{master} refuses {agent:?}");
            }
        }
    }

    #[test]
    fn rubbish_is_no_version() {
        for text in ["rubbish", "1..2", "1.5.4 or so", "é"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }
}
