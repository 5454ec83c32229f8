//! A view as text, JSON or CSV: exactly the rows that are shown, in their order, with all columns.

use std::fmt::Write as _;

use serde_json::Value;

use crate::state::table::Table;
use crate::view::Listing;

/// How a view is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    Csv,
}

impl Format {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Json => "JSON",
            Self::Csv => "CSV",
        }
    }

    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Text => "txt",
            Self::Json => "json",
            Self::Csv => "csv",
        }
    }
}

/// Writes the rows of a table.
pub(crate) fn export(format: Format, listing: &dyn Listing, table: &Table) -> String {
    let rows = table.order.iter().copied();
    match format {
        Format::Text => text(listing, rows),
        Format::Json => {
            let rows: Vec<Value> = rows.map(|row| listing.json(row)).collect();
            serde_json::to_string_pretty(&rows).unwrap_or_default() + "\n"
        }
        Format::Csv => csv(listing, rows),
    }
}

/// A plain table whose columns are as wide as they must be.
pub(crate) fn text(listing: &dyn Listing, rows: impl Iterator<Item = usize>) -> String {
    use unicode_width::UnicodeWidthStr;

    let columns = listing.columns();
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|column| column.title.to_owned()).collect()];
    lines.extend(
        rows.map(|row| (0..columns.len()).map(|column| clean(&listing.cell(row, column).text)).collect()),
    );
    let width = |column: usize| {
        lines.iter().filter_map(|line| line.get(column)).map(|text| text.width()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for ((cell, width), column) in line.iter().zip(&widths).zip(columns) {
            let pad = " ".repeat(width.saturating_sub(cell.width()));
            // Writing to a string does not fail.
            let _written =
                if column.right { write!(row, "{pad}{cell}  ") } else { write!(row, "{cell}{pad}  ") };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

fn csv(listing: &dyn Listing, rows: impl Iterator<Item = usize>) -> String {
    let columns = listing.columns();
    let mut text = String::new();
    let line =
        |cells: Vec<String>| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\r\n";
    text.push_str(&line(columns.iter().map(|column| column.title.to_lowercase()).collect()));
    for row in rows {
        text.push_str(&line(
            (0..columns.len()).map(|column| clean(&listing.cell(row, column).text)).collect(),
        ));
    }
    text
}

/// One line, without control characters, which could steer the terminal that shows it.
pub(crate) fn clean(text: &str) -> String {
    text.trim().chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// As RFC 4180 has it. What a spreadsheet would take for a formula is kept from being one.
fn quoted(cell: &str) -> String {
    let formula = cell.starts_with(['=', '+', '@']) || (cell.starts_with('-') && cell.len() > 1);
    let cell = if formula { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_break_out_of_its_field() {
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
        assert_eq!(quoted("-"), "-");
    }

    #[test]
    fn control_characters_do_not_reach_the_terminal() {
        assert_eq!(clean("a\x1b[31mb\nc"), "a [31mb c");
    }
}
