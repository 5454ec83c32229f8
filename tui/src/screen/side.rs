//! What stands beside and below the list where there is room: the details of the selected row, and the latest
//! events.

use ratatui::layout::Rect;
use ratatui::widgets::{Block, Borders, Widget};

use super::Canvas;
use super::lines;
use super::text::{behind, put};
use crate::state::State;
use crate::theme::Tone;
use crate::view::View;

/// The details of the selected row.
pub(super) fn details(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    let mut borders = canvas.glyphs.border();
    borders.vertical_left = if canvas.glyphs.ascii { "|" } else { "│" };
    let block = Block::new().borders(Borders::LEFT).border_set(borders).border_style(canvas.theme.border());
    let inside = block.inner(area);
    block.render(area, canvas.buffer);
    let inside = Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside };
    let listing = state.view.listing(state);
    let Some(row) = state.table().row() else { return };
    let lines = lines::lines(&listing.detail(row), inside.width);
    lines::draw(canvas, &lines, 0, inside);
    if lines.len() > usize::from(inside.height) && inside.height > 0 {
        let key = state.preferences.keymap.key(crate::command::Command::Open);
        let last = Rect { y: inside.bottom() - 1, height: 1, ..inside };
        let text = format!("{} {key} shows the rest", canvas.glyphs.more);
        canvas.buffer.set_style(last, ratatui::style::Style::reset());
        put(canvas.buffer, last, &" ".repeat(usize::from(last.width)), ratatui::style::Style::reset(), "");
        put(canvas.buffer, last, &text, canvas.theme.text(Tone::Dim), canvas.glyphs.more);
    }
}

/// The latest events.
pub(super) fn recent(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    let Some(below) = area.height.checked_sub(1) else { return };
    let glyphs = canvas.glyphs;
    let first = Rect { height: 1, ..area };
    put(canvas.buffer, first, &glyphs.rule.repeat(usize::from(area.width)), canvas.theme.border(), "");
    let title = " Latest events ";
    put(canvas.buffer, behind(first, 1), title, canvas.theme.heading(), glyphs.more);
    let items = state.timeline.items();
    let listing = View::Events.listing(state);
    for (y, row) in (0..below).zip(0..items.len()) {
        let line = Rect { y: area.y + 1 + y, height: 1, ..area };
        let mut x = 2;
        for (column, wide) in [(0, 12), (1, 13), (2, 12), (3, u16::MAX)] {
            let cell = listing.cell(row, column);
            let room = behind(line, x);
            let room = Rect { width: room.width.min(wide), ..room };
            put(canvas.buffer, room, &cell.text, canvas.theme.text(cell.tone), glyphs.more);
            x = x.saturating_add(wide).saturating_add(2);
        }
    }
}
