//! Which rows of a view are shown, in which order, and which one is selected. The rows themselves stay where
//! they are; only their numbers are sorted.

use std::cmp::Ordering;

use crate::filter::Filter;
use crate::view::{Listing, SortKey};

/// The state of one view's table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    /// The rows that are shown, in their order.
    pub(crate) order: Vec<usize>,
    /// The place of the selected row in `order`.
    pub(crate) selected: usize,
    /// The first row on the screen.
    pub(crate) top: usize,
    /// Rows on the screen, as the last drawing had them.
    pub(crate) page: usize,
    /// The column that is sorted by. None: as the rows come.
    pub(crate) sort: Option<usize>,
    pub(crate) reverse: bool,
    pub(crate) filter: Filter,
    /// The selected row, by which it is found again when the rows change.
    selected_id: String,
    /// Whether the user has moved; before that the first row stays selected whatever comes.
    moved: bool,
}

impl Table {
    /// Sorted by a column from the start.
    pub(crate) fn sorted(column: usize) -> Self {
        Self { sort: Some(column), ..Self::default() }
    }

    /// Sorts and filters anew, and finds the selected row again.
    pub(crate) fn refresh(&mut self, listing: &dyn Listing) {
        let mut matches = self.filter.matcher();
        let mut text = String::new();
        self.order.clear();
        self.order.extend((0..listing.len()).filter(|row| {
            if self.filter.is_empty() {
                return true;
            }
            text.clear();
            listing.haystack(*row, &mut text);
            matches(&text)
        }));
        if let Some(column) = self.sort {
            let mut keyed: Vec<(SortKey<'_>, usize)> =
                self.order.iter().map(|row| (listing.sort_key(*row, column), *row)).collect();
            keyed.sort_by(|(a, _), (b, _)| compare(a, b, self.reverse));
            self.order.clear();
            self.order.extend(keyed.into_iter().map(|(_, row)| row));
        } else if self.reverse {
            self.order.reverse();
        }
        if self.moved {
            let found = self.order.iter().position(|row| listing.id(*row) == self.selected_id);
            if let Some(found) = found {
                // What is looked at stays where it is on the screen.
                self.top = (self.top + found).saturating_sub(self.selected);
                self.selected = found;
            }
        }
        self.clamp();
        self.remember(listing);
    }

    /// Moves the selection.
    pub(crate) fn move_by(&mut self, by: isize, listing: &dyn Listing) {
        self.moved = true;
        self.selected = self.selected.saturating_add_signed(by);
        self.clamp();
        self.remember(listing);
    }

    /// Selects the row at this place.
    pub(crate) fn select(&mut self, place: usize, listing: &dyn Listing) {
        self.moved = place > 0;
        self.selected = place;
        self.clamp();
        self.remember(listing);
    }

    /// The selected row.
    pub(crate) fn row(&self) -> Option<usize> {
        self.order.get(self.selected).copied()
    }

    /// Sorts by the next column, and after the last one not at all.
    pub(crate) fn sort_next(&mut self, columns: usize) {
        self.sort = match self.sort {
            None => Some(0),
            Some(column) if column + 1 < columns => Some(column + 1),
            Some(_) => None,
        };
    }

    /// Brings the selected row onto a screen of so many rows.
    pub(crate) fn fit(&mut self, page: usize) {
        self.page = page.max(1);
        self.clamp();
    }

    fn clamp(&mut self) {
        self.selected = self.selected.min(self.order.len().saturating_sub(1));
        let page = self.page.max(1);
        let lowest_top = self.order.len().saturating_sub(page);
        self.top = self.top.min(self.selected).max((self.selected + 1).saturating_sub(page)).min(lowest_top);
    }

    fn remember(&mut self, listing: &dyn Listing) {
        self.selected_id = self.row().map(|row| listing.id(row)).unwrap_or_default();
    }
}

/// Rows without a value come last, whichever way round.
fn compare(a: &SortKey<'_>, b: &SortKey<'_>, reverse: bool) -> Ordering {
    let turned = |order: Ordering| if reverse { order.reverse() } else { order };
    match (a, b) {
        (SortKey::Nothing, SortKey::Nothing) => Ordering::Equal,
        (SortKey::Nothing, _) => Ordering::Greater,
        (_, SortKey::Nothing) => Ordering::Less,
        (SortKey::Number(a), SortKey::Number(b)) => turned(a.total_cmp(b)),
        (SortKey::Text(a), SortKey::Text(b)) => turned(natural(a, b)),
        (SortKey::Path(a, c), SortKey::Path(b, d)) => turned(natural(a, b).then_with(|| natural(c, d))),
        // The keys of one column are of one kind.
        _ => Ordering::Equal,
    }
}

/// Compares as people do: `node-9` before `node-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first(), b.first()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (number_a, rest_a) = digits(a);
                let (number_b, rest_b) = digits(b);
                // Of two numbers without leading zeros, the longer one is the greater.
                match number_a.len().cmp(&number_b.len()).then(number_a.cmp(number_b)) {
                    Ordering::Equal => (a, b) = (rest_a, rest_b),
                    order => return order,
                }
            }
            (Some(x), Some(y)) => match x.to_ascii_lowercase().cmp(&y.to_ascii_lowercase()) {
                Ordering::Equal => (a, b) = (&a[1..], &b[1..]),
                order => return order,
            },
            (x, y) => return x.cmp(&y),
        }
    }
}

/// The number at the beginning without leading zeros, and what follows it.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let zeros = number.iter().position(|byte| *byte != b'0').unwrap_or(number.len());
    (&number[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_numbers_sort_as_people_count() {
        let mut names = ["node-10", "node-9", "node-09b", "Node-2", "node", "node-", "node-2a"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["node", "node-", "Node-2", "node-2a", "node-9", "node-09b", "node-10"]);
    }

    #[test]
    fn what_has_no_value_comes_last_both_ways_round() {
        for reverse in [false, true] {
            assert_eq!(compare(&SortKey::Nothing, &SortKey::Number(1.0), reverse), Ordering::Greater);
        }
        assert_eq!(compare(&SortKey::Number(1.0), &SortKey::Number(2.0), true), Ordering::Greater);
    }

    #[test]
    fn the_selected_row_is_always_on_the_screen() {
        let mut table = Table { order: (0..100).collect(), ..Table::default() };
        for (selected, top) in [(0, 0), (9, 0), (10, 1), (99, 90)] {
            table.selected = selected;
            table.top = 0;
            table.fit(10);
            assert_eq!(table.top, top, "{selected}");
        }
        table.order.truncate(5);
        table.fit(10);
        assert_eq!((table.selected, table.top), (4, 0));
    }
}
