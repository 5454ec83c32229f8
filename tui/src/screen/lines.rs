//! Details as lines of text for a given width.

use ratatui::layout::Rect;

use super::Canvas;
use super::text::{behind, put, wrap};
use crate::theme::Tone;
use crate::view::{Cell, Detail};

/// The column at which values begin.
const VALUE: u16 = 12;

/// The column at which what is said of an item begins.
const ITEM: u16 = 5;

/// The column at which the meaning of a key begins.
const MEANING: u16 = 26;

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Line {
    label: String,
    /// The column at which the cell begins.
    at: u16,
    cell: Cell,
}

/// Breaks details into lines of so many columns.
pub(super) fn lines(details: &[Detail], columns: u16) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut add = |label: &str, at: u16, text: &str, tone: Tone| {
        for (index, text) in wrap(text, columns.saturating_sub(at)).into_iter().enumerate() {
            let label = if index == 0 { label.to_owned() } else { String::new() };
            lines.push(Line { label, at, cell: Cell::new(text, tone) });
        }
    };
    for detail in details {
        match detail {
            Detail::Heading(text) => add("", 0, text, Tone::Accent),
            Detail::Pair(label, cell) => add(label, VALUE, &cell.text, cell.tone),
            Detail::Item(label, cell) => add(label, ITEM, &cell.text, cell.tone),
            Detail::Keys(keys, meaning) => add(keys, MEANING.min(columns / 2), meaning, Tone::Plain),
            Detail::Text(cell) => add("", 0, &cell.text, cell.tone),
            Detail::Blank => add("", 0, "\n", Tone::Plain),
        }
    }
    lines
}

/// Draws lines from `top` on.
pub(super) fn draw(canvas: &mut Canvas<'_>, lines: &[Line], top: usize, area: Rect) {
    for (y, line) in (area.y..area.bottom()).zip(lines.iter().skip(top)) {
        let room = Rect { y, height: 1, ..area };
        put(canvas.buffer, room, &line.label, canvas.theme.text(Tone::Dim), canvas.glyphs.more);
        let room = behind(room, line.at);
        put(canvas.buffer, room, &line.cell.text, canvas.theme.text(line.cell.tone), canvas.glyphs.more);
    }
}
