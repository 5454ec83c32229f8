//! One timeline of everything that was told by the masters and seen from here, the newest first.

use serde_json::{Value, json};

use super::{Cell, Column, Detail, Listing, SortKey, float};
use crate::glyph::Glyphs;
use crate::state::State;
use crate::state::timeline::Item;
use crate::theme::Tone;

const TIME: usize = 0;
const KIND: usize = 1;
const BY: usize = 2;
const TEXT: usize = 3;

const COLUMNS: [Column; 4] = [
    Column::new("TIME", 12, 0),
    Column::new("KIND", 12, 0),
    Column::new("SEEN BY", 12, 1),
    Column::new("WHAT HAPPENED", 30, 0).grow(1),
];

/// The listing.
pub(crate) struct Events<'a>(pub(crate) &'a State);

impl Events<'_> {
    fn item(&self, row: usize) -> Option<&Item> {
        let items = self.0.timeline.items();
        items.get(items.len().checked_sub(row + 1)?)
    }
}

fn sign(tone: Tone, glyphs: &Glyphs) -> &'static str {
    match tone {
        Tone::Bad => glyphs.bad,
        Tone::Warn => glyphs.warn,
        Tone::Note => glyphs.note,
        Tone::Good => glyphs.good,
        Tone::Plain | Tone::Dim | Tone::Accent => glyphs.dot,
    }
}

impl Listing for Events<'_> {
    fn columns(&self) -> &'static [Column] {
        &COLUMNS
    }

    fn len(&self) -> usize {
        self.0.timeline.items().len()
    }

    fn id(&self, row: usize) -> String {
        self.item(row).map(|item| item.key.clone()).unwrap_or_default()
    }

    fn cell(&self, row: usize, column: usize) -> Cell {
        let Some(item) = self.item(row) else { return Cell::default() };
        match column {
            TIME => Cell::new(self.0.preferences.zone.clock(item.at_ms), Tone::Dim),
            KIND => {
                let glyphs = Glyphs::new(self.0.preferences.ascii);
                Cell::new(format!("{} {}", sign(item.tone, &glyphs), item.kind), item.tone)
            }
            BY => Cell::new(item.by.clone(), Tone::Dim),
            TEXT => {
                Cell::new(item.text.clone(), if item.tone == Tone::Bad { Tone::Bad } else { Tone::Plain })
            }
            _ => Cell::default(),
        }
    }

    fn sort_key(&self, row: usize, column: usize) -> SortKey<'_> {
        let Some(item) = self.item(row) else { return SortKey::Nothing };
        match column {
            TIME => SortKey::Number(float(item.at_ms)),
            KIND => SortKey::Text(item.kind),
            BY => SortKey::Text(&item.by),
            TEXT => SortKey::Text(&item.text),
            _ => SortKey::Nothing,
        }
    }

    fn haystack(&self, row: usize, text: &mut String) {
        let Some(item) = self.item(row) else { return };
        for part in [item.kind, &item.by, &item.text] {
            text.push_str(part);
            text.push('\n');
        }
    }

    fn detail(&self, row: usize) -> Vec<Detail> {
        let Some(item) = self.item(row) else { return Vec::new() };
        let mut lines = vec![
            Detail::Heading(item.text.clone()),
            Detail::Pair("kind", self.cell(row, KIND)),
            Detail::Pair("time", Cell::plain(self.0.preferences.zone.full(item.at_ms))),
            Detail::Pair("seen by", Cell::plain(item.by.clone())),
        ];
        if let Some(term) = item.term {
            lines.push(Detail::Pair("term", Cell::plain(term.to_string())));
        }
        if !item.more.is_empty() {
            lines.push(Detail::Blank);
            lines.extend(item.more.iter().map(|text| Detail::Text(Cell::plain(text.clone()))));
        }
        if item.is_election() {
            let key = self.0.preferences.keymap.key(crate::command::Command::Open);
            lines.push(Detail::Blank);
            lines.push(Detail::Text(Cell::new(format!("{key} opens it as a sequence"), Tone::Dim)));
        }
        lines
    }

    fn json(&self, row: usize) -> Value {
        let Some(item) = self.item(row) else { return Value::Null };
        let at =
            jiff::Timestamp::from_millisecond(item.at_ms).map(|at| format!("{at:.3}")).unwrap_or_default();
        json!({
            "at": at,
            "kind": item.kind,
            "by": item.by,
            "term": item.term,
            "text": item.text,
            "more": item.more,
        })
    }

    fn empty(&self) -> Vec<Cell> {
        vec![Cell::new("Nothing has happened yet.", Tone::Dim)]
    }

    fn shell(&self) -> String {
        self.0.shell_curl("/v1/cluster/events")
    }
}
