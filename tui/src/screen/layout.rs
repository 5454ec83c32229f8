//! Where each region is. Pure, so that the mouse and the scrolling count with the same rows as the drawing.

use ratatui::layout::Rect;

use crate::state::State;
use crate::view::View;

/// From this width on, details have room beside the list.
const SIDE_FROM: u16 = 110;
/// From this height on, the latest events have room below the list.
const RECENT_FROM: u16 = 30;

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

/// Whether a screen of this size has room beside the list.
pub(crate) fn has_side(size: (u16, u16)) -> bool {
    size.0 >= SIDE_FROM
}

/// The regions of the screen as it stands.
pub(crate) fn of(state: &State) -> Areas {
    let (width, height) = state.size;
    let line = |y: u16| Rect::new(0, y.min(height), width, 1.min(height.saturating_sub(y)));
    let body_top = 4.min(height);
    let body_end = height.saturating_sub(2).max(body_top);
    let recent = state.view != View::Events && height >= RECENT_FROM;
    let recent_height = if recent { (height / 4).clamp(8, 20) } else { 0 };
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
