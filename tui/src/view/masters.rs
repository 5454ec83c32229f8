//! The masters: who leads, who stands by, how each of them is.

use kontena_wire::cluster::{Cluster, Master, MasterState};
use serde_json::Value;

use super::{Cell, Column, Detail, Listing, SortKey, float};
use crate::glyph::Glyphs;
use crate::state::State;
use crate::theme::Tone;
use crate::time;

const NAME: usize = 0;
const STATE: usize = 1;
const TERM: usize = 2;
const LEASE: usize = 3;
const SINCE: usize = 4;
const DATABASE: usize = 5;
const AGENTS: usize = 6;
const SEEN: usize = 7;
const VERSION: usize = 8;
const URL: usize = 9;
const NOTES: usize = 10;

const COLUMNS: [Column; 11] = [
    Column::new("MASTER", 12, 0).grow(2),
    Column::new("STATE", 12, 0),
    Column::new("TERM", 5, 2).right(),
    Column::new("LEASE", 13, 3),
    Column::new("ACTS FOR", 10, 5).right(),
    Column::new("DATABASE", 17, 1),
    Column::new("AGENTS", 6, 4).right(),
    Column::new("SEEN", 7, 6).right(),
    Column::new("VERSION", 8, 7),
    Column::new("URL", 24, 9),
    Column::new("NOTES", 10, 8).grow(3),
];

/// How many samples a sparkline in the table shows.
const SPARK: usize = 8;

/// The listing.
pub(crate) struct Masters<'a>(pub(crate) &'a State);

impl Masters<'_> {
    fn cluster(&self) -> Option<&Cluster> {
        self.0.picture.as_ref().map(|picture| &picture.cluster)
    }

    fn master(&self, row: usize) -> Option<&Master> {
        self.cluster()?.masters.get(row)
    }

    /// The term that this master holds, as far as the picture shows.
    fn term(&self, master: &Master) -> Option<u64> {
        let leader = self.cluster()?.leader.as_ref()?;
        (leader.id == master.id).then_some(leader.term)
    }

    fn acts_for(&self, master: &Master) -> Option<u64> {
        let leader = self.cluster()?.leader.as_ref()?;
        if leader.id != master.id {
            return None;
        }
        time::between(time::parse(&leader.since)?, self.0.now.wall_ms)
    }

    fn rtts(&self, master: &Master) -> impl DoubleEndedIterator<Item = f64> + '_ {
        self.0.round_trips.get(&master.id).into_iter().flatten().copied()
    }
}

fn state_means(state: MasterState) -> &'static str {
    match state {
        MasterState::Acting => "it leads, and its effects are in force",
        MasterState::Elected => "it holds the lease and does not act yet",
        MasterState::Standby => "it would take over",
        MasterState::Ineligible => "its configuration keeps it from leading",
        MasterState::Draining => "it is about to stop",
        MasterState::Unfit => "something is wrong with it: see the notes",
        MasterState::Lost => "it has not been heard of for three heartbeats",
    }
}

fn state_tone(state: MasterState) -> Tone {
    match state {
        MasterState::Acting => Tone::Good,
        MasterState::Standby => Tone::Plain,
        MasterState::Ineligible => Tone::Dim,
        MasterState::Elected | MasterState::Draining => Tone::Note,
        MasterState::Unfit => Tone::Warn,
        MasterState::Lost => Tone::Bad,
    }
}

fn rtt(ms: f64) -> String {
    if ms < 100.0 { format!("{ms:.1} ms") } else { format!("{ms:.0} ms") }
}

impl Listing for Masters<'_> {
    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn len(&self) -> usize {
        self.cluster().map_or(0, |cluster| cluster.masters.len())
    }

    fn id(&self, row: usize) -> String {
        self.master(row).map(|master| master.id.clone()).unwrap_or_default()
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        let Some(master) = self.master(row) else { return Cell::default() };
        let glyphs = Glyphs::new(self.0.preferences.ascii);
        let none = || Cell::new(glyphs.none, Tone::Dim);
        match column {
            NAME => Cell::new(master.name.clone(), Tone::Accent),
            STATE => {
                let text = format!("{} {}", glyphs.master(master.state), master.state.name());
                Cell::new(text, state_tone(master.state))
            }
            TERM => self.term(master).map_or_else(none, |term| Cell::plain(term.to_string())),
            LEASE => match self.term(master).and_then(|_| self.0.lease_left()) {
                Some((left, ttl)) => {
                    let share = float(left) / float(ttl.max(1));
                    let tone = if left == 0 { Tone::Warn } else { Tone::Good };
                    let seconds = float(left) / 1000.0;
                    Cell::new(format!("{} {seconds:.1} s", glyphs.gauge(share, 7)), tone)
                }
                None => none(),
            },
            SINCE => self.acts_for(master).map_or_else(none, |ms| Cell::plain(time::duration(ms))),
            DATABASE => master.mongo_rtt_ms.map_or_else(none, |ms| {
                let tone = if ms > 250.0 { Tone::Warn } else { Tone::Plain };
                Cell::new(format!("{:>8} {}", rtt(ms), glyphs.sparkline(self.rtts(master), SPARK)), tone)
            }),
            AGENTS => Cell::plain(master.agents.to_string()),
            SEEN => master.last_seen_ms.map_or_else(none, |ms| {
                Cell::new(time::duration(ms), if ms > 2500 { Tone::Warn } else { Tone::Dim })
            }),
            VERSION => Cell::new(master.version.clone(), Tone::Dim),
            URL => Cell::new(master.url.clone(), Tone::Dim),
            NOTES => match master.warnings.as_slice() {
                [] => Cell::default(),
                [only] => Cell::new(format!("{} {only}", glyphs.warn), Tone::Warn),
                [first, more @ ..] => {
                    Cell::new(format!("{} {first} (and {} more)", glyphs.warn, more.len()), Tone::Warn)
                }
            },
            _ => Cell::default(),
        }
    }

    fn sort_key(&self, row: usize, column: usize) -> SortKey<'_> {
        let Some(master) = self.master(row) else { return SortKey::Nothing };
        let number =
            |value: Option<u64>| value.map_or(SortKey::Nothing, |value| SortKey::Number(float(value)));
        match column {
            NAME => SortKey::Text(&master.name),
            STATE => SortKey::Text(master.state.name()),
            TERM => number(self.term(master)),
            LEASE => number(self.term(master).and_then(|_| self.0.lease_left()).map(|(left, _)| left)),
            SINCE => number(self.acts_for(master)),
            DATABASE => master.mongo_rtt_ms.map_or(SortKey::Nothing, SortKey::Number),
            AGENTS => number(Some(master.agents)),
            SEEN => number(master.last_seen_ms),
            VERSION => SortKey::Text(&master.version),
            URL => SortKey::Text(&master.url),
            NOTES => number(Some(master.warnings.len() as u64)),
            _ => SortKey::Nothing,
        }
    }

    fn haystack(&self, row: usize, text: &mut String) {
        let Some(master) = self.master(row) else { return };
        for part in [&master.name, master.state.name(), &master.url, &master.version] {
            text.push_str(part);
            text.push('\n');
        }
        for warning in &master.warnings {
            text.push_str(warning);
            text.push('\n');
        }
    }

    fn detail(&self, row: usize) -> Vec<Detail> {
        let Some(master) = self.master(row) else { return Vec::new() };
        let zone = &self.0.preferences.zone;
        let glyphs = Glyphs::new(self.0.preferences.ascii);
        let at = |text: &str| time::parse(text).map_or_else(|| text.to_owned(), |at| zone.full(at));
        let pair = |label, text: String| Detail::Pair(label, Cell::plain(text));
        let mut lines = vec![
            Detail::Heading(master.name.clone()),
            Detail::Pair("state", self.cell(row, STATE)),
            Detail::Text(Cell::new(state_means(master.state), Tone::Dim)),
            Detail::Blank,
        ];
        if let Some(term) = self.term(master) {
            lines.push(pair("term", term.to_string()));
            lines.push(Detail::Pair("lease", self.cell(row, LEASE)));
            if let Some(leader) = self.cluster().and_then(|cluster| cluster.leader.as_ref()) {
                lines.push(pair("acts since", at(&leader.since)));
            }
            lines.push(Detail::Blank);
        }
        lines.push(pair("url", master.url.clone()));
        lines.push(pair("version", master.version.clone()));
        lines.push(pair("started", at(&master.started_at)));
        lines.push(pair("agents", master.agents.to_string()));
        lines.push(Detail::Pair("seen", self.cell(row, SEEN)));
        lines.push(Detail::Pair("id", Cell::new(master.id.clone(), Tone::Dim)));
        lines.push(Detail::Pair("settings", Cell::new(master.fingerprint.clone(), Tone::Dim)));
        lines.push(Detail::Blank);
        lines.push(Detail::Heading("Database round trip".to_owned()));
        let samples: Vec<f64> = self.rtts(master).collect();
        if let Some(last) = master.mongo_rtt_ms {
            lines.push(Detail::Text(Cell::new(glyphs.sparkline(samples.iter().copied(), 48), Tone::Note)));
            let greatest = samples.iter().copied().fold(last, f64::max);
            let least = samples.iter().copied().fold(last, f64::min);
            let text = format!("now {}   least {}   greatest {}", rtt(last), rtt(least), rtt(greatest));
            lines.push(Detail::Text(Cell::plain(text)));
        } else {
            lines.push(Detail::Text(Cell::new("not measured yet", Tone::Dim)));
        }
        lines.push(Detail::Blank);
        lines.push(Detail::Heading("Notes".to_owned()));
        if master.warnings.is_empty() {
            lines.push(Detail::Text(Cell::new("nothing to note", Tone::Dim)));
        }
        for warning in &master.warnings {
            lines.push(Detail::Text(Cell::new(format!("{} {warning}", glyphs.warn), Tone::Warn)));
        }
        lines
    }

    fn json(&self, row: usize) -> Value {
        self.master(row).map_or(Value::Null, |master| serde_json::to_value(master).unwrap_or_default())
    }

    fn empty(&self) -> Vec<Cell> {
        let text = if self.0.picture.is_some() {
            "The asked master knows of no master, not even itself: it has not reached the database yet."
        } else {
            "No master has answered yet."
        };
        vec![Cell::new(text, Tone::Dim)]
    }

    fn shell(&self) -> String {
        format!("kontena-master status{}", self.0.shell_url())
    }
}
