//! What happened, in the order of its time, from all sources: the masters' feed, the history of the elections,
//! and what was seen from here.

pub(crate) mod grid;

use std::collections::HashSet;

use kontena_wire::cluster::{MasterState, Reign};
use kontena_wire::events::{Event, Happening, Move, Standing};

use crate::clock::Moment;
use crate::theme::Tone;
use crate::time;

/// How many items are kept.
const KEPT: usize = 2000;

/// Who saw what was seen from here.
pub(crate) const HERE: &str = "here";

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    /// What it is recognised by, so that it is told once however often it comes.
    pub(crate) key: String,
    /// Milliseconds since 1970, by the clock of whoever saw it.
    pub(crate) at_ms: i64,
    pub(crate) by: String,
    pub(crate) kind: &'static str,
    pub(crate) tone: Tone,
    pub(crate) term: Option<u64>,
    pub(crate) text: String,
    pub(crate) more: Vec<String>,
    /// Of an election: what the earlier lease's end was, in milliseconds before.
    pub(crate) gap_ms: Option<u64>,
    /// Whether a leader acts from here on.
    pub(crate) acts: bool,
    /// Of an event of a grid: what others are told together with it.
    group: Option<String>,
    /// How many are told by it.
    count: u64,
}

impl Item {
    pub(crate) fn is_election(&self) -> bool {
        self.kind == "election"
    }

    fn new(key: String, at_ms: i64, by: &str, kind: &'static str, tone: Tone, text: String) -> Self {
        let by = by.to_owned();
        Self {
            key,
            at_ms,
            by,
            kind,
            tone,
            term: None,
            text,
            more: Vec::new(),
            gap_ms: None,
            acts: false,
            group: None,
            count: 1,
        }
    }
}

/// The items, the oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    items: Vec<Item>,
    keys: HashSet<String>,
    /// Counts what has no key of its own.
    unnamed: u64,
    /// Events of the grids that came, and the items they are told by.
    seen: grid::Seen,
    grid_items: usize,
}

impl Timeline {
    pub(crate) fn items(&self) -> &[Item] {
        &self.items
    }

    /// Takes in an event of the feed. Returns whether it was new.
    pub(crate) fn take_in(&mut self, id: Option<&str>, event: &Event) -> bool {
        let at_ms = time::parse(&event.at).unwrap_or_default();
        if let Happening::Election { reign } = &event.what {
            return self.take_in_reign(reign);
        }
        let key = match id {
            // Another place in the feed may carry the same id only for the same event.
            Some(id) => id.to_owned(),
            None => self.unnamed(),
        };
        self.add(describe(&key, at_ms, &event.by, &event.what))
    }

    /// Takes in how a term began. Returns whether it was new.
    pub(crate) fn take_in_reign(&mut self, reign: &Reign) -> bool {
        let at_ms = time::parse(&reign.at).unwrap_or_default();
        let key = format!("term {}", reign.term);
        if self.keys.contains(&key) {
            return false;
        }
        let mut text = format!("{} leads term {}", reign.to.name, reign.term);
        let mut more = Vec::new();
        if let Some(from) = &reign.from {
            let why = match reign.reason.as_deref() {
                Some("released") => "stopped as planned",
                Some("crashed") => "crashed",
                Some("expired") => "fell silent",
                Some("stepped_down") => "stepped down",
                Some("resigned") => "resigned",
                Some(other) => other,
                None => "ended",
            };
            text = format!("{text} after {} {why}", from.name);
            more.push(format!("from {} ({})", from.name, from.id));
        }
        more.push(format!("to {} ({})", reign.to.name, reign.to.id));
        if let Some(gap) = reign.gap_ms {
            text = format!("{text}; {gap} ms without a lease");
        }
        let tone = match reign.reason.as_deref() {
            Some("crashed" | "expired" | "resigned") => Tone::Warn,
            _ => Tone::Note,
        };
        let mut item = Item::new(key, at_ms, "database", "election", tone, text);
        (item.term, item.more, item.gap_ms) = (Some(reign.term), more, reign.gap_ms);
        self.add(item)
    }

    /// Notes what was seen from here.
    pub(crate) fn note(&mut self, now: Moment, tone: Tone, text: String) {
        let key = self.unnamed();
        self.add(Item::new(key, now.wall_ms, HERE, "connection", tone, text));
    }

    /// Notes that a picture shows a leader who acts.
    pub(crate) fn note_acting(&mut self, now: Moment, name: &str, term: u64) {
        let text = format!("the picture shows {name} acting, term {term}");
        let item = Item::new(self.unnamed(), now.wall_ms, HERE, "picture", Tone::Good, text);
        self.add(Item { term: Some(term), acts: true, ..item });
    }

    fn unnamed(&mut self) -> String {
        self.unnamed += 1;
        format!("unnamed {}", self.unnamed)
    }

    fn add(&mut self, item: Item) -> bool {
        if !self.keys.insert(item.key.clone()) {
            return false;
        }
        let place = self.items.partition_point(|known| known.at_ms <= item.at_ms);
        self.items.insert(place, item);
        if self.items.len() > KEPT {
            let dropped = self.items.remove(0);
            self.keys.remove(&dropped.key);
            self.grid_items -= usize::from(dropped.group.is_some());
        }
        true
    }
}

fn describe(key: &str, at_ms: i64, by: &str, what: &Happening) -> Item {
    let item = |kind, tone, text: String| Item::new(key.to_owned(), at_ms, by, kind, tone, text);
    match what {
        // Taken in as reigns, which come from two sources.
        Happening::Election { reign } => item("election", Tone::Note, format!("term {} began", reign.term)),
        Happening::Lease { term, holder: Some(holder) } => Item {
            term: Some(*term),
            ..item("lease", Tone::Note, format!("{} took the lease for term {term}", holder.name))
        },
        Happening::Lease { term, holder: None } => {
            // Before the first term there was nobody to lose.
            let tone = if *term == 0 { Tone::Plain } else { Tone::Warn };
            Item { term: Some(*term), ..item("lease", tone, format!("the lease of term {term} is free")) }
        }
        Happening::Standing { standing, term } => {
            let of = term.map(|term| format!(" of term {term}")).unwrap_or_default();
            let (tone, text) = match standing {
                Standing::Following => (Tone::Plain, "stands by".to_owned()),
                Standing::Elected => (Tone::Note, format!("is elected leader{of}, and raises the fence")),
                Standing::Acting => (Tone::Good, format!("acts as the leader{of}")),
                Standing::Releasing => (Tone::Note, format!("gives back the lease{of}")),
            };
            let acts = *standing == Standing::Acting;
            Item { term: *term, acts, ..item("standing", tone, format!("{by} {text}")) }
        }
        Happening::Master { master, was, is, warnings } => {
            let text = match (was, is) {
                (None, Some(is)) => format!("{} appeared: {}", master.name, is.name()),
                (Some(was), Some(is)) if was == is => format!("{}: other notes", master.name),
                (Some(was), Some(is)) => {
                    format!("{} is {} now, was {}", master.name, is.name(), was.name())
                }
                (_, None) => format!("{} has ended", master.name),
            };
            let tone = match is {
                Some(MasterState::Lost) => Tone::Bad,
                Some(MasterState::Unfit) => Tone::Warn,
                Some(MasterState::Acting) => Tone::Good,
                None => Tone::Note,
                Some(_) if !warnings.is_empty() => Tone::Warn,
                Some(_) => Tone::Plain,
            };
            let mut more = vec![format!("id {}", master.id)];
            more.extend(warnings.iter().cloned());
            Item { more, acts: *is == Some(MasterState::Acting), ..item("master", tone, text) }
        }
        Happening::Duty { name, failed, result } => {
            let tone = if *failed { Tone::Warn } else { Tone::Plain };
            item("duty", tone, format!("{name}: {result}"))
        }
        Happening::Agents { master, came, left, names } => {
            let (tone, text) = moves(&master.name, *came, *left, names);
            let more = names
                .iter()
                .map(|one| format!("{} {}", one.name, if one.came { "connected" } else { "disconnected" }));
            let mut more: Vec<String> = more.collect();
            let others = (came + left).saturating_sub(u64::try_from(names.len()).unwrap_or(0));
            if others > 0 {
                more.push(format!("and {others} more"));
            }
            Item { more, ..item("agents", tone, text) }
        }
        Happening::Database { answers: true, .. } => {
            item("database", Tone::Good, format!("the database answers {by} again"))
        }
        Happening::Database { answers: false, reason } => Item {
            more: reason.iter().cloned().collect(),
            ..item("database", Tone::Bad, format!("the database does not answer {by}"))
        },
        Happening::Missed { count, reason } => {
            // Coming from another master, one cannot know what it saw; losing events on the way is another matter.
            let tone = if count.is_some() { Tone::Warn } else { Tone::Dim };
            let count = count.map(|count| format!("{count} events are missing: ")).unwrap_or_default();
            item("gap", tone, format!("{count}{reason}"))
        }
        Happening::Unknown => {
            item("other", Tone::Dim, "something that this version does not know".to_owned())
        }
    }
}

/// Agents that came to a master and left it within a moment.
fn moves(master: &str, came: u64, left: u64, names: &[Move]) -> (Tone, String) {
    match (came, left, names) {
        (1, 0, [one]) => (Tone::Plain, format!("{} connected to {master}", one.name)),
        (0, 1, [one]) => (Tone::Note, format!("{} disconnected from {master}", one.name)),
        (came, 0, _) => (Tone::Plain, format!("{came} agents connected to {master}")),
        (0, left, _) => (Tone::Note, format!("{left} agents disconnected from {master}")),
        (came, left, _) => {
            (Tone::Note, format!("{came} agents connected to {master}, {left} disconnected from it"))
        }
    }
}

#[cfg(test)]
mod tests {
    use kontena_wire::cluster::Person;

    use super::*;

    fn duty(at: &str, result: &str) -> Event {
        let what = Happening::Duty { name: "d".to_owned(), failed: false, result: result.to_owned() };
        Event { at: at.to_owned(), by: "m".to_owned(), what }
    }

    #[test]
    fn items_stand_in_the_order_of_their_times_and_once() {
        let mut timeline = Timeline::default();
        assert!(timeline.take_in(Some("1.a.2"), &duty("2026-01-01T00:00:02Z", "late")));
        assert!(timeline.take_in(Some("1.a.1"), &duty("2026-01-01T00:00:01Z", "early")));
        assert!(!timeline.take_in(Some("1.a.2"), &duty("2026-01-01T00:00:02Z", "late")));
        let texts: Vec<&str> = timeline.items().iter().map(|item| item.text.as_str()).collect();
        assert_eq!(texts, ["d: early", "d: late"]);
    }

    #[test]
    fn few_agents_are_named_and_many_are_counted() {
        let told = |came, left, named: usize| {
            let names = (0..named).map(|number| Move { name: format!("core-{number}"), came: came > 0 });
            let master = Person { id: "1".to_owned(), name: "master-1".to_owned() };
            let what = Happening::Agents { master, came, left, names: names.collect() };
            let item = describe("", 0, "master-2", &what);
            (item.text, item.more.last().cloned().unwrap_or_default())
        };
        let text = |text: &str, last: &str| (text.to_owned(), last.to_owned());
        assert_eq!(told(1, 0, 1), text("core-0 connected to master-1", "core-0 connected"));
        assert_eq!(told(0, 1, 1), text("core-0 disconnected from master-1", "core-0 disconnected"));
        assert_eq!(told(3000, 0, 8), text("3000 agents connected to master-1", "and 2992 more"));
        let both = told(2, 1, 3).0;
        assert_eq!(both, "2 agents connected to master-1, 1 disconnected from it");
    }

    #[test]
    fn an_election_is_one_item_whichever_way_it_comes() {
        let person = |name: &str| Person { id: name.to_owned(), name: name.to_owned() };
        let reign = Reign {
            term: 7,
            from: Some(person("a")),
            to: person("b"),
            reason: Some("crashed".to_owned()),
            gap_ms: Some(41),
            at: "2026-01-01T00:00:00Z".to_owned(),
        };
        let mut timeline = Timeline::default();
        assert!(timeline.take_in_reign(&reign));
        let what = Happening::Election { reign: reign.clone() };
        let event = Event { at: reign.at.clone(), by: "m".to_owned(), what };
        assert!(!timeline.take_in(Some("7"), &event));
        assert_eq!(timeline.items()[0].text, "b leads term 7 after a crashed; 41 ms without a lease");
    }

    #[test]
    fn the_oldest_are_dropped_and_may_come_again() {
        let mut timeline = Timeline::default();
        for number in 0..=KEPT {
            let at = jiff::Timestamp::from_second(i64::try_from(number).unwrap()).unwrap().to_string();
            timeline.take_in(Some(&number.to_string()), &duty(&at, ""));
        }
        assert_eq!(timeline.items().len(), KEPT);
        assert_eq!(timeline.keys.len(), KEPT);
    }
}
