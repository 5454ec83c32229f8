//! The keys of a log that is followed.

use std::fmt::Write as _;

use tui_input::Input;

use super::overlays::edit;
use crate::action::Action;
use crate::command::Command;
use crate::export::clean;
use crate::key::{Code, Key};
use crate::state::State;
use crate::state::logs::{Line, Logs};
use crate::state::overlay::Overlay;
use crate::theme::Tone;

/// Columns that a step to the side moves.
const ASIDE: usize = 20;

pub(super) fn press(state: &mut State, mut logs: Box<Logs>, key: Key) -> (Option<Overlay>, Vec<Action>) {
    if let Some(input) = logs.typed.take() {
        search(state, &mut logs, input, key);
        return (Some(Overlay::Logs(logs)), Vec::new());
    }
    let page = isize::try_from(logs.page.max(1)).unwrap_or(isize::MAX);
    let command = state.preferences.keymap.command(key);
    match (key.code, command) {
        (Code::Char('n'), _) => again(state, &mut logs, false),
        (Code::Char('N'), _) => again(state, &mut logs, true),
        (Code::Char('p' | ' '), _) => {
            let hold = logs.follows();
            logs.hold(hold);
        }
        (Code::Char('f' | 'F'), _) | (_, Some(Command::Bottom)) => logs.hold(false),
        (_, Some(Command::Down)) => logs.move_by(1),
        (_, Some(Command::Up)) => logs.move_by(-1),
        (_, Some(Command::PageDown)) => logs.move_by(page),
        (_, Some(Command::PageUp)) => logs.move_by(-page),
        (_, Some(Command::Top)) => logs.move_by(isize::MIN),
        (Code::Right | Code::Char('l'), _) => logs.left += ASIDE,
        (Code::Left | Code::Char('h'), _) => logs.left = logs.left.saturating_sub(ASIDE),
        (_, Some(Command::Filter)) => logs.typed = Some(Input::new(logs.search.text().to_owned())),
        (_, Some(Command::CopyRow)) => {
            let text = text(logs.lines.iter().skip(logs.first()).take(logs.page));
            state.tell(Tone::Good, "copied the lines that are shown");
            return (Some(Overlay::Logs(logs)), vec![Action::Copy(text)]);
        }
        (_, Some(Command::CopyView)) => {
            let text = text(logs.lines.iter());
            state.tell(Tone::Good, format!("copied {} lines", logs.lines.len()));
            return (Some(Overlay::Logs(logs)), vec![Action::Copy(text)]);
        }
        (_, Some(Command::Export)) => {
            let name = format!(
                "kontena-{}-{}.log",
                logs.of.to_string().replace('/', "-"),
                state.preferences.zone.stamp(state.now.wall_ms)
            );
            let save = Action::Save { path: name.into(), text: text(logs.lines.iter()) };
            return (Some(Overlay::Logs(logs)), vec![save]);
        }
        // The first escape drops the search.
        (_, Some(Command::Back)) if !logs.search.is_empty() => {
            logs.search.set("", false);
            logs.found = None;
        }
        (_, Some(Command::Back | Command::Quit | Command::Logs)) => return (None, Vec::new()),
        _ => {}
    }
    (Some(Overlay::Logs(logs)), Vec::new())
}

/// Lines for other programs.
fn text<'a>(lines: impl Iterator<Item = &'a Line>) -> String {
    let mut text = String::new();
    for Line { id: _, at, by, error: _, text: written } in lines {
        // Writing to a string does not fail.
        let _written = writeln!(text, "{at} {} {written}", clean(by));
    }
    text
}

/// What is typed is found at once, the last one first, as what went wrong last is mostly what is looked for.
fn search(state: &mut State, logs: &mut Logs, mut input: Input, key: Key) {
    let mut is_regex = logs.search.is_regex;
    match key.code {
        Code::Enter => {
            if !logs.search.is_empty() && logs.found.is_none() {
                state.tell(Tone::Warn, format!("{:?} is in none of these lines", logs.search.text()));
            }
            return;
        }
        Code::Esc => {
            logs.search.set("", false);
            logs.found = None;
            return;
        }
        Code::Char('r') if key.ctrl => is_regex = !is_regex,
        _ => {
            edit(&mut input, key);
        }
    }
    logs.search.set(input.value(), is_regex);
    if !logs.search.is_empty() {
        logs.seek_last();
    }
    logs.typed = Some(input);
}

fn again(state: &mut State, logs: &mut Logs, down: bool) {
    if logs.search.is_empty() {
        let key = state.preferences.keymap.key(Command::Filter);
        state.tell(Tone::Dim, format!("{key} searches"));
    } else if !logs.seek(down) {
        state.tell(Tone::Warn, format!("{:?} is in none of these lines", logs.search.text()));
    }
}
