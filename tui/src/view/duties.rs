//! What only the leader does, with the last report of each duty.

use kontena_wire::cluster::{Cloud, CloudState, Duty, DutyState};
use serde_json::Value;

use super::{Cell, Column, Detail, Listing, SortKey, float};
use crate::glyph::Glyphs;
use crate::state::State;
use crate::theme::Tone;
use crate::time;

const NAME: usize = 0;
const STATE: usize = 1;
const LAST: usize = 2;
const NEXT: usize = 3;
const RUNS: usize = 4;
const FAILED: usize = 5;
const REPORT: usize = 6;

const COLUMNS: [Column; 7] = [
    Column::new("DUTY", 15, 0).grow(1),
    Column::new("STATE", 10, 0),
    Column::new("LAST RUN", 10, 2).right(),
    Column::new("NEXT RUN", 9, 3).right(),
    Column::new("RUNS", 7, 4).right(),
    Column::new("FAILED", 7, 1).right(),
    Column::new("LAST REPORT", 16, 0).grow(4),
];

/// The listing.
pub(crate) struct Duties<'a>(pub(crate) &'a State);

/// Whether a duty's last run failed, as its report says.
pub(crate) fn has_failed(duty: &Duty) -> bool {
    duty.last_result.as_deref().is_some_and(|result| result.starts_with("failed"))
}

/// The link to Kontena Cloud, as a line among the duties.
pub(crate) fn cloud(cloud: &Cloud) -> Duty {
    let Cloud { state, why, master, term: _, since, links, events, repeated, gaps, confirmed_at } = cloud;
    let (state, what) = match state {
        CloudState::Off => (DutyState::Off, format!("off: {why}")),
        CloudState::Down => (DutyState::Waiting, format!("down: {why}")),
        CloudState::Connected => (DutyState::Running, format!("linked to {why}")),
    };
    let counts = match (events, repeated, gaps) {
        (0, 0, 0) => String::new(),
        _ => format!(", {events} events told, {repeated} maybe twice, {gaps} gaps"),
    };
    Duty {
        name: "cloud".to_owned(),
        state,
        last_run_at: confirmed_at.clone(),
        last_result: Some(format!("{what}{counts}, since {since}, by {master}")),
        next_run_at: None,
        runs: *links,
        failures: *gaps,
    }
}

fn state_name(state: DutyState) -> &'static str {
    match state {
        DutyState::Off => "off",
        DutyState::Waiting => "waiting",
        DutyState::Running => "running",
    }
}

impl Duties<'_> {
    fn duty(&self, row: usize) -> Option<&Duty> {
        self.0.picture.as_ref()?.cluster.duties.get(row)
    }

    fn ago(&self, at: Option<&str>) -> Option<u64> {
        Some(time::between(time::parse(at?)?, self.0.now.wall_ms).unwrap_or(0))
    }

    fn ahead(&self, at: Option<&str>) -> Option<u64> {
        Some(time::between(self.0.now.wall_ms, time::parse(at?)?).unwrap_or(0))
    }
}

impl Listing for Duties<'_> {
    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn len(&self) -> usize {
        self.0.picture.as_ref().map_or(0, |picture| picture.cluster.duties.len())
    }

    fn id(&self, row: usize) -> String {
        self.duty(row).map(|duty| duty.name.clone()).unwrap_or_default()
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        let Some(duty) = self.duty(row) else { return Cell::default() };
        let glyphs = Glyphs::new(self.0.preferences.ascii);
        let none = || Cell::new(glyphs.none, Tone::Dim);
        let failed = has_failed(duty);
        match column {
            NAME => Cell::new(duty.name.clone(), Tone::Accent),
            STATE => {
                let tone = match duty.state {
                    _ if failed => Tone::Warn,
                    DutyState::Off => Tone::Dim,
                    DutyState::Waiting | DutyState::Running => Tone::Good,
                };
                Cell::new(format!("{} {}", glyphs.duty(duty.state, failed), state_name(duty.state)), tone)
            }
            LAST => self
                .ago(duty.last_run_at.as_deref())
                .map_or_else(none, |ms| Cell::plain(format!("-{}", time::duration(ms)))),
            NEXT => self
                .ahead(duty.next_run_at.as_deref())
                .map_or_else(none, |ms| Cell::plain(format!("+{}", time::duration(ms)))),
            RUNS => Cell::plain(duty.runs.to_string()),
            FAILED if duty.failures == 0 => Cell::new("0", Tone::Dim),
            FAILED => Cell::new(duty.failures.to_string(), Tone::Warn),
            REPORT => duty
                .last_result
                .clone()
                .map_or_else(none, |text| Cell::new(text, if failed { Tone::Warn } else { Tone::Plain })),
            _ => Cell::default(),
        }
    }

    fn sort_key(&self, row: usize, column: usize) -> SortKey<'_> {
        let Some(duty) = self.duty(row) else { return SortKey::Nothing };
        let number =
            |value: Option<u64>| value.map_or(SortKey::Nothing, |value| SortKey::Number(float(value)));
        match column {
            NAME => SortKey::Text(&duty.name),
            STATE => SortKey::Text(state_name(duty.state)),
            LAST => number(self.ago(duty.last_run_at.as_deref())),
            NEXT => number(self.ahead(duty.next_run_at.as_deref())),
            RUNS => number(Some(duty.runs)),
            FAILED => number(Some(duty.failures)),
            REPORT => duty.last_result.as_deref().map_or(SortKey::Nothing, SortKey::Text),
            _ => SortKey::Nothing,
        }
    }

    fn haystack(&self, row: usize, text: &mut String) {
        let Some(duty) = self.duty(row) else { return };
        for part in [&duty.name, state_name(duty.state), duty.last_result.as_deref().unwrap_or_default()] {
            text.push_str(part);
            text.push('\n');
        }
    }

    fn detail(&self, row: usize) -> Vec<Detail> {
        let Some(duty) = self.duty(row) else { return Vec::new() };
        let zone = &self.0.preferences.zone;
        let at = |text: &Option<String>| {
            let text = text.as_deref()?;
            Some(time::parse(text).map_or_else(|| text.to_owned(), |at| zone.full(at)))
        };
        let when = |label, text: &Option<String>, never: &str| {
            Detail::Pair(label, Cell::plain(at(text).unwrap_or_else(|| never.to_owned())))
        };
        let mut lines = vec![
            Detail::Heading(duty.name.clone()),
            Detail::Pair("state", self.cell(row, STATE)),
            when("last run", &duty.last_run_at, "never here"),
            when("next run", &duty.next_run_at, "not planned"),
            Detail::Pair("runs", Cell::plain(duty.runs.to_string())),
            Detail::Pair("failed", self.cell(row, FAILED)),
            Detail::Blank,
            Detail::Heading("Last report".to_owned()),
        ];
        match &duty.last_result {
            Some(report) => {
                lines.extend(report.lines().map(|line| Detail::Text(Cell::plain(line))));
            }
            None => lines.push(Detail::Text(Cell::new("it did not run here yet", Tone::Dim))),
        }
        lines
    }

    fn json(&self, row: usize) -> Value {
        self.duty(row).map_or(Value::Null, |duty| serde_json::to_value(duty).unwrap_or_default())
    }

    fn empty(&self) -> Vec<Cell> {
        vec![Cell::new("No duty is known yet.", Tone::Dim)]
    }

    fn shell(&self) -> String {
        format!("kontena-master status{} --json | jq .duties", self.0.shell_url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Event, Link};
    use crate::sample::{cluster, send, state};

    #[test]
    fn the_link_to_the_cloud_is_a_line() {
        let mut told = cluster();
        let duties = told.duties.len();
        told.cloud = Some(Cloud {
            state: CloudState::Connected,
            why: "wss://socket.kontena.io/platform".to_owned(),
            master: "master-2".to_owned(),
            term: 14,
            since: "2026-11-22T12:00:00.000Z".to_owned(),
            links: 3,
            events: 120,
            repeated: 4,
            gaps: 0,
            confirmed_at: None,
        });
        let mut state = state((120, 40));
        send(&mut state, 0, Event::Link(Link::Picture(Box::new(told))));
        let listing = Duties(&state);
        assert_eq!((listing.len(), listing.id(duties).as_str()), (duties + 1, "cloud"));
        let report = listing.cell(duties, REPORT).text;
        let expected = "linked to wss://socket.kontena.io/platform, 120 events told, 4 maybe twice, 0 gaps";
        assert!(report.starts_with(expected), "{report}");
    }
}
