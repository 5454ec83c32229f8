//! Compares what happened with what the cloud heard of it.

use std::collections::{HashMap, HashSet};

use super::Heard;

/// What became of services that were made one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// The cloud never heard that they were made.
    pub lost: u64,
    /// It heard so first after it had heard of later ones.
    pub reordered: u64,
    /// It heard so once more than it should.
    pub duplicates: u64,
}

impl Account {
    /// Of the services with these names, in the order in which they were made.
    #[must_use]
    pub fn of(made: &[String], events: &[Heard]) -> Self {
        let places: HashMap<&str, usize> =
            made.iter().enumerate().map(|(place, name)| (name.as_str(), place)).collect();
        let mut account = Self::default();
        let mut heard = HashSet::new();
        let mut furthest = 0;
        let created = events.iter().filter(|event| event.kind == "GridService" && event.event == "create");
        for place in created.filter_map(|event| places.get(event.object.get("name")?.as_str()?).copied()) {
            if !heard.insert(place) {
                account.duplicates += 1;
            } else if place < furthest {
                account.reordered += 1;
            }
            furthest = furthest.max(place);
        }
        account.lost = u64::try_from(made.len() - heard.len()).unwrap_or(u64::MAX);
        account
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_late_or_twice_is_counted() {
        let made: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).to_vec();
        let heard = |name: &str| Heard {
            link: 1,
            kind: "GridService".to_owned(),
            event: "create".to_owned(),
            grid: None,
            users: Vec::new(),
            object: serde_json::json!({ "name": name }),
        };
        let events: Vec<Heard> = ["a", "c", "b", "x", "b", "c", "d"].into_iter().map(heard).collect();
        assert_eq!(Account::of(&made, &events), Account { lost: 1, reordered: 1, duplicates: 2 });
        let events: Vec<Heard> = ["a", "b", "c", "b", "c", "d", "e"].into_iter().map(heard).collect();
        assert_eq!(Account::of(&made, &events), Account { lost: 0, reordered: 0, duplicates: 2 });
    }
}
