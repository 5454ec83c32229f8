//! A seed decides everything: whoever replays it sees the same.

use std::collections::BTreeSet;

use kontena_sim::{Options, Sabotage, run, run_with};

const SEEDS: u64 = 20;

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 0..SEEDS {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.hash, second.hash, "seed {seed}");
        assert_eq!(first, second, "seed {seed}");
    }
}

#[test]
fn another_seed_is_another_run() {
    let hashes: BTreeSet<u64> = (0..SEEDS).map(|seed| run(seed).hash).collect();
    assert_eq!(hashes.len(), 20);
}

#[test]
fn telling_what_happens_changes_nothing() {
    for seed in 0..SEEDS {
        let told = run_with(seed, Options { narrated: true, sabotage: Sabotage::Nothing });
        assert!(!told.history.is_empty());
        assert_eq!(told.hash, run(seed).hash, "seed {seed}");
    }
}
