//! The first lines: whether all is well, and where one is.

use ratatui::layout::Rect;
use ratatui::style::{Modifier, Style};

use super::Canvas;
use super::text::{behind, put, width};
use crate::state::verdict::OLD_MS;
use crate::state::{Connection, State};
use crate::theme::Tone;
use crate::time;
use crate::view::{VIEWS, View};

/// Whether all is well, and how old that is.
pub(super) fn verdict(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    let verdict = state.verdict();
    let glyphs = canvas.glyphs;
    let sign = match verdict.tone {
        Tone::Bad => glyphs.bad,
        Tone::Warn => glyphs.warn,
        Tone::Note => glyphs.note,
        _ => glyphs.good,
    };
    let age = age(canvas, state);
    let badge = format!(" {sign} {} ", verdict.badge);
    let used = put(canvas.buffer, area, &badge, canvas.theme.badge(verdict.tone), glyphs.more);
    let room = behind(area, used + 1);
    let age_width = width(&age.0) + 1;
    let text_room = Rect { width: room.width.saturating_sub(age_width + 1), ..room };
    let bold = Style::new().add_modifier(Modifier::BOLD);
    put(canvas.buffer, text_room, &verdict.text, bold, glyphs.more);
    if area.width > age_width {
        let style = canvas.theme.text(age.1);
        put(canvas.buffer, behind(area, area.width - age_width), &age.0, style, glyphs.more);
    }
}

/// The age of what is shown. A second is nothing to speak of: it would only flicker.
fn age(canvas: &Canvas<'_>, state: &State) -> (String, Tone) {
    if let Some(replay) = state.replay {
        let way = if replay.playing { "playing" } else { "paused" };
        return (format!("{way} {}/{} x{}", replay.done, replay.total, replay.speed), Tone::Note);
    }
    match (state.age_ms(), &state.connection) {
        (Some(age), Connection::Live { .. }) if age < 2000 => ("live".to_owned(), Tone::Good),
        (Some(age), _) if age > OLD_MS => {
            (format!("{} {} old", canvas.glyphs.old, time::duration(age)), Tone::Bad)
        }
        (Some(age), _) => (format!("{} old", time::duration(age)), Tone::Warn),
        (None, _) => (String::new(), Tone::Dim),
    }
}

/// Columns beside the tabs that the connection needs.
const TARGET: u16 = 16;

/// The label of a tab. Where there is little room, only the open one has a count.
fn label(state: &State, view: View) -> String {
    let key = |view: View| state.preferences.keymap.key(view.command());
    let full = |view: View| match count(state, view) {
        count if count.is_empty() => format!(" {} {} ", key(view), view.title()),
        count => format!(" {} {} {count} ", key(view), view.title()),
    };
    let all: u16 = VIEWS.iter().map(|view| width(&full(*view)) + 1).sum();
    if view == state.view || all + TARGET <= state.size.0 {
        return full(view);
    }
    format!(" {} {} ", key(view), view.title())
}

/// How many rows a view has, as far as that is known.
fn count(state: &State, view: View) -> String {
    match view {
        View::Agents if state.view != View::Agents => state
            .picture
            .as_ref()
            .map(|picture| picture.cluster.agents.connected.to_string())
            .unwrap_or_default(),
        View::Services if !state.workloads.services.is_known() => String::new(),
        View::Services => state.workloads.services.rows().len().to_string(),
        View::Stacks if !state.workloads.stacks.is_known() => String::new(),
        View::Stacks => state.workloads.stacks.rows().len().to_string(),
        _ => view.listing(state).len().to_string(),
    }
}

/// Which tab is at this column.
pub(crate) fn tab_at(state: &State, area: Rect, column: u16) -> Option<View> {
    let mut x = area.x;
    for view in VIEWS {
        let end = x + width(&label(state, view)) + 1;
        if (x..end).contains(&column) {
            return Some(view);
        }
        x = end;
    }
    None
}

/// For when the next try comes, in words.
const LOST_ROOM: u16 = 19;

/// The views, and the connection.
pub(super) fn tabs(canvas: &mut Canvas<'_>, state: &State, area: Rect) {
    let mut used = 0;
    for view in VIEWS {
        let style =
            if view == state.view { canvas.theme.badge(Tone::Accent) } else { canvas.theme.text(Tone::Dim) };
        used += put(canvas.buffer, behind(area, used), &label(state, view), style, canvas.glyphs.more) + 1;
    }
    let target = match &state.connection {
        Connection::Trying { target } => format!("asking {target}"),
        Connection::Live { target } => target.clone(),
        Connection::Lost { retry_at_ms, .. } => match retry_at_ms.saturating_sub(state.now.mono_ms) {
            0 => "trying again".to_owned(),
            ms => format!("next try in {}", time::duration(ms)),
        },
    };
    let lost = matches!(state.connection, Connection::Lost { .. });
    let mut words = vec![state.cluster_name().to_owned()];
    if !target.is_empty() && !target.ends_with(state.cluster_name()) {
        // Where there is little room, what is cut off is at the end.
        words.insert(usize::from(!lost), target);
    }
    if state.preferences.read_only {
        words.push("read-only".to_owned());
    }
    let mut text = words.join(&format!(" {} ", canvas.glyphs.dot));
    let room = behind(area, used + 1);
    let room = Rect { width: room.width.saturating_sub(1), ..room };
    // Where not even the first words fit, when the next try comes matters most.
    if let Connection::Lost { retry_at_ms, .. } = &state.connection
        && room.width < LOST_ROOM
    {
        text = match retry_at_ms.saturating_sub(state.now.mono_ms) {
            0 => "now".to_owned(),
            ms => format!("in {}", time::duration(ms)),
        };
    }
    let start = room.width.saturating_sub(width(&text));
    let tone = if lost { Tone::Bad } else { Tone::Dim };
    put(canvas.buffer, behind(room, start), &text, canvas.theme.text(tone), canvas.glyphs.more);
    let rule = canvas.glyphs.rule.repeat(usize::from(area.width));
    let below = Rect { y: area.y + 1, ..area };
    put(canvas.buffer, below, &rule, canvas.theme.border(), "");
}
