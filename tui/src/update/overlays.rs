//! The keys of what lies over the view.

use tui_input::{Input, InputRequest};

use super::{commands, logs, workloads};
use crate::action::Action;
use crate::command::Command;
use crate::key::{Code, Key};
use crate::state::State;
use crate::state::overlay::{Ask, Harm, Overlay};
use crate::theme::Tone;

/// How much text fits into a field.
const TEXT_MAX: usize = 256;

/// Lets the overlay take the key. None: there is none, or it is no key for it.
pub(super) fn press(state: &mut State, key: Key) -> Option<Vec<Action>> {
    // Ends from everywhere.
    if key.ctrl && key.code == Code::Char('c') {
        return Some(vec![Action::Quit]);
    }
    let overlay = state.overlay.take()?;
    let (kept, actions) = match overlay {
        Overlay::Filter(input) => filter(state, input, key),
        Overlay::Help { top } => (read(state, key, top).map(|top| Overlay::Help { top }), Vec::new()),
        Overlay::Detail { top } => return Some(detail(state, key, top)),
        Overlay::Menu(menu) => menu_key(state, menu, key),
        Overlay::Confirm(confirm) => confirm_key(state, confirm, key),
        Overlay::Shell { text } => shell(state, text, key),
        Overlay::Failover(failover) => failover_key(state, failover, key),
        Overlay::Logs(logs) => logs::press(state, logs, key),
    };
    // Choosing in a menu may have opened something else.
    if kept.is_some() {
        state.overlay = kept;
    }
    Some(actions)
}

/// Takes in pasted text where text is typed.
pub(super) fn paste(state: &mut State, text: &str) {
    for char in text.chars().filter(|char| !char.is_control()) {
        press(state, Key::plain(Code::Char(char)));
        let typing = match &state.overlay {
            Some(Overlay::Filter(_) | Overlay::Menu(_) | Overlay::Confirm(_)) => true,
            Some(Overlay::Logs(logs)) => logs.typed.is_some(),
            _ => false,
        };
        if !typing {
            return;
        }
    }
}

/// Turns the wheel over the overlay.
pub(super) fn scroll(state: &mut State, by: isize) -> Vec<Action> {
    let code = if by < 0 { Code::Up } else { Code::Down };
    (0..by.unsigned_abs()).flat_map(|_| press(state, Key::plain(code)).unwrap_or_default()).collect()
}

/// Edits a line of text. Returns whether the key was for it.
pub(super) fn edit(input: &mut Input, key: Key) -> bool {
    let request = match (key.code, key.ctrl, key.alt) {
        (Code::Char(char), false, false) if input.value().chars().count() < TEXT_MAX => {
            InputRequest::InsertChar(char)
        }
        (Code::Backspace, false, false) | (Code::Char('h'), true, _) => InputRequest::DeletePrevChar,
        (Code::Delete, ..) => InputRequest::DeleteNextChar,
        (Code::Left, false, _) => InputRequest::GoToPrevChar,
        (Code::Right, false, _) => InputRequest::GoToNextChar,
        (Code::Left, true, _) => InputRequest::GoToPrevWord,
        (Code::Right, true, _) => InputRequest::GoToNextWord,
        (Code::Home, ..) | (Code::Char('a'), true, _) => InputRequest::GoToStart,
        (Code::End, ..) | (Code::Char('e'), true, _) => InputRequest::GoToEnd,
        (Code::Char('u'), true, _) => InputRequest::DeleteLine,
        (Code::Char('w'), true, _) | (Code::Backspace, ..) => InputRequest::DeletePrevWord,
        (Code::Char('k'), true, _) => InputRequest::DeleteTillEnd,
        _ => return false,
    };
    input.handle(request);
    true
}

fn filter(state: &mut State, mut input: Input, key: Key) -> (Option<Overlay>, Vec<Action>) {
    let mut regex = state.table().filter.is_regex();
    match key.code {
        Code::Enter => return (None, Vec::new()),
        Code::Esc => {
            state.table_mut().filter.set("", false);
            state.refresh_table(state.view);
            return (None, Vec::new());
        }
        Code::Up => commands::move_by(state, -1),
        Code::Down => commands::move_by(state, 1),
        Code::Char('r') if key.ctrl => regex = !regex,
        _ => {
            edit(&mut input, key);
        }
    }
    state.table_mut().filter.set(input.value(), regex);
    state.refresh_table(state.view);
    (Some(Overlay::Filter(input)), Vec::new())
}

/// Moves through a text. None: closed.
fn read(state: &State, key: Key, top: usize) -> Option<usize> {
    let page = usize::from(state.size.1.saturating_sub(6)).max(1);
    match state.preferences.keymap.command(key) {
        Some(Command::Down) => Some(top + 1),
        Some(Command::Up) => Some(top.saturating_sub(1)),
        Some(Command::PageDown) => Some(top + page),
        Some(Command::PageUp) => Some(top.saturating_sub(page)),
        Some(Command::Top) => Some(0),
        Some(Command::Bottom) => Some(usize::MAX / 2),
        Some(Command::Back | Command::Quit | Command::Help | Command::Open | Command::Detail) => None,
        _ => Some(top),
    }
}

fn detail(state: &mut State, key: Key, top: usize) -> Vec<Action> {
    match state.preferences.keymap.command(key) {
        // The neighbours can be read without closing.
        Some(Command::NextView) => commands::move_by(state, 1),
        Some(Command::PreviousView) => commands::move_by(state, -1),
        Some(
            Command::CopyRow
            | Command::Shell
            | Command::StepDown
            | Command::Drain
            | Command::Logs
            | Command::Deploy
            | Command::Scale
            | Command::Restart
            | Command::Stop
            | Command::Start,
        ) => {
            return state
                .preferences
                .keymap
                .command(key)
                .map(|c| commands::run(state, c))
                .unwrap_or_default();
        }
        _ => {
            state.overlay = read(state, key, top).map(|top| Overlay::Detail { top });
            return Vec::new();
        }
    }
    state.overlay = Some(Overlay::Detail { top: 0 });
    Vec::new()
}

fn menu_key(
    state: &mut State,
    mut menu: crate::state::overlay::Menu,
    key: Key,
) -> (Option<Overlay>, Vec<Action>) {
    let last = menu.shown.len().saturating_sub(1);
    match (key.code, key.ctrl) {
        (Code::Esc, _) => return (None, Vec::new()),
        (Code::Enter, _) => {
            let choice = menu.chosen().map(|entry| entry.choice.clone());
            return (None, choice.map(|choice| commands::choose(state, choice)).unwrap_or_default());
        }
        (Code::Down | Code::Tab, _) | (Code::Char('n' | 'j'), true) => {
            menu.selected = if menu.selected >= last { 0 } else { menu.selected + 1 };
        }
        (Code::Up | Code::BackTab, _) | (Code::Char('p'), true) => {
            menu.selected = if menu.selected == 0 { last } else { menu.selected - 1 };
        }
        (Code::PageDown, _) => menu.selected = (menu.selected + 10).min(last),
        (Code::PageUp, _) => menu.selected = menu.selected.saturating_sub(10),
        _ => {
            if edit(&mut menu.input, key) {
                menu.refresh();
            }
        }
    }
    (Some(Overlay::Menu(menu)), Vec::new())
}

fn confirm_key(
    state: &mut State,
    mut confirm: crate::state::overlay::Confirm,
    key: Key,
) -> (Option<Overlay>, Vec<Action>) {
    match key.code {
        Code::Esc => {
            state.tell(Tone::Dim, "nothing was done");
            (None, Vec::new())
        }
        Code::Enter if confirm.is_answered() => {
            let (text, action) = match confirm.harm {
                Harm::StepDown { leader } => (format!("asking {leader} to step down"), Action::StepDown),
                Harm::Drain { id, name } => (format!("asking {name} to drain"), Action::Drain { id, name }),
                Harm::Operate { operation, .. } => {
                    let text = format!("asking for {}", operation.what);
                    (text, workloads::answered(operation, &confirm.ask, &confirm.input))
                }
            };
            state.tell(Tone::Note, text);
            (None, vec![action])
        }
        Code::Enter => {
            let what = match &confirm.ask {
                Ask::Text(wanted) => format!("type {wanted} first"),
                Ask::Enter | Ask::Number => "type how many instances there shall be".to_owned(),
            };
            state.tell(Tone::Warn, what);
            (Some(Overlay::Confirm(confirm)), Vec::new())
        }
        _ => {
            edit(&mut confirm.input, key);
            (Some(Overlay::Confirm(confirm)), Vec::new())
        }
    }
}

fn shell(state: &mut State, text: String, key: Key) -> (Option<Overlay>, Vec<Action>) {
    match state.preferences.keymap.command(key) {
        Some(Command::CopyRow | Command::CopyView) => {
            state.tell(Tone::Good, "copied the command");
            (None, vec![Action::Copy(text)])
        }
        Some(Command::Back | Command::Quit | Command::Open | Command::Shell) => (None, Vec::new()),
        _ => (Some(Overlay::Shell { text }), Vec::new()),
    }
}

fn failover_key(
    state: &mut State,
    mut failover: crate::state::failover::Failover,
    key: Key,
) -> (Option<Overlay>, Vec<Action>) {
    let command = state.preferences.keymap.command(key);
    match (key.code, command) {
        (Code::Char('n'), _) | (_, Some(Command::Down | Command::NextView)) => failover.step(true),
        (Code::Char('p'), _) | (_, Some(Command::Up | Command::PreviousView)) => failover.step(false),
        (Code::Char(' '), _) | (_, Some(Command::Open)) => failover.toggle(state.now),
        (_, Some(Command::Top)) => {
            failover.playing = None;
            failover.shown = 1;
        }
        (_, Some(Command::Bottom)) => {
            failover.playing = None;
            failover.shown = failover.steps.len();
        }
        (_, Some(Command::CopyRow | Command::CopyView)) => {
            let line = |step: &crate::state::failover::Step| {
                format!("+{:>6} ms  {:12}  {}\n", step.offset_ms, step.by, step.text)
            };
            let text: String = failover.steps.iter().map(line).collect();
            state.tell(Tone::Good, "copied the sequence");
            return (Some(Overlay::Failover(failover)), vec![Action::Copy(text)]);
        }
        (_, Some(Command::Back | Command::Quit)) => return (None, Vec::new()),
        _ => {}
    }
    (Some(Overlay::Failover(failover)), Vec::new())
}
