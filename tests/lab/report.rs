//! What a measuring scenario found: raw samples, their percentiles, and counts of broken promises.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value, json};

/// The result of one run of a scenario.
#[derive(Debug)]
pub(crate) struct Report {
    scenario: &'static str,
    settings: Map<String, Value>,
    samples: BTreeMap<Cow<'static, str>, Vec<f64>>,
    violations: BTreeMap<Cow<'static, str>, u64>,
    series: BTreeMap<String, Series>,
}

/// What was measured again and again: when, in hours, and what.
#[derive(Clone, Debug, Serialize)]
struct Series {
    points: Vec<(f64, f64)>,
    per_hour: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Summary {
    n: usize,
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
}

impl Report {
    /// Of a scenario run with these settings.
    pub(crate) fn new(scenario: &'static str, settings: Value) -> Self {
        let settings = match settings {
            Value::Object(settings) => settings,
            other => Map::from_iter([("settings".to_owned(), other)]),
        };
        Self {
            scenario,
            settings,
            samples: BTreeMap::new(),
            violations: BTreeMap::new(),
            series: BTreeMap::new(),
        }
    }

    /// Adds a sample. The name carries its unit.
    pub(crate) fn sample(&mut self, name: impl Into<Cow<'static, str>>, value: f64) {
        self.samples.entry(name.into()).or_default().push(value);
    }

    /// Adds what was measured again and again, with its slope. Only programs get to read it.
    pub(crate) fn series(&mut self, name: &str, points: &[(f64, f64)], per_hour: Option<f64>) {
        self.series.insert(name.to_owned(), Series { points: points.to_vec(), per_hour });
    }

    fn summary(&self) -> BTreeMap<&str, Summary> {
        self.samples.iter().filter_map(|(name, samples)| Some((name.as_ref(), summarize(samples)?))).collect()
    }

    /// Adds to the count of a broken promise. Promises that were kept are named too, with 0.
    pub(crate) fn violations(&mut self, name: impl Into<Cow<'static, str>>, count: u64) {
        *self.violations.entry(name.into()).or_default() += count;
    }

    /// Whether all promises were kept.
    pub(crate) fn is_clean(&self) -> bool {
        self.violations.values().all(|count| *count == 0)
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut text = String::new();
        // Writing to a string does not fail.
        let _written = writeln!(
            text,
            "\n{:22} {:>5} {:>10} {:>10} {:>10} {:>10}",
            self.scenario, "n", "p50", "p90", "p99", "max"
        );
        for (name, Summary { n, p50, p90, p99, max }) in self.summary() {
            let _written = writeln!(text, "{name:22} {n:>5} {p50:>10.2} {p90:>10.2} {p99:>10.2} {max:>10.2}");
        }
        for (name, count) in &self.violations {
            let _written = writeln!(text, "{name:22} {count:>5} violations");
        }
        text
    }

    /// For programs.
    pub(crate) fn json(&self) -> String {
        let Self { scenario, settings, samples, violations, series } = self;
        let line = json!({
            "scenario": scenario, "settings": settings, "samples": samples, "summary": self.summary(),
            "violations": violations, "series": series,
        });
        line.to_string()
    }
}

fn summarize(samples: &[f64]) -> Option<Summary> {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let max = *sorted.last()?;
    // The smallest sample that at least this share of all samples does not exceed.
    let percentile = |percent: usize| {
        let rank = (sorted.len() * percent).div_ceil(100).max(1);
        sorted.get(rank - 1).copied().unwrap_or(max)
    };
    Some(Summary { n: sorted.len(), p50: percentile(50), p90: percentile(90), p99: percentile(99), max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_and_never_below_their_share() {
        let samples: Vec<f64> = (1..=100_u8).rev().map(f64::from).collect();
        let expected = Summary { n: 100, p50: 50.0, p90: 90.0, p99: 99.0, max: 100.0 };
        assert_eq!(summarize(&samples), Some(expected));
        assert_eq!(summarize(&[7.0]), Some(Summary { n: 1, p50: 7.0, p90: 7.0, p99: 7.0, max: 7.0 }));
        assert_eq!(summarize(&[]), None);
    }

    #[test]
    fn one_broken_promise_is_enough() {
        let mut report = Report::new("test", Value::Null);
        report.violations("lost_writes", 0);
        assert!(report.is_clean());
        report.violations("lost_writes", 1);
        assert!(!report.is_clean());
    }
}
