//! The screen, drawn from the state by reference. One file per region; none of them decides anything.

mod boxes;
mod footer;
pub(crate) mod header;
pub(crate) mod layout;
mod lines;
mod list;
mod logs;
mod overlays;
mod side;
mod text;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use crate::glyph::{Glyphs, to_ascii};
use crate::state::State;
use crate::theme::{Theme, strip};

pub(crate) use overlays::text_end;

/// The least that anything can be drawn on.
const LEAST: (u16, u16) = (40, 8);

/// What drawing needs everywhere.
pub(crate) struct Canvas<'a> {
    pub(crate) buffer: &'a mut Buffer,
    pub(crate) theme: Theme,
    pub(crate) glyphs: Glyphs,
}

/// Draws everything. Returns where text is being typed.
pub(crate) fn draw(state: &State, buffer: &mut Buffer) -> Option<Position> {
    let area = buffer.area;
    let preferences = &state.preferences;
    let mut canvas = Canvas {
        buffer,
        theme: Theme::new(preferences.palette, preferences.no_color),
        glyphs: Glyphs::new(preferences.ascii),
    };
    let cursor = if area.width < LEAST.0 || area.height < LEAST.1 {
        too_small(&mut canvas, area);
        None
    } else {
        whole(&mut canvas, state)
    };
    if preferences.ascii {
        to_ascii(buffer);
    }
    if preferences.no_color {
        strip(buffer);
    }
    cursor
}

fn whole(canvas: &mut Canvas<'_>, state: &State) -> Option<Position> {
    let areas = layout::of(state);
    header::verdict(canvas, state, areas.verdict);
    header::tabs(canvas, state, areas.tabs);
    list::headings(canvas, state, areas.heading);
    list::rows(canvas, state, areas.rows);
    if let Some(side) = areas.side {
        side::details(canvas, state, side);
    }
    if let Some(recent) = areas.recent {
        side::recent(canvas, state, recent);
    }
    let typed = footer::footer(canvas, state, areas.footer);
    overlays::overlay(canvas, state).or(typed)
}

fn too_small(canvas: &mut Canvas<'_>, area: Rect) {
    let text = format!("at least {} x {}", LEAST.0, LEAST.1);
    text::put(canvas.buffer, area, &text, ratatui::style::Style::new(), "~");
}

#[cfg(test)]
mod tests;
