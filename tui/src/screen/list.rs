//! The rows of a view.

use ratatui::layout::Rect;

use super::Canvas;
use super::text::{behind, fit, put, width};
use crate::state::State;
use crate::view::Column;

/// Between two columns.
const GAP: u16 = 2;
/// Before the first column: the sign of the selected row.
const MARGIN: u16 = 2;

/// The columns that have room, with their widths.
fn columns(all: &'static [Column], room: u16) -> Vec<(usize, Column, u16)> {
    let mut kept: Vec<(usize, Column)> = all.iter().copied().enumerate().collect();
    let needed =
        |kept: &[(usize, Column)]| -> u16 { kept.iter().map(|(_, column)| column.width + GAP).sum() };
    let room = room.saturating_sub(MARGIN);
    while needed(&kept) > room + GAP {
        let Some(least) = kept.iter().map(|(_, column)| column.rank).max().filter(|rank| *rank > 0) else {
            break;
        };
        kept.retain(|(_, column)| column.rank != least);
    }
    let spare = (room + GAP).saturating_sub(needed(&kept));
    let shares: u16 = kept.iter().map(|(_, column)| column.grow).sum();
    let width = |column: &Column| column.width + (spare * column.grow).checked_div(shares).unwrap_or(0);
    kept.iter().map(|(index, column)| (*index, *column, width(column))).collect()
}

/// The names of the columns.
pub(super) fn headings(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    let listing = state.view.listing(state);
    let table = state.table();
    let mut x = MARGIN;
    for (index, column, wide) in columns(listing.columns(), area.width) {
        let mut title = column.title.to_owned();
        if table.sort == Some(index) {
            title.push_str(if table.reverse { canvas.glyphs.down } else { canvas.glyphs.up });
        }
        let room = Rect { width: wide.min(area.width.saturating_sub(x)), ..behind(area, x) };
        let start = if column.right { room.width.saturating_sub(width(&title)) } else { 0 };
        put(canvas.buffer, behind(room, start), &title, canvas.theme.heading(), canvas.glyphs.more);
        x += wide + GAP;
    }
}

/// The rows that are on the screen.
pub(super) fn rows(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    let listing = state.view.listing(state);
    let table = state.table();
    if table.order.is_empty() {
        return empty(canvas, state, area);
    }
    let columns = columns(listing.columns(), area.width);
    let visible = table.order.iter().copied().enumerate().skip(table.top);
    for (y, (place, row)) in (area.y..area.bottom()).zip(visible) {
        let line = Rect { y, height: 1, ..area };
        let selected = place == table.selected;
        if selected {
            canvas.buffer.set_style(line, canvas.theme.selected());
            let style = canvas.theme.text(crate::theme::Tone::Accent);
            put(canvas.buffer, line, canvas.glyphs.cursor, style, "");
        }
        let mut x = MARGIN;
        for (index, column, wide) in &columns {
            let cell = listing.cell(row, *index);
            let room = Rect { width: (*wide).min(line.width.saturating_sub(x)), ..behind(line, x) };
            let text = fit(&cell.text, room.width, canvas.glyphs.more);
            let start = if column.right { room.width.saturating_sub(width(&text)) } else { 0 };
            // Only what the tone sets is changed, so that the bar stays behind the text.
            put(canvas.buffer, behind(room, start), &text, canvas.theme.text(cell.tone), "");
            x += wide + GAP;
        }
    }
}

/// What is said instead of rows.
fn empty(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    let listing = state.view.listing(state);
    let table = state.table();
    let lines = if listing.len() > 0 {
        let keys = &state.preferences.keymap;
        vec![
            crate::view::Cell::new(
                format!("None of {} rows matches the filter.", listing.len()),
                crate::theme::Tone::Plain,
            ),
            crate::view::Cell::new(
                format!("{:?}; {} drops it", table.filter.text(), keys.key(crate::command::Command::Back)),
                crate::theme::Tone::Dim,
            ),
        ]
    } else {
        listing.empty()
    };
    let room = behind(area, MARGIN);
    let mut y = area.y + u16::from(area.height > 3);
    for cell in lines {
        for text in super::text::wrap(&cell.text, room.width.saturating_sub(1)) {
            if y < area.bottom() {
                let line = Rect { y, height: 1, ..room };
                put(canvas.buffer, line, &text, canvas.theme.text(cell.tone), canvas.glyphs.more);
            }
            y += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_important_columns_go_first_and_what_is_left_over_is_shared() {
        const ALL: [Column; 3] = [
            Column { title: "A", width: 10, grow: 1, right: false, rank: 0 },
            Column { title: "B", width: 10, grow: 0, right: false, rank: 2 },
            Column { title: "C", width: 10, grow: 0, right: false, rank: 1 },
        ];
        let titles =
            |room| columns(&ALL, room).iter().map(|(_, c, w)| format!("{}{w}", c.title)).collect::<Vec<_>>();
        assert_eq!(titles(40), ["A14", "B10", "C10"]);
        assert_eq!(titles(36), ["A10", "B10", "C10"]);
        assert_eq!(titles(35), ["A21", "C10"]);
        assert_eq!(titles(20), ["A18"]);
        assert_eq!(titles(5), ["A10"]);
    }
}
