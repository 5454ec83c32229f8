//! Colours. None of them carries a meaning that a word or a sign beside it does not carry too.

use ratatui::buffer::Buffer;
use ratatui::style::{Color, Modifier, Style};
use serde::{Deserialize, Serialize};

/// The choices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Palette {
    /// For a dark background.
    #[default]
    Dark,
    /// For a light background.
    Light,
    /// For eyes that miss green.
    Deuteranopia,
    /// For eyes that miss red.
    Protanopia,
    /// For eyes that miss blue.
    Tritanopia,
}

/// All palettes, in the order in which they are switched through.
pub(crate) const PALETTES: [Palette; 5] =
    [Palette::Dark, Palette::Light, Palette::Deuteranopia, Palette::Protanopia, Palette::Tritanopia];

impl Palette {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dark => "dark",
            Self::Light => "light",
            Self::Deuteranopia => "deuteranopia",
            Self::Protanopia => "protanopia",
            Self::Tritanopia => "tritanopia",
        }
    }

    pub(crate) fn next(self) -> Self {
        let place = PALETTES.iter().position(|palette| *palette == self).unwrap_or(0);
        PALETTES.get((place + 1) % PALETTES.len()).copied().unwrap_or_default()
    }
}

/// How much something matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tone {
    /// Text.
    #[default]
    Plain,
    /// Less important than text.
    Dim,
    /// Names and headings.
    Accent,
    /// As it should be.
    Good,
    /// Worth knowing.
    Note,
    /// Worth a look.
    Warn,
    /// Wrong.
    Bad,
}

/// The styles of one palette.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Theme {
    dim: Color,
    accent: Color,
    good: Color,
    note: Color,
    warn: Color,
    bad: Color,
    /// Behind the selected row.
    bar: Color,
    /// Text on a badge.
    ink: Color,
    border: Color,
    /// Without colours, the attributes alone must do.
    mono: bool,
}

impl Theme {
    pub(crate) fn new(palette: Palette, mono: bool) -> Self {
        // Indexed colours: they look the same in every terminal with 256 of them, and survive tmux and screen.
        let [dim, accent, good, note, warn, bad, bar, ink, border] = match palette {
            Palette::Dark => [246, 80, 114, 111, 221, 203, 237, 16, 240],
            Palette::Light => [242, 24, 28, 25, 130, 124, 253, 231, 248],
            Palette::Deuteranopia => [246, 80, 75, 153, 220, 208, 237, 16, 240],
            Palette::Protanopia => [246, 87, 39, 153, 227, 214, 237, 16, 240],
            Palette::Tritanopia => [246, 159, 43, 152, 217, 204, 237, 16, 240],
        }
        .map(Color::Indexed);
        Self { dim, accent, good, note, warn, bad, bar, ink, border, mono }
    }

    /// For text of this tone.
    pub(crate) fn text(&self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Dim => Style::new().fg(self.dim),
            Tone::Accent => Style::new().fg(self.accent).add_modifier(Modifier::BOLD),
            Tone::Good => Style::new().fg(self.good),
            Tone::Note => Style::new().fg(self.note),
            Tone::Warn => Style::new().fg(self.warn).add_modifier(Modifier::BOLD),
            Tone::Bad => Style::new().fg(self.bad).add_modifier(Modifier::BOLD),
        }
    }

    /// For a word on a coloured ground.
    pub(crate) fn badge(&self, tone: Tone) -> Style {
        let ground = match tone {
            Tone::Plain | Tone::Dim => self.dim,
            Tone::Accent => self.accent,
            Tone::Good => self.good,
            Tone::Note => self.note,
            Tone::Warn => self.warn,
            Tone::Bad => self.bad,
        };
        let style = Style::new().fg(self.ink).bg(ground).add_modifier(Modifier::BOLD);
        if self.mono { style.add_modifier(Modifier::REVERSED) } else { style }
    }

    /// Over the selected row.
    pub(crate) fn selected(&self) -> Style {
        if self.mono {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new().bg(self.bar).add_modifier(Modifier::BOLD)
        }
    }

    /// For lines between things.
    pub(crate) fn border(&self) -> Style {
        Style::new().fg(self.border)
    }

    /// For a column's heading.
    pub(crate) fn heading(&self) -> Style {
        Style::new().fg(self.dim).add_modifier(Modifier::BOLD)
    }
}

/// Takes all colours out of a drawn screen and leaves bold and reverse as they are.
pub(crate) fn strip(buffer: &mut Buffer) {
    for cell in &mut buffer.content {
        cell.fg = Color::Reset;
        cell.bg = Color::Reset;
        cell.underline_color = Color::Reset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switching_goes_through_all_palettes() {
        let mut seen = vec![Palette::Dark];
        while seen.len() < PALETTES.len() {
            seen.push(seen[seen.len() - 1].next());
        }
        assert_eq!(seen, PALETTES);
        assert_eq!(seen[4].next(), Palette::Dark);
    }

    #[test]
    fn tones_differ_within_each_palette() {
        for palette in PALETTES {
            let theme = Theme::new(palette, false);
            let tones = [Tone::Good, Tone::Warn, Tone::Bad].map(|tone| theme.text(tone).fg);
            assert!(tones[0] != tones[1] && tones[1] != tones[2] && tones[0] != tones[2], "{palette:?}");
        }
    }
}
