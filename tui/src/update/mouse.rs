//! The mouse, for those who want it.

use ratatui::layout::Position;

use crate::action::Action;
use crate::event::Mouse;
use crate::screen::{header, layout};
use crate::state::State;
use crate::state::overlay::Overlay;

use super::{commands, overlays};

/// Rows that a turn of the wheel moves.
const WHEEL: isize = 3;

pub(super) fn mouse(state: &mut State, column: u16, row: u16, kind: Mouse) -> Vec<Action> {
    if state.overlay.as_ref().is_some_and(|overlay| !matches!(overlay, Overlay::Filter(_))) {
        return match kind {
            Mouse::Click => Vec::new(),
            Mouse::Up => overlays::scroll(state, -WHEEL),
            Mouse::Down => overlays::scroll(state, WHEEL),
        };
    }
    match kind {
        Mouse::Up => commands::move_by(state, -WHEEL),
        Mouse::Down => commands::move_by(state, WHEEL),
        Mouse::Click => {
            let areas = layout::of(state);
            let at = Position::new(column, row);
            if areas.rows.contains(at) {
                let place = state.table().top + usize::from(row - areas.rows.y);
                commands::select(state, place);
            } else if areas.tabs.contains(at)
                && let Some(view) = header::tab_at(state, areas.tabs, column)
            {
                return commands::run(state, view.command());
            }
        }
    }
    Vec::new()
}
