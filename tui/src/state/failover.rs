//! A failover as a sequence: what happened around the beginning of a term, with the milliseconds from its first
//! sign, to be gone through step by step.

use crate::clock::Moment;
use crate::state::timeline::grid::is_of_grid;
use crate::state::timeline::{Item, Timeline};
use crate::theme::Tone;

/// How long before the earlier lease's end the sequence begins.
const BEFORE_MS: i64 = 1_500;
/// How long after the election it ends, if no leader acts before.
const AFTER_MS: i64 = 10_000;
/// How long after a leader acts it ends.
const SETTLE_MS: i64 = 1_500;

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Step {
    /// Since the first step.
    pub(crate) offset_ms: u64,
    pub(crate) at_ms: i64,
    pub(crate) by: String,
    pub(crate) tone: Tone,
    pub(crate) text: String,
}

/// A sequence that is looked at.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failover {
    pub(crate) term: u64,
    pub(crate) steps: Vec<Step>,
    /// How many of the steps are shown.
    pub(crate) shown: usize,
    /// When the playing began, and at which offset.
    pub(crate) playing: Option<(Moment, u64)>,
    /// Milliseconds from the end of the earlier lease until a leader acted, where both were seen.
    pub(crate) leaderless_ms: Option<u64>,
    /// Whether the leader itself told when it acted. Others see it later.
    pub(crate) exact: bool,
}

impl Failover {
    /// The sequence around the beginning of `term`.
    pub(crate) fn of(timeline: &Timeline, term: u64) -> Option<Self> {
        let items = timeline.items();
        let election = items.iter().find(|item| item.is_election() && item.term == Some(term))?;
        let gap = election.gap_ms.and_then(|gap| i64::try_from(gap).ok()).unwrap_or(0);
        let ended_at = election.at_ms - gap;
        // What the leader tells of itself goes before what others saw of it.
        let acts = items
            .iter()
            .filter(|item| item.acts && item.at_ms >= election.at_ms)
            .filter(|item| item.term.is_none_or(|of| of == term))
            .min_by_key(|item| (item.kind != "standing", item.at_ms));
        let exact = acts.is_some_and(|item| item.kind == "standing");
        let acts_at = acts.map(|item| item.at_ms);
        let next = items.iter().find(|item| item.is_election() && item.term > Some(term));
        let end = acts_at.map_or(election.at_ms + AFTER_MS, |at| at + SETTLE_MS);
        let end = next.map_or(end, |next| end.min(next.at_ms - 1));
        let range = ended_at - BEFORE_MS..=end;
        let wanted = |item: &&Item| {
            let other = item.is_election() && item.term != Some(term);
            // What the duties say is no part of it, unless they fail; nor is what was well before it.
            let routine = item.kind == "gap" || (item.kind == "duty" && item.tone == Tone::Plain);
            let routine = routine || is_of_grid(item.kind);
            let before = item.at_ms < ended_at && item.tone < Tone::Warn;
            range.contains(&item.at_ms) && !other && !routine && !before
        };
        let mut found: Vec<Step> = items.iter().filter(wanted).map(step).collect();
        if election.gap_ms.is_some() {
            found.push(Step {
                offset_ms: 0,
                at_ms: ended_at,
                by: "database".to_owned(),
                tone: Tone::Bad,
                text: format!("the last sign of life of term {}'s lease", term.saturating_sub(1)),
            });
        }
        // The election's own row was written by the leader later; its time is that of the taking.
        found.sort_by_key(|step| step.at_ms);
        let begun = found.first()?.at_ms;
        for step in &mut found {
            step.offset_ms = u64::try_from(step.at_ms - begun).unwrap_or(0);
        }
        let leaderless_ms = election.gap_ms.and(acts_at).and_then(|at| u64::try_from(at - ended_at).ok());
        let shown = found.len();
        Some(Self { term, steps: found, shown, playing: None, leaderless_ms, exact })
    }

    /// Shows one step more or less, and stops playing.
    pub(crate) fn step(&mut self, forward: bool) {
        self.playing = None;
        self.shown = if forward {
            (self.shown + 1).min(self.steps.len())
        } else {
            self.shown.saturating_sub(1).max(1)
        };
    }

    /// Plays from where it stands, or from the beginning if it stands at the end; or stops.
    pub(crate) fn toggle(&mut self, now: Moment) {
        if self.playing.take().is_some() {
            return;
        }
        if self.shown >= self.steps.len() {
            self.shown = 1;
        }
        let offset =
            self.shown.checked_sub(1).and_then(|last| self.steps.get(last)).map_or(0, |s| s.offset_ms);
        self.playing = Some((now, offset));
    }

    /// Lets the time pass while it plays. Returns whether it still does.
    pub(crate) fn advance(&mut self, now: Moment) -> bool {
        let Some((begun, offset)) = self.playing else { return false };
        let reached = offset + now.since(begun);
        self.shown = self.steps.iter().filter(|step| step.offset_ms <= reached).count().max(1);
        if self.shown == self.steps.len() {
            self.playing = None;
        }
        self.playing.is_some()
    }
}

fn step(item: &Item) -> Step {
    let text = if item.is_election() { format!("recorded: {}", item.text) } else { item.text.clone() };
    Step { offset_ms: 0, at_ms: item.at_ms, by: item.by.clone(), tone: item.tone, text }
}

#[cfg(test)]
mod tests {
    use kontena_wire::cluster::{Person, Reign};
    use kontena_wire::events::{Event, Happening, Standing};

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment { wall_ms: 0, mono_ms: ms }
    }

    fn timeline() -> Timeline {
        let person = |name: &str| Person { id: name.to_owned(), name: name.to_owned() };
        let mut timeline = Timeline::default();
        let reign = |term, at: &str, gap_ms| Reign {
            term,
            from: Some(person("a")),
            to: person("b"),
            reason: Some("crashed".to_owned()),
            gap_ms: Some(gap_ms),
            at: at.to_owned(),
        };
        timeline.take_in_reign(&reign(6, "2026-01-01T00:00:00Z", 5));
        timeline.take_in_reign(&reign(7, "2026-01-01T00:01:00.040Z", 40));
        let mut tell = |at: &str, what| {
            let id = format!("7.x.{at}");
            timeline.take_in(Some(&id), &Event { at: at.to_owned(), by: "b".to_owned(), what });
        };
        tell("2026-01-01T00:01:00.010Z", Happening::Lease { term: 6, holder: None });
        tell("2026-01-01T00:01:00.052Z", Happening::Standing { standing: Standing::Acting, term: Some(7) });
        tell("2026-01-01T00:02:00Z", Happening::Standing { standing: Standing::Following, term: None });
        timeline
    }

    #[test]
    fn a_sequence_holds_what_belongs_to_it_with_its_milliseconds() {
        let failover = Failover::of(&timeline(), 7).unwrap();
        let offsets: Vec<u64> = failover.steps.iter().map(|step| step.offset_ms).collect();
        assert_eq!(offsets, [0, 10, 40, 52]);
        assert_eq!((failover.leaderless_ms, failover.exact), (Some(52), true));
        assert_eq!(Failover::of(&timeline(), 8), None);
    }

    #[test]
    fn it_is_played_at_the_pace_at_which_it_happened() {
        let mut failover = Failover::of(&timeline(), 7).unwrap();
        failover.toggle(at(1000));
        assert_eq!(failover.shown, 1);
        assert!(failover.advance(at(1009)));
        assert_eq!(failover.shown, 1);
        assert!(failover.advance(at(1010)));
        assert_eq!(failover.shown, 2);
        assert!(!failover.advance(at(1052)));
        assert_eq!(failover.shown, 4);
    }

    #[test]
    fn it_is_stepped_through_without_leaving_it() {
        let mut failover = Failover::of(&timeline(), 7).unwrap();
        for _ in 0..9 {
            failover.step(false);
        }
        assert_eq!(failover.shown, 1);
        for _ in 0..9 {
            failover.step(true);
        }
        assert_eq!(failover.shown, 4);
    }
}
