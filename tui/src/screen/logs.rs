//! The log of a service or a stack, over the whole view.

use ratatui::layout::{Position, Rect};
use ratatui::style::Modifier;

use super::Canvas;
use super::boxes::framed;
use super::layout;
use super::text::{behind, put, width};
use crate::command::Command;
use crate::state::State;
use crate::state::logs::{Line, Logs};
use crate::theme::Tone;
use crate::time;

/// Columns that the name of a container takes at most.
const NAME_MAX: u16 = 24;

/// Draws it. Returns where text is being typed.
pub(super) fn draw(canvas: &mut Canvas<'_>, state: &State, logs: &Logs) -> Option<Position> {
    let area = layout::log(state.size).intersection(canvas.buffer.area);
    let how = if logs.follows() {
        "following".to_owned()
    } else if logs.fresh > 0 {
        format!("held, {} new", logs.fresh)
    } else {
        "held".to_owned()
    };
    let dot = canvas.glyphs.dot;
    let title = format!("Log of {} {dot} {} {dot} {how}", logs.of, logs.of.grid());
    let tone = if logs.follows() { Tone::Accent } else { Tone::Note };
    let inside = framed(canvas, &title, area, tone);
    if logs.lines.is_empty() {
        let text = if logs.answered {
            "It has written nothing yet. Lines appear as they come."
        } else {
            "Asking for it."
        };
        put(canvas.buffer, inside, text, canvas.theme.text(Tone::Dim), canvas.glyphs.more);
    }
    let first = logs.first();
    let shown = logs.lines.iter().enumerate().skip(first).take(usize::from(inside.height));
    let names = shown.clone().map(|(_, line)| width(&line.by)).max().unwrap_or(0).min(NAME_MAX);
    for (y, (place, line)) in (inside.y..inside.bottom()).zip(shown) {
        let room = Rect { y, height: 1, ..inside };
        if logs.found == Some(place) {
            canvas.buffer.set_style(room, canvas.theme.selected());
        }
        one(canvas, state, logs, line, names, room);
    }
    let typed = keys(canvas, state, logs);
    place(canvas, logs, first, area);
    typed
}

fn one(canvas: &mut Canvas<'_>, state: &State, logs: &Logs, line: &Line, names: u16, room: Rect) {
    let at = time::parse(&line.at).map(|at| state.preferences.zone.clock(at));
    let more = canvas.glyphs.more;
    let dim = canvas.theme.text(Tone::Dim);
    let mut x = 0;
    // Where there is little room, what was written is what counts.
    if room.width >= 60 {
        put(canvas.buffer, room, at.as_deref().unwrap_or_default(), dim, more);
        x = 13;
    }
    let name = Rect { width: names.min(room.width.saturating_sub(x)), ..behind(room, x) };
    let tone = if line.error { Tone::Warn } else { Tone::Note };
    put(canvas.buffer, name, &line.by, canvas.theme.text(tone), more);
    let text = behind(room, x + names + 2);
    let passed = line.text.char_indices().nth(logs.left).map_or(line.text.len(), |(at, _)| at);
    let rest = line.text.get(passed..).unwrap_or_default();
    put(canvas.buffer, text, rest, ratatui::style::Style::new(), more);
    let found = canvas.theme.badge(Tone::Warn).add_modifier(Modifier::BOLD);
    for (begin, end) in logs.search.matches(&line.text) {
        let Some(begin) = begin.checked_sub(passed) else { continue };
        let Some(end) = end.checked_sub(passed) else { continue };
        let before = width(rest.get(..begin).unwrap_or_default());
        let wide = width(rest.get(begin..end).unwrap_or_default());
        let room = behind(text, before);
        canvas.buffer.set_style(Rect { width: wide.min(room.width), ..room }, found);
    }
}

/// The last line: the search while it is typed, a word, or the keys to know.
fn keys(canvas: &mut Canvas<'_>, state: &State, logs: &Logs) -> Option<Position> {
    let bottom = state.size.1.saturating_sub(1);
    let line = Rect::new(0, bottom, state.size.0, 1).intersection(canvas.buffer.area);
    let style = ratatui::style::Style::reset();
    put(canvas.buffer, line, &" ".repeat(usize::from(line.width)), style, "");
    let room = behind(line, 1);
    let more = canvas.glyphs.more;
    let dim = canvas.theme.text(Tone::Dim);
    if let Some(input) = &logs.typed {
        let kind = if logs.search.is_regex { "regex: " } else { "search: " };
        let used = put(canvas.buffer, room, kind, canvas.theme.text(Tone::Accent), "");
        let field = behind(room, used);
        let tone = if logs.search.fault { Tone::Bad } else { Tone::Plain };
        let typed = put(canvas.buffer, field, input.value(), canvas.theme.text(tone), more);
        let hint = format!("enter keeps it {0} esc drops it {0} ctrl-r: regex", canvas.glyphs.dot);
        put(canvas.buffer, behind(field, typed + 3), &hint, dim, more);
        let at = u16::try_from(input.visual_cursor()).unwrap_or(u16::MAX);
        return Some(Position::new(field.x + at.min(field.width.saturating_sub(1)), field.y));
    }
    if let Some(note) = state.fresh_note() {
        put(canvas.buffer, room, &note.text, canvas.theme.text(note.tone), more);
        return None;
    }
    let keymap = &state.preferences.keymap;
    let hold = if logs.follows() { "hold" } else { "follow" };
    let mut hints = vec![
        ("p".to_owned(), hold),
        (keymap.key(Command::Filter), "search"),
        ("n N".to_owned(), "next, before"),
        (keymap.key(Command::Top), "first"),
        (keymap.key(Command::Bottom), "last"),
        ("h l".to_owned(), "aside"),
        (keymap.key(Command::CopyRow), "copy"),
        (keymap.key(Command::Export), "export"),
    ];
    hints
        .insert(0, (keymap.key(Command::Back), if logs.search.is_empty() { "close" } else { "drop search" }));
    let mut x = 0;
    for (key, word) in hints {
        if x + width(&key) + 1 + width(word) > room.width {
            break;
        }
        x += put(canvas.buffer, behind(room, x), &key, canvas.theme.text(Tone::Accent), "");
        x += 1 + put(canvas.buffer, behind(room, x + 1), word, dim, "") + 2;
    }
    None
}

/// Which lines are shown of how many, in the lower edge.
fn place(canvas: &mut Canvas<'_>, logs: &Logs, first: usize, area: Rect) {
    if logs.lines.is_empty() || area.height < 2 {
        return;
    }
    let last = (first + logs.page).min(logs.lines.len());
    let text = format!(" {}-{last} of {} ", first + 1, logs.lines.len());
    let edge = Rect { y: area.bottom() - 1, height: 1, ..area };
    let start = edge.width.saturating_sub(width(&text) + 2);
    put(canvas.buffer, behind(edge, start), &text, canvas.theme.text(Tone::Dim), "");
}
