//! What the seeds reach: a simulator in which nothing happens would find nothing.

use std::collections::BTreeMap;
use std::mem::discriminant;

use kontena_sim::{Fault, Mishap, Outcome, run};

const SEEDS: u64 = 200;

fn count(outcomes: &[Outcome], matches: impl Fn(&Fault) -> bool) -> usize {
    outcomes.iter().flat_map(|outcome| &outcome.faults).filter(|injected| matches(&injected.fault)).count()
}

#[test]
fn the_seeds_reach_what_they_should() {
    let outcomes: Vec<Outcome> = (0..SEEDS).map(run).collect();
    for (what, matches) in [
        ("stopped processes", (|fault| matches!(fault, Fault::Stopped { .. })) as fn(&Fault) -> bool),
        ("suspended hosts", |fault| matches!(fault, Fault::Suspended { .. })),
        ("released on behalf", |fault| matches!(fault, Fault::Killed { buried_after: Some(_), .. })),
        ("killed without release", |fault| matches!(fault, Fault::Killed { buried_after: None, .. })),
        ("planned ends", |fault| matches!(fault, Fault::Retired { .. })),
        ("step-downs", |fault| matches!(fault, Fault::Renounced { .. })),
        ("ineligible masters", |fault| matches!(fault, Fault::Ineligible { .. })),
        ("outages", |fault| matches!(fault, Fault::NoPrimary { .. })),
        ("rollbacks", |fault| matches!(fault, Fault::NoPrimary { lost, .. } if *lost > 0)),
        ("writes that survive", |fault| matches!(fault, Fault::NoPrimary { kept, .. } if *kept > 0)),
        ("lost majorities", |fault| matches!(fault, Fault::Stalled { .. })),
        ("partitions", |fault| matches!(fault, Fault::Partitioned { .. })),
        ("storms", |fault| matches!(fault, Fault::Storm { .. })),
        ("new settings", |fault| matches!(fault, Fault::Retimed { .. })),
        ("new clock rates", |fault| matches!(fault, Fault::ClockRate { .. })),
        ("spurious hints", |fault| matches!(fault, Fault::SpuriousHints { .. })),
        ("lost hints", |fault| matches!(fault, Fault::HintsLost { .. })),
    ] {
        assert!(count(&outcomes, matches) > 10, "{what}: {}", count(&outcomes, matches));
    }
    let mut mishaps: BTreeMap<&str, Vec<Mishap>> = BTreeMap::new();
    for injected in outcomes.iter().flat_map(|outcome| &outcome.faults) {
        if let Fault::Call { what, mishap, .. } = injected.fault {
            let seen = mishaps.entry(what).or_default();
            if seen.iter().all(|other| discriminant(other) != discriminant(&mishap)) {
                seen.push(mishap);
            }
        }
    }
    for what in ["look", "create", "acquire", "renew", "release", "raise", "effect", "release on behalf"] {
        let seen = mishaps.get(what).map_or(0, Vec::len);
        assert!(seen >= 3, "{what}: {seen} of 6 mishaps");
    }
    let (terms, effects) = outcomes.iter().fold((0, 0), |(terms, effects), outcome| {
        (terms + outcome.stats.terms, effects + outcome.stats.effects)
    });
    assert!(terms > SEEDS * 3, "{terms} terms");
    assert!(effects > SEEDS * 20, "{effects} effects");
}
