//! Signs: one set with the beauty of Unicode, one for terminals and eyes that want plain characters.

use kontena_wire::cluster::{DutyState, MasterState};
use ratatui::buffer::Buffer;
use ratatui::symbols::border;

use crate::state::workloads::Condition;

/// A set of signs, each one column wide but those of a tree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Glyphs {
    pub(crate) ascii: bool,
    pub(crate) good: &'static str,
    pub(crate) note: &'static str,
    pub(crate) warn: &'static str,
    pub(crate) bad: &'static str,
    pub(crate) old: &'static str,
    pub(crate) cursor: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
    pub(crate) rule: &'static str,
    pub(crate) dot: &'static str,
    pub(crate) none: &'static str,
    pub(crate) full: &'static str,
    pub(crate) empty: &'static str,
    pub(crate) arrow: &'static str,
    pub(crate) more: &'static str,
    /// Of what rests.
    pub(crate) idle: &'static str,
    /// Before what stands below something, and before the last of it.
    pub(crate) branch: &'static str,
    pub(crate) last: &'static str,
    pub(crate) bars: [&'static str; 8],
}

const UNICODE: Glyphs = Glyphs {
    ascii: false,
    good: "●",
    note: "◆",
    warn: "▲",
    bad: "✖",
    old: "◌",
    cursor: "▌",
    up: "▴",
    down: "▾",
    rule: "─",
    dot: "·",
    none: "–",
    full: "▰",
    empty: "▱",
    arrow: "→",
    more: "…",
    idle: "○",
    branch: "├",
    last: "└",
    bars: ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
};

const ASCII: Glyphs = Glyphs {
    ascii: true,
    good: "*",
    note: "+",
    warn: "!",
    bad: "X",
    old: "?",
    cursor: ">",
    up: "^",
    down: "v",
    rule: "-",
    dot: "|",
    none: "-",
    full: "#",
    empty: ".",
    arrow: ">",
    more: "~",
    idle: "o",
    branch: "|-",
    last: "`-",
    bars: ["_", ".", ":", "-", "=", "+", "*", "#"],
};

const ASCII_BORDER: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

impl Glyphs {
    pub(crate) fn new(ascii: bool) -> Self {
        if ascii { ASCII } else { UNICODE }
    }

    /// Around boxes.
    pub(crate) fn border(&self) -> border::Set<'static> {
        if self.ascii { ASCII_BORDER } else { border::ROUNDED }
    }

    /// Of a master.
    pub(crate) fn master(&self, state: MasterState) -> &'static str {
        let (unicode, ascii) = match state {
            MasterState::Acting => ("●", "*"),
            MasterState::Elected => ("◐", "+"),
            MasterState::Standby => ("○", "o"),
            MasterState::Ineligible => ("◇", "-"),
            MasterState::Draining => ("▽", "v"),
            MasterState::Unfit => ("▲", "!"),
            MasterState::Lost => ("✖", "X"),
        };
        if self.ascii { ascii } else { unicode }
    }

    /// Of a service or a stack.
    pub(crate) fn condition(&self, condition: Condition) -> &'static str {
        let (unicode, ascii) = match condition {
            Condition::DeployFailed => ("✖", "X"),
            Condition::Failing | Condition::Short => ("▲", "!"),
            Condition::Deploying => ("◐", "+"),
            Condition::Waiting => ("◌", "?"),
            Condition::Running => ("●", "*"),
            Condition::New => ("◇", "-"),
            Condition::Stopped => ("○", "o"),
        };
        if self.ascii { ascii } else { unicode }
    }

    /// Of a duty.
    pub(crate) fn duty(&self, state: DutyState, failed: bool) -> &'static str {
        let (unicode, ascii) = match state {
            _ if failed => ("▲", "!"),
            DutyState::Running => ("◐", "+"),
            DutyState::Waiting => ("●", "*"),
            DutyState::Off => ("○", "o"),
        };
        if self.ascii { ascii } else { unicode }
    }

    /// The samples as one character each, the greatest as the highest.
    pub(crate) fn sparkline(&self, samples: impl DoubleEndedIterator<Item = f64>, width: usize) -> String {
        let latest: Vec<f64> = samples.rev().take(width).collect();
        let greatest = latest.iter().copied().fold(0.0_f64, f64::max);
        let step = |sample: f64| {
            if greatest <= 0.0 {
                return 0;
            }
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 7")]
            let step = (sample.max(0.0) / greatest * 7.0).round() as usize;
            step.min(7)
        };
        latest.iter().rev().filter_map(|sample| self.bars.get(step(*sample)).copied()).collect()
    }

    /// A bar of `width` that is filled by `share`, from 0 to 1.
    pub(crate) fn gauge(&self, share: f64, width: usize) -> String {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a few columns"
        )]
        let filled = ((share.clamp(0.0, 1.0) * width as f64).round() as usize).min(width);
        self.full.repeat(filled) + &self.empty.repeat(width - filled)
    }
}

/// Replaces whatever is not a plain character on a drawn screen; names may hold anything.
pub(crate) fn to_ascii(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        if !cell.symbol().is_ascii() {
            let plain = match cell.symbol() {
                "–" | "—" | "─" => "-",
                "…" => "~",
                "·" | "│" => "|",
                "→" => ">",
                _ => "?",
            };
            cell.set_symbol(plain);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparkline_shows_the_latest_samples_and_the_greatest_as_the_highest() {
        let glyphs = Glyphs::new(false);
        assert_eq!(glyphs.sparkline([9.0, 0.0, 1.0, 2.0].into_iter(), 3), "▁▅█");
        assert_eq!(glyphs.sparkline([0.0, 0.0].into_iter(), 5), "▁▁");
        assert_eq!(glyphs.sparkline(std::iter::empty(), 5), "");
    }

    #[test]
    fn a_gauge_is_as_wide_as_asked_whatever_the_share() {
        for share in [-1.0, 0.0, 0.5, 1.0, 7.0, f64::NAN] {
            assert_eq!(Glyphs::new(true).gauge(share, 8).len(), 8);
        }
    }
}
