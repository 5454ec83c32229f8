//! The one place where the state changes: an event in, actions out. It reads no clock and touches nothing.

mod commands;
mod link;
mod logs;
mod mouse;
mod overlays;
mod workloads;

use crate::action::Action;
use crate::command::Command;
use crate::event::{Event, Stamped};
use crate::key::Key;
use crate::screen::{layout, text_end};
use crate::state::State;
use crate::state::overlay::Overlay;
use crate::theme::Tone;

pub(crate) use workloads::number;

/// Takes in one event.
pub(crate) fn update(state: &mut State, stamped: Stamped) -> Vec<Action> {
    let Stamped { at, event } = stamped;
    state.now = at;
    let mut actions = match event {
        Event::Tick => Vec::new(),
        Event::Key(key) => press(state, key),
        Event::Paste(text) => {
            overlays::paste(state, &text);
            Vec::new()
        }
        Event::Mouse { column, row, kind } => mouse::mouse(state, column, row, kind),
        Event::Resize { columns, rows } => {
            state.size = (columns, rows);
            Vec::new()
        }
        Event::Link(event) => link::link(state, event),
        Event::Done { what, outcome } => {
            match outcome {
                Ok(said) if said.is_empty() => state.tell(Tone::Good, what),
                Ok(said) => state.tell(Tone::Good, format!("{what}: {said}")),
                Err(error) => {
                    let text = format!("{what}: {error}");
                    state.timeline.note(state.now, Tone::Warn, text.clone());
                    state.refresh_table(crate::view::View::Events);
                    state.tell(Tone::Bad, text);
                }
            }
            Vec::new()
        }
        Event::Replay(replay) => {
            state.replay = Some(replay);
            Vec::new()
        }
    };
    if let Some(Overlay::Failover(failover)) = &mut state.overlay {
        failover.advance(at);
    }
    // A text ends where its last line is at the bottom.
    let end = text_end(state);
    if let Some(Overlay::Help { top } | Overlay::Detail { top }) = &mut state.overlay {
        *top = (*top).min(end);
    }
    // The room for rows depends on the size and on what is open.
    let page = usize::from(layout::of(state).rows.height);
    state.table_mut().fit(page);
    if let Some(Overlay::Logs(logs)) = &mut state.overlay {
        logs.page = layout::log_page(state.size);
    }
    let look = state.look();
    if look != state.asked {
        state.asked.clone_from(&look);
        actions.push(Action::Look(look));
    }
    actions
}

fn press(state: &mut State, key: Key) -> Vec<Action> {
    if let Some(actions) = overlays::press(state, key) {
        return actions;
    }
    if state.replay.is_some()
        && let Some(steer) = commands::steer(key)
    {
        return vec![Action::Replay(steer)];
    }
    if let Some(command) = state.preferences.keymap.command(key) {
        return commands::run(state, command);
    }
    let help = state.preferences.keymap.key(Command::Help);
    state.tell(Tone::Dim, format!("{key} does nothing here; {help} shows all keys"));
    Vec::new()
}

#[cfg(test)]
mod tests;
