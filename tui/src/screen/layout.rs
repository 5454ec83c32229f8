//! Where each region is. Pure, so that the mouse and the scrolling count with the same rows as the drawing.

use ratatui::layout::Rect;

use crate::state::State;
use crate::view::View;

/// From this width on, details have room beside the list.
const SIDE_FROM: u16 = 110;
/// From this height on, the latest events have room below the list.
const RECENT_FROM: u16 = 30;

/// Lines that the details of a master take.
const DETAILS: u16 = 26;

/// The regions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Areas {
    pub(crate) verdict: Rect,
    pub(crate) tabs: Rect,
    pub(crate) heading: Rect,
    pub(crate) rows: Rect,
    pub(crate) side: Option<Rect>,
    pub(crate) recent: Option<Rect>,
    pub(crate) footer: Rect,
}

/// The events get a quarter of the body, and what a short list leaves over.
fn recent_height(state: &State, body: u16) -> u16 {
    let rows = u16::try_from(state.view.listing(state).len()).unwrap_or(u16::MAX).saturating_add(2);
    let list = if has_side(state.size) { rows.max(DETAILS) } else { rows };
    (body / 4).max(body.saturating_sub(list)).max(8)
}

/// Whether a screen of this size has room beside the list.
pub(crate) fn has_side(size: (u16, u16)) -> bool {
    size.0 >= SIDE_FROM
}

/// Whether the latest events are shown below the list.
pub(crate) fn has_recent(state: &State) -> bool {
    state.view != View::Events && state.size.1 >= RECENT_FROM
}

/// Where a log lies.
pub(crate) fn log((width, height): (u16, u16)) -> Rect {
    let top = 2.min(height);
    Rect::new(0, top, width, height.saturating_sub(1).max(top) - top)
}

/// How many lines of a log are on the screen: what its frame leaves.
pub(crate) fn log_page(size: (u16, u16)) -> usize {
    usize::from(log(size).height.saturating_sub(2)).max(1)
}

/// The regions of the screen as it stands.
pub(crate) fn of(state: &State) -> Areas {
    let (width, height) = state.size;
    let line = |y: u16| Rect::new(0, y.min(height), width, 1.min(height.saturating_sub(y)));
    let body_top = 4.min(height);
    let body_end = height.saturating_sub(2).max(body_top);
    let recent = has_recent(state);
    let recent_height = if recent { recent_height(state, body_end - body_top) } else { 0 };
    let list_end = body_end.saturating_sub(recent_height).max(body_top);
    let side = (state.detail && has_side(state.size)).then_some(());
    let side_width = if side.is_some() { (width / 3).clamp(40, 72) } else { 0 };
    let list_width = width - side_width.min(width);
    Areas {
        verdict: line(0),
        tabs: line(1),
        heading: Rect { width: list_width, ..line(3) },
        rows: Rect::new(0, body_top, list_width, list_end - body_top),
        side: side.map(|()| Rect::new(list_width, 3, side_width, list_end.saturating_sub(3))),
        recent: recent.then(|| Rect::new(0, list_end, width, body_end - list_end)),
        footer: line(height.saturating_sub(1)),
    }
}
