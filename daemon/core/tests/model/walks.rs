//! Runs with all faults at once, at random: a complement to the exhaustive sets, not a proof.

use stateright::Model;

use crate::action::Action;
use crate::budget::Budget;
use crate::lease_model::LeaseModel;
use crate::properties;
use crate::recovery;
use crate::rules::Rules;
use crate::time::Rate;
use crate::world::World;

/// How many runs, and how many steps each has at most.
const RUNS: u64 = 2_000;
const STEPS: usize = 600;
/// One step in so many is a fault, while there are any left.
const FAULTS: u64 = 24;

#[test]
fn runs_with_all_faults_at_once() {
    let model = LeaseModel {
        rates: Rate::all_of_three(),
        ..LeaseModel::new(
            Rules::Production,
            20,
            Budget { renounces: 1, hints: 2, transactions: 2, ..Budget::ALL },
        )
    };
    let starts = model.init_states();
    let mut choice = Choice(1);
    let mut spent = 0;
    for run in 0..RUNS {
        let mut world = starts[choice.below(starts.len())].clone();
        for _ in 0..STEPS {
            let Some(next) = walk(&model, &world, &mut choice) else {
                break;
            };
            world = next;
            assert!(properties::safe(&model, &world), "run {run}: {world:#?}");
        }
        assert!(recovery::recovers(&model, &world), "run {run}: {world:#?}");
        spent += u32::from(Budget::ALL.faults - world.left.faults);
    }
    println!("{RUNS} runs with {spent} faults");
}

/// One step, or none if it leads out of the model.
fn walk(model: &LeaseModel, world: &World, choice: &mut Choice) -> Option<World> {
    let mut actions = Vec::new();
    model.actions(world, &mut actions);
    let faulty = choice.one_in(FAULTS);
    let mut of_kind: Vec<Action> =
        actions.iter().copied().filter(|action| action.goes_wrong() == faulty).collect();
    if of_kind.is_empty() {
        of_kind = actions;
    }
    let next = model.next_state(world, *of_kind.get(choice.below(of_kind.len()))?)?;
    model.within_boundary(&next).then_some(next)
}

/// A source of choices that are the same in every run of the program.
struct Choice(u64);

impl Choice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % count).unwrap_or(0)
    }

    fn one_in(&mut self, count: u64) -> bool {
        self.next().is_multiple_of(count)
    }
}
