//! Writing into the buffer: clipped, with a sign where something was cut off.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use unicode_width::UnicodeWidthStr;

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> u16 {
    u16::try_from(text.width()).unwrap_or(u16::MAX)
}

/// Cuts a text to so many columns; `more` stands where something is missing.
pub(crate) fn fit(text: &str, columns: u16, more: &str) -> String {
    if width(text) <= columns {
        return text.to_owned();
    }
    let mut cut = String::new();
    let room = usize::from(columns.saturating_sub(width(more)));
    let mut used = 0;
    for char in text.chars() {
        let next = unicode_width::UnicodeWidthChar::width(char).unwrap_or(0);
        if used + next > room {
            break;
        }
        used += next;
        cut.push(char);
    }
    if columns > 0 {
        cut.push_str(more);
    }
    cut
}

/// Writes into the first line of `area`. Returns how many columns that took.
pub(crate) fn put(buffer: &mut Buffer, area: Rect, text: &str, style: Style, more: &str) -> u16 {
    if area.width == 0 || area.height == 0 {
        return 0;
    }
    let text = fit(text, area.width, more);
    let (end, _) = buffer.set_stringn(area.x, area.y, &text, usize::from(area.width), style);
    end - area.x
}

/// The rest of a line behind so many columns.
pub(crate) fn behind(area: Rect, columns: u16) -> Rect {
    let columns = columns.min(area.width);
    Rect { x: area.x + columns, width: area.width - columns, ..area }
}

/// Breaks a text into lines of so many columns, between words where it can.
pub(crate) fn wrap(text: &str, columns: u16) -> Vec<String> {
    let columns = columns.max(1);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let begun = lines.len();
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let mut word = word;
            loop {
                let space = u16::from(!line.is_empty());
                if width(&line) + space + width(word) <= columns {
                    if space == 1 {
                        line.push(' ');
                    }
                    line.push_str(word);
                    break;
                }
                if !line.is_empty() {
                    lines.push(std::mem::take(&mut line));
                    continue;
                }
                // A word that is wider than the line is broken where the line ends.
                let head = fit(word, columns, "");
                let length = head.len().max(word.chars().next().map_or(1, char::len_utf8));
                lines.push(word[..length].to_owned());
                word = &word[length..];
                if word.is_empty() {
                    break;
                }
            }
        }
        if !line.is_empty() || lines.len() == begun {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_by_columns_and_says_so() {
        assert_eq!(fit("masters", 7, "…"), "masters");
        assert_eq!(fit("masters", 5, "…"), "mast…");
        assert_eq!(fit("日本語", 4, "…"), "日…");
        assert_eq!(fit("masters", 0, "…"), "");
    }

    #[test]
    fn lines_break_between_words_and_within_what_has_none() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("日本語", 1), ["日", "本", "語"]);
        assert_eq!(wrap("a\n\nb", 9), ["a", "", "b"]);
    }
}
