//! Boxes over the view.

use ratatui::layout::Rect;
use ratatui::style::Modifier;
use ratatui::widgets::{Block, Clear, Widget};

use super::Canvas;
use crate::theme::Tone;

/// A box in the middle of the screen, as large as wanted if there is room. Returns what is inside.
pub(super) fn centered(canvas: &mut Canvas<'_>, title: &str, width: u16, height: u16, tone: Tone) -> Rect {
    let screen = canvas.buffer.area;
    let width = width.min(screen.width.saturating_sub(2));
    let height = height.min(screen.height.saturating_sub(2));
    let area = Rect::new((screen.width - width) / 2, (screen.height - height) / 2, width, height)
        .intersection(screen);
    framed(canvas, title, area, tone)
}

/// A box at this place. Returns what is inside.
pub(super) fn framed(canvas: &mut Canvas<'_>, title: &str, area: Rect, tone: Tone) -> Rect {
    Clear.render(area, canvas.buffer);
    let style = canvas.theme.text(tone);
    let block = Block::bordered()
        .border_set(canvas.glyphs.border())
        .border_style(style.remove_modifier(Modifier::BOLD))
        .title(format!(" {title} "))
        .title_style(style.add_modifier(Modifier::BOLD));
    let inside = block.inner(area);
    block.render(area, canvas.buffer);
    Rect { x: inside.x + 1, width: inside.width.saturating_sub(2), ..inside }
}
