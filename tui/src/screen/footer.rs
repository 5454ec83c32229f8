//! The last line: the filter while it is typed, a word about what was just done, or the keys to know.

use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

use super::Canvas;
use super::text::{behind, put, width};
use crate::command::Command;
use crate::state::State;
use crate::state::overlay::Overlay;
use crate::theme::Tone;
use crate::view::View;

pub(super) fn footer(canvas: &mut Canvas<'_>, state: &State, area: Rect) -> Option<Position> {
    let table = state.table();
    let total = state.view.listing(state).len();
    let place = if table.order.is_empty() { 0 } else { table.selected + 1 };
    let mut right = format!("{place}/{}", table.order.len());
    if table.order.len() != total {
        right = format!("{right} of {total}");
    }
    let right_width = width(&right) + 1;
    put(
        canvas.buffer,
        behind(area, area.width.saturating_sub(right_width)),
        &right,
        canvas.theme.text(Tone::Dim),
        canvas.glyphs.more,
    );
    let room = Rect { width: area.width.saturating_sub(right_width + 2), ..area };
    let room = Rect { width: room.width.saturating_sub(1), ..behind(room, 1) };
    if let Some(Overlay::Filter(input)) = &state.overlay {
        return Some(filter(canvas, state, room, input));
    }
    if let Some(note) = state.fresh_note() {
        put(canvas.buffer, room, &note.text, canvas.theme.text(note.tone), canvas.glyphs.more);
        return None;
    }
    if !table.filter.is_empty() {
        let kind = if table.filter.is_regex() { "regex" } else { "filter" };
        let back = state.preferences.keymap.key(Command::Back);
        let text = format!("{kind} {:?}  {back} drops it", table.filter.text());
        put(canvas.buffer, room, &text, canvas.theme.text(Tone::Note), canvas.glyphs.more);
        return None;
    }
    hints(canvas, state, room);
    None
}

fn filter(canvas: &mut Canvas<'_>, state: &State, room: Rect, input: &tui_input::Input) -> Position {
    let filter = &state.table().filter;
    let kind = if filter.is_regex() { "regex: " } else { "filter: " };
    let used = put(canvas.buffer, room, kind, canvas.theme.text(Tone::Accent), "");
    let field = behind(room, used);
    let style = if filter.fault.is_some() { canvas.theme.text(Tone::Bad) } else { Style::new() };
    let text = put(canvas.buffer, field, input.value(), style, canvas.glyphs.more);
    let hint = match &filter.fault {
        Some(fault) => fault.clone(),
        None => format!("enter keeps it {0} esc drops it {0} ctrl-r: regex", canvas.glyphs.dot),
    };
    put(canvas.buffer, behind(field, text + 3), &hint, canvas.theme.text(Tone::Dim), canvas.glyphs.more);
    let at = u16::try_from(input.visual_cursor()).unwrap_or(u16::MAX).min(field.width.saturating_sub(1));
    Position::new(field.x + at, field.y)
}

fn hints(canvas: &mut Canvas<'_>, state: &State, room: Rect) {
    let keys = &state.preferences.keymap;
    let mut wanted = Vec::new();
    if state.demo {
        wanted.push((Command::KillLeader, "kills the leader"));
    }
    wanted.push((Command::Help, "help"));
    if matches!(state.view, View::Services | View::Stacks) {
        wanted.push((Command::Logs, "log"));
        if !state.preferences.read_only {
            wanted.extend([
                (Command::Deploy, "deploy"),
                (Command::Scale, "scale"),
                (Command::Restart, "restart"),
                (Command::Stop, "stop"),
            ]);
        }
    }
    wanted.extend([
        (Command::Filter, "filter"),
        (Command::Palette, "commands"),
        (Command::Open, "open"),
        (Command::SortNext, "sort"),
        (Command::Contexts, "connect"),
        (Command::Shell, "shell"),
    ]);
    if !state.preferences.read_only && state.view == View::Masters {
        wanted.push((Command::StepDown, "step down"));
    }
    wanted.push((Command::Export, "export"));
    wanted.push((Command::Quit, "quit"));
    let mut x = 0;
    for (command, word) in wanted {
        let key = keys.key(command);
        let needed = width(&key) + 1 + width(word);
        if key.is_empty() || x + needed > room.width {
            continue;
        }
        x += put(canvas.buffer, behind(room, x), &key, canvas.theme.text(Tone::Accent), "");
        x += 1 + put(canvas.buffer, behind(room, x + 1), word, canvas.theme.text(Tone::Dim), "");
        x += 2;
    }
}
