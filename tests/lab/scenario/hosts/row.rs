//! What the rounds of a fault gave, as one row of the table.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

/// One round.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// When it began and ended, by boot time.
    pub(super) from: Duration,
    pub(super) to: Duration,
    pub(super) leaderless_ms: f64,
    pub(super) allowed_ms: f64,
    /// How much of that the database cost, which took no writes for a while.
    pub(super) database_ms: Option<f64>,
    pub(super) answered: u64,
    pub(super) failed: u64,
    pub(super) offline: u64,
    pub(super) overlapping: u64,
    pub(super) stale: u64,
    pub(super) lost: u64,
    pub(super) stuck: u64,
    pub(super) false_takeovers: u64,
    /// Whether a fault that lasts was not named by `doctor`.
    pub(super) unnamed: bool,
    /// Whether it did not show in the TUI.
    pub(super) unseen: bool,
}

impl Round {
    pub(super) fn is_late(&self) -> bool {
        self.leaderless_ms > self.allowed_ms
    }

    /// What the masters cost.
    pub(super) fn own_ms(&self) -> f64 {
        (self.leaderless_ms - self.database_ms.unwrap_or(0.0)).max(0.0)
    }
}

/// All rounds of one fault.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) rounds: Vec<Round>,
}

/// What is told of a row.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Cells {
    rounds: usize,
    leaderless_p50_ms: f64,
    leaderless_max_ms: f64,
    /// Where the database took writes all the time.
    undisturbed_max_ms: Option<f64>,
    /// Beyond what the database cost, where it did not.
    beyond_max_ms: Option<f64>,
    late: usize,
    database_stopped: usize,
    api_percent: f64,
    offline: u64,
    overlapping: u64,
    stale: u64,
    lost: u64,
    stuck: u64,
}

impl Row {
    fn cells(&self) -> Cells {
        let mut leaderless: Vec<f64> = self.rounds.iter().map(|round| round.leaderless_ms).collect();
        leaderless.sort_by(f64::total_cmp);
        let sum = |of: fn(&Round) -> u64| self.rounds.iter().map(of).sum::<u64>();
        let count = |of: fn(&Round) -> bool| self.rounds.iter().filter(|round| of(round)).count();
        let max = |stopped: bool| {
            let rounds = self.rounds.iter().filter(|round| round.database_ms.is_some() == stopped);
            rounds.map(Round::own_ms).max_by(f64::total_cmp)
        };
        let (answered, failed) = (sum(|round| round.answered), sum(|round| round.failed));
        Cells {
            rounds: self.rounds.len(),
            leaderless_p50_ms: leaderless.get(leaderless.len().saturating_sub(1) / 2).copied().unwrap_or(0.0),
            leaderless_max_ms: leaderless.last().copied().unwrap_or(0.0),
            undisturbed_max_ms: max(false),
            beyond_max_ms: max(true),
            late: count(Round::is_late),
            database_stopped: count(|round| round.database_ms.is_some()),
            api_percent: percent(answered, failed),
            offline: sum(|round| round.offline),
            overlapping: sum(|round| round.overlapping),
            stale: sum(|round| round.stale),
            lost: sum(|round| round.lost),
            stuck: sum(|round| round.stuck),
        }
    }

    /// Notes to which rounds these moments belong, at which two masters might have acted.
    pub(super) fn blame(&mut self, crossings: &[Duration]) {
        for round in &mut self.rounds {
            let within = crossings.iter().filter(|at| (round.from..=round.to).contains(*at)).count();
            round.overlapping += u64::try_from(within).unwrap_or(u64::MAX);
        }
    }
}

/// The share of the calls that was answered.
fn percent(answered: u64, failed: u64) -> f64 {
    let all = answered + failed;
    let number = |count: u64| u32::try_from(count).map_or(f64::MAX, f64::from);
    if all == 0 { 0.0 } else { (number(answered) / number(all) * 10_000.0).round() / 100.0 }
}

fn rounded(value: Option<f64>) -> String {
    value.map(|value| format!("{value:.0}")).unwrap_or_default()
}

/// The rows for the documentation.
pub(super) fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| `--only ...` | rounds | leaderless p50 ms | max ms | where the database took writes, max ms | the database stopped | beyond the database then, max ms | too late | API answered % | agents offline | overlap | stale effects | lost writes | stuck deploys |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let Cells {
            rounds,
            leaderless_p50_ms,
            leaderless_max_ms,
            undisturbed_max_ms,
            beyond_max_ms,
            late,
            database_stopped,
            api_percent,
            offline,
            overlapping,
            stale,
            lost,
            stuck,
        } = row.cells();
        // Writing to a string does not fail.
        let _written = writeln!(
            text,
            "| `{}` | {rounds} | {leaderless_p50_ms:.0} | {leaderless_max_ms:.0} | {} | {database_stopped} | {} | {late} | \
             {api_percent:.1} | {offline} | {overlapping} | {stale} | {lost} | {stuck} |",
            row.name,
            rounded(undisturbed_max_ms),
            rounded(beyond_max_ms),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(leaderless_ms: f64, at: u64) -> Round {
        let (from, to) = (Duration::from_secs(at), Duration::from_secs(at + 9));
        Round { from, to, leaderless_ms, allowed_ms: 2500.0, answered: 99, failed: 1, ..Round::default() }
    }

    #[test]
    fn a_row_sums_its_rounds() {
        let lost = Round { database_ms: Some(2900.0), ..round(3000.0, 0) };
        let mut row = Row { name: "cut".to_owned(), rounds: vec![lost, round(10.0, 10), round(20.0, 20)] };
        row.blame(&[Duration::from_secs(15), Duration::from_secs(99)]);
        let cells = row.cells();
        assert_eq!((cells.rounds, cells.late, cells.overlapping), (3, 1, 1));
        assert!(
            (cells.leaderless_p50_ms - 20.0).abs() < 0.1 && (cells.leaderless_max_ms - 3000.0).abs() < 0.1
        );
        assert!((cells.api_percent - 99.0).abs() < 0.01);
        assert!(
            table(&[row])
                .ends_with("| `cut` | 3 | 20 | 3000 | 20 | 1 | 100 | 1 | 99.0 | 0 | 1 | 0 | 0 | 0 |\n")
        );
    }

    #[test]
    fn no_call_at_all_is_no_availability() {
        assert!(percent(0, 0) < 0.1 && (percent(1, 1) - 50.0).abs() < 0.1);
    }
}
