//! What lies over the view.

use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};

use super::Canvas;
use super::boxes::centered;
use super::lines::{self, Line};
use super::text::{behind, put, width, wrap};
use crate::command::offered;
use crate::state::State;
use crate::state::failover::Failover;
use crate::state::overlay::{Ask, Confirm, Harm, Menu, Overlay};
use crate::theme::Tone;
use crate::view::Detail;

/// Draws the overlay. Returns where text is being typed.
pub(super) fn overlay(canvas: &mut Canvas<'_>, state: &State) -> Option<Position> {
    match state.overlay.as_ref()? {
        Overlay::Filter(_) => None,
        Overlay::Help { top } => {
            let (lines, size) = text_of(state)?;
            let inside = centered(canvas, "Keys", size.0, size.1, Tone::Accent);
            lines::draw(canvas, &lines, *top, inside);
            None
        }
        Overlay::Detail { top } => {
            let (lines, size) = text_of(state)?;
            let inside = centered(canvas, "Details", size.0, size.1, Tone::Accent);
            lines::draw(canvas, &lines, *top, inside);
            None
        }
        Overlay::Menu(menu) => Some(draw_menu(canvas, menu)),
        Overlay::Confirm(confirm) => draw_confirm(canvas, confirm),
        Overlay::Shell { text } => {
            draw_shell(canvas, state, text);
            None
        }
        Overlay::Failover(failover) => {
            draw_failover(canvas, state, failover);
            None
        }
        Overlay::Logs(logs) => super::logs::draw(canvas, state, logs),
    }
}

/// The last line at which the open text can begin.
pub(crate) fn text_end(state: &State) -> usize {
    text_of(state)
        .map_or(0, |(lines, (_, height))| lines.len().saturating_sub(usize::from(height.saturating_sub(2))))
}

/// The text of a box that is read, and the size of the box.
fn text_of(state: &State) -> Option<(Vec<Line>, (u16, u16))> {
    let (columns, rows) = (state.size.0.saturating_sub(2), state.size.1.saturating_sub(2));
    let (details, wanted) = match state.overlay.as_ref()? {
        Overlay::Help { .. } => (help(state), 72),
        Overlay::Detail { .. } => {
            (state.table().row().map(|row| state.view.listing(state).detail(row)).unwrap_or_default(), 100)
        }
        _ => return None,
    };
    let wide = wanted.min(columns);
    let lines = lines::lines(&details, wide.saturating_sub(4));
    let high = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(2).min(rows);
    Some((lines, (wide, high)))
}

/// The help is made from the keys in force.
fn help(state: &State) -> Vec<Detail> {
    let mut details = Vec::new();
    let mut group = "";
    for about in offered(state.demo) {
        if about.group != group {
            if !group.is_empty() {
                details.push(Detail::Blank);
            }
            group = about.group;
            details.push(Detail::Heading(group.to_owned()));
        }
        let keys = state.preferences.keymap.keys(about.command).join("  ");
        details.push(Detail::Keys(keys, about.does));
    }
    details
}

fn draw_menu(canvas: &mut Canvas<'_>, menu: &Menu) -> Position {
    let high = u16::try_from(menu.entries.len()).unwrap_or(u16::MAX).saturating_add(4).clamp(7, 22);
    let inside = centered(canvas, menu.title, 76, high, Tone::Accent);
    let glyphs = canvas.glyphs;
    let first = Rect { height: 1.min(inside.height), ..inside };
    let used = put(canvas.buffer, first, "> ", canvas.theme.text(Tone::Accent), "");
    let field = behind(first, used);
    if menu.input.value().is_empty() {
        put(canvas.buffer, field, "type to find", canvas.theme.text(Tone::Dim), glyphs.more);
    } else {
        put(canvas.buffer, field, menu.input.value(), Style::new(), glyphs.more);
    }
    let list = Rect { y: inside.y + 2, height: inside.height.saturating_sub(2), ..inside };
    let page = usize::from(list.height).max(1);
    let top = (menu.selected + 1).saturating_sub(page);
    for (y, (place, entry)) in (list.y..list.bottom()).zip(
        menu.shown.iter().enumerate().skip(top).filter_map(|(place, i)| Some((place, menu.entries.get(*i)?))),
    ) {
        let line = Rect { y, height: 1, ..list };
        if place == menu.selected {
            canvas.buffer.set_style(line, canvas.theme.selected());
        }
        let sign = if place == menu.selected { glyphs.cursor } else { " " };
        put(canvas.buffer, line, sign, canvas.theme.text(Tone::Accent), "");
        let used = put(canvas.buffer, behind(line, 2), &entry.label, Style::new(), glyphs.more);
        let room = behind(line, used + 4);
        let start = room.width.saturating_sub(width(&entry.hint));
        put(canvas.buffer, behind(room, start), &entry.hint, canvas.theme.text(Tone::Dim), glyphs.more);
    }
    if menu.shown.is_empty() {
        put(canvas.buffer, list, "nothing matches", canvas.theme.text(Tone::Dim), glyphs.more);
    }
    let at = u16::try_from(menu.input.visual_cursor()).unwrap_or(u16::MAX).min(field.width.saturating_sub(1));
    Position::new(field.x + at, field.y)
}

fn draw_confirm(canvas: &mut Canvas<'_>, confirm: &Confirm) -> Option<Position> {
    let (title, what) = match &confirm.harm {
        Harm::StepDown { leader } => (
            "Let another master lead",
            format!(
                "{leader} gives up the lease. Another master takes over within milliseconds; what the leader has under way is tried again by the next one."
            ),
        ),
        Harm::Drain { name, .. } => (
            "Let this master stop serving",
            format!(
                "{name} gives up the lease if it has it, closes its agents' connections in waves, and answers no new requests. The agents come back through the load balancer."
            ),
        ),
        Harm::Operate { title, consequence, operation: _ } => (*title, consequence.clone()),
    };
    let columns = 66.min(canvas.buffer.area.width.saturating_sub(6));
    let (what, shell) = (wrap(&what, columns), wrap(&confirm.shell(), columns));
    let field = usize::from(confirm.ask != Ask::Enter);
    // With a line between the parts, and the frame.
    let high = u16::try_from(what.len() + shell.len() + field + 6).unwrap_or(u16::MAX);
    let inside = centered(canvas, title, 70, high, Tone::Warn);
    let mut y = inside.y;
    let mut line = |canvas: &mut Canvas<'_>, text: &str, style: Style| {
        let room = Rect { y, height: u16::from(y < inside.bottom()), ..inside };
        put(canvas.buffer, room, text, style, canvas.glyphs.more);
        y += 1;
    };
    for text in &what {
        line(canvas, text, Style::new());
    }
    line(canvas, "", Style::new());
    line(canvas, "The same in a shell:", canvas.theme.text(Tone::Dim));
    for text in &shell {
        line(canvas, text, canvas.theme.text(Tone::Note));
    }
    line(canvas, "", Style::new());
    line(canvas, &confirm.prompt(), Style::new().add_modifier(Modifier::BOLD));
    if confirm.ask == Ask::Enter {
        return None;
    }
    let field = Rect { y, height: u16::from(y < inside.bottom()), ..inside };
    let used = put(canvas.buffer, field, "> ", canvas.theme.text(Tone::Accent), "");
    let field = behind(field, used);
    let answered = confirm.is_answered();
    let tone = if answered { Tone::Good } else { Tone::Plain };
    let typed = put(canvas.buffer, field, confirm.input.value(), canvas.theme.text(tone), canvas.glyphs.more);
    if answered {
        let text = format!("{} enter does it", canvas.glyphs.arrow);
        put(
            canvas.buffer,
            behind(field, typed + 2),
            &text,
            canvas.theme.text(Tone::Warn),
            canvas.glyphs.more,
        );
    }
    let at =
        u16::try_from(confirm.input.visual_cursor()).unwrap_or(u16::MAX).min(field.width.saturating_sub(1));
    Some(Position::new(field.x + at, field.y.min(inside.bottom().saturating_sub(1))))
}

fn draw_shell(canvas: &mut Canvas<'_>, state: &State, text: &str) {
    let wide = 90.min(canvas.buffer.area.width.saturating_sub(2));
    let lines = wrap(text, wide.saturating_sub(4));
    let high = u16::try_from(lines.len()).unwrap_or(u16::MAX).saturating_add(4);
    let inside = centered(canvas, "The same in a shell", wide, high, Tone::Accent);
    for (y, line) in (inside.y..inside.bottom()).zip(&lines) {
        let room = Rect { y, height: 1, ..inside };
        put(canvas.buffer, room, line, canvas.theme.text(Tone::Note), canvas.glyphs.more);
    }
    let keys = &state.preferences.keymap;
    let hint = format!(
        "{} copies it, {} closes",
        keys.key(crate::command::Command::CopyRow),
        keys.key(crate::command::Command::Back)
    );
    let last = Rect { y: inside.bottom().saturating_sub(1), height: 1.min(inside.height), ..inside };
    put(canvas.buffer, last, &hint, canvas.theme.text(Tone::Dim), canvas.glyphs.more);
}

/// Each step with its milliseconds; the one that is reached stands out, and what is to come is dim.
fn draw_failover(canvas: &mut Canvas<'_>, state: &State, failover: &Failover) {
    let steps = u16::try_from(failover.steps.len()).unwrap_or(u16::MAX);
    let title = format!("The beginning of term {}", failover.term);
    let inside = centered(canvas, &title, 104, steps.saturating_add(7), Tone::Accent);
    let glyphs = canvas.glyphs;
    let keys = "space plays it at its own pace, arrows step, y copies, esc closes";
    let summary = match failover.leaderless_ms {
        Some(ms) => {
            let most = if failover.exact { "" } else { "at most " };
            format!("{most}{ms} ms from the last sign of the earlier lease until a leader acted")
        }
        None => "how long nobody led is not known: not all of it was seen".to_owned(),
    };
    let line = |y: u16| Rect { y, height: u16::from(y < inside.bottom()), ..inside };
    put(canvas.buffer, line(inside.y), &summary, Style::new().add_modifier(Modifier::BOLD), glyphs.more);
    let list = Rect { y: inside.y + 2, height: inside.height.saturating_sub(5), ..inside };
    let page = usize::from(list.height).max(1);
    let reached = failover.shown.saturating_sub(1);
    let top = (reached + 1).saturating_sub(page);
    let total = failover.steps.last().map_or(1, |step| step.offset_ms.max(1));
    for (y, (index, step)) in (list.y..list.bottom()).zip(failover.steps.iter().enumerate().skip(top)) {
        let room = line(y);
        let to_come = index >= failover.shown;
        let tone = if to_come { Tone::Dim } else { step.tone };
        if index == reached {
            canvas.buffer.set_style(room, canvas.theme.selected());
        }
        let sign = if index == reached { glyphs.cursor } else { " " };
        put(canvas.buffer, room, sign, canvas.theme.text(Tone::Accent), "");
        let offset = format!("+{} ms", step.offset_ms);
        let offset_room = Rect { width: 11.min(room.width.saturating_sub(1)), ..behind(room, 1) };
        let start = offset_room.width.saturating_sub(width(&offset));
        put(canvas.buffer, behind(offset_room, start), &offset, canvas.theme.text(Tone::Dim), "");
        let by = Rect { width: 10.min(room.width.saturating_sub(14)), ..behind(room, 14) };
        put(canvas.buffer, by, &step.by, canvas.theme.text(Tone::Dim), glyphs.more);
        let text = if to_come { "" } else { step.text.as_str() };
        put(canvas.buffer, behind(room, 26), text, canvas.theme.text(tone), glyphs.more);
    }
    let now = failover.steps.get(reached).map_or(0, |step| step.offset_ms);
    let now = failover.playing.map_or(now, |(begun, offset)| offset + state.now.since(begun)).min(total);
    #[expect(clippy::cast_precision_loss, reason = "a share of a few columns")]
    let share = now as f64 / total as f64;
    let bar = glyphs.gauge(share, usize::from(inside.width.saturating_sub(12)));
    let place = line(inside.bottom().saturating_sub(2));
    let used = put(canvas.buffer, place, &bar, canvas.theme.text(Tone::Note), "");
    put(canvas.buffer, behind(place, used + 1), &format!("{now} ms"), Style::new(), glyphs.more);
    let bottom = line(inside.bottom().saturating_sub(1));
    let clocks = format!("{keys} {} times of different hosts are of different clocks", glyphs.dot);
    put(canvas.buffer, bottom, &clocks, canvas.theme.text(Tone::Dim), glyphs.more);
}
