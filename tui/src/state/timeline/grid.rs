//! What the users of the grids are told, in the timeline: many of one kind about one thing are one item, and all of
//! them together never push out what happened to the masters.

use std::collections::{HashSet, VecDeque};

use kontena_wire::grid_events::GridEvent;

use super::{Item, Timeline};
use crate::theme::Tone;
use crate::time;

/// How many items of the grids are kept.
const KEPT: usize = 500;
/// How many events are remembered to have come.
const IDS: usize = 2_000;
/// What comes so soon after the first of its kind is told with it, in milliseconds.
const TOGETHER_MS: i64 = 10_000;
/// How many messages an item tells one by one.
const MESSAGES: usize = 20;
/// How many items back are looked for the first of a kind.
const BACK: usize = 200;

/// Which events came already: masters tell the latest again.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    ids: HashSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.to_owned()) {
            return false;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > IDS
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

/// The kinds of items that the grids have.
pub(crate) fn is_of_grid(kind: &str) -> bool {
    matches!(kind, SERVICE | NODE | GRID)
}

const SERVICE: &str = "service";
const NODE: &str = "node";
const GRID: &str = "grid";
/// The kind of what masters tell of deploys.
const DEPLOY: &str = "service:deploy";

impl Timeline {
    /// Takes in events of the grids. Returns whether any was new.
    pub(crate) fn take_in_grid(&mut self, events: &[GridEvent]) -> bool {
        let mut any = false;
        for event in events {
            if self.seen.is_new(&event.id) {
                self.take_in_one(event);
                any = true;
            }
        }
        any
    }

    fn take_in_one(&mut self, event: &GridEvent) {
        let at_ms = time::parse(&event.at).unwrap_or_default();
        let (kind, about) = match (&event.service, &event.node, &event.grid) {
            (Some(service), ..) => (SERVICE, service.replacen("/null/", "/", 1)),
            (None, Some(node), _) => (NODE, node.clone()),
            (None, None, grid) => (GRID, grid.clone().unwrap_or_default()),
        };
        let tone = match event.severity {
            ..=1 => Tone::Plain,
            2 => Tone::Warn,
            _ => Tone::Bad,
        };
        let message = event.message.lines().next().unwrap_or_default();
        // What one who looks for trouble reads must not vanish among what goes well.
        // That a deploy began and that it ended are two things to know.
        let what = if event.kind == DEPLOY { message } else { &event.kind };
        let group = format!("{what} {about} {}", tone as u8);
        let from = self.items.partition_point(|item| item.at_ms < at_ms.saturating_sub(TOGETHER_MS));
        let near = self.items.iter_mut().enumerate().rev().take(BACK).take_while(|(place, _)| *place >= from);
        let same = near.map(|(_, item)| item).find(|item| item.group.as_deref() == Some(&group));
        if let Some(item) = same {
            item.count += 1;
            item.text = if event.kind == DEPLOY {
                format!("{message} ({} times)", item.count)
            } else {
                format!("{about}: {} times {}, last: {message}", item.count, event.kind)
            };
            if item.more.len() < MESSAGES {
                item.more.push(message.to_owned());
            }
            return;
        }
        let by = match (&event.node, &event.service) {
            (Some(node), Some(_)) => node.rsplit('/').next().unwrap_or_default(),
            _ => "masters",
        };
        // Most messages name what they are about.
        let named = event.service.as_ref().is_some_and(|service| message.contains(service.as_str()));
        let text = if named { message.to_owned() } else { format!("{about}: {message}") };
        let item = Item::new(event.id.clone(), at_ms, by, kind, tone, text);
        let more = vec![message.to_owned()];
        self.add(Item { group: Some(group), more, ..item });
        self.grid_items += 1;
        if self.grid_items > KEPT
            && let Some(oldest) = self.items.iter().position(|item| item.group.is_some())
        {
            let dropped = self.items.remove(oldest);
            self.keys.remove(&dropped.key);
            self.grid_items -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: usize, at: &str, severity: i64, service: &str) -> GridEvent {
        GridEvent {
            id: format!("{number:024x}"),
            at: at.to_owned(),
            severity,
            kind: "service:create_instance".to_owned(),
            message: format!("message {number}"),
            grid: Some("main".to_owned()),
            service: Some(format!("main/null/{service}")),
            node: Some("main/core-1".to_owned()),
        }
    }

    #[test]
    fn many_of_one_kind_are_one_item_and_come_once() {
        let mut timeline = Timeline::default();
        let events: Vec<GridEvent> =
            (0..50).map(|number| event(number, "2026-01-01T00:00:01Z", 1, "web")).collect();
        assert!(timeline.take_in_grid(&events));
        assert!(!timeline.take_in_grid(&events), "they come again");
        assert_eq!(timeline.items().len(), 1);
        let item = &timeline.items()[0];
        assert_eq!(item.text, "main/web: 50 times service:create_instance, last: message 49");
        assert_eq!((item.more.len(), item.by.as_str()), (MESSAGES, "core-1"));
        timeline.take_in_grid(&[event(60, "2026-01-01T00:00:02Z", 3, "web")]);
        timeline.take_in_grid(&[event(61, "2026-01-01T00:01:02Z", 1, "web")]);
        assert_eq!(timeline.items().len(), 3, "errors and what comes later stand for themselves");
    }

    #[test]
    fn a_flood_leaves_what_happened_to_the_masters() {
        let mut timeline = Timeline::default();
        let now = crate::sample::at(0);
        timeline.note(now, Tone::Bad, "the masters".to_owned());
        for number in 0..5_000 {
            let at = jiff::Timestamp::from_second(1_900_000_000 + i64::try_from(number).unwrap()).unwrap();
            timeline.take_in_grid(&[event(number, &at.to_string(), 1, &format!("service-{number}"))]);
        }
        assert_eq!(timeline.items().len(), KEPT + 1);
        assert_eq!(timeline.items()[0].text, "the masters");
        assert!(timeline.seen.ids.len() <= IDS && timeline.keys.len() == KEPT + 1);
    }
}
