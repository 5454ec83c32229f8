//! Each wrong turn is found, by the property that is there for it.
//!
//! The model and the properties are the ones of the passing check. The faults that a wrong turn needs are
//! also given to the rules of production, which must stand them.

use std::collections::BTreeSet;

use stateright::{Checker, HasDiscoveries, Model};

use crate::budget::Budget;
use crate::lease_model::LeaseModel;
use crate::properties::{FENCE_FIRST, NO_LATE_EFFECT, ONE_ACTS, OUTAGE_IS_FREE};
use crate::rules::Rules;

fn found(rules: Rules, budget: Budget, property: &'static str) {
    found_by(|rules| LeaseModel::new(rules, 20, budget), rules, property);
}

fn found_by(model: impl Fn(Rules) -> LeaseModel, rules: Rules, property: &'static str) {
    let wrong = model(rules)
        .checker()
        .threads(2)
        .finish_when(HasDiscoveries::AnyOf(BTreeSet::from([property])))
        .spawn_bfs()
        .join();
    let path = wrong.assert_any_discovery(property);
    println!("{rules:?}: not \"{property}\", after {} steps", path.into_actions().len());
    let right = model(Rules::Production).checker().threads(2).spawn_bfs().join();
    right.assert_properties();
}

#[test]
fn a_deadline_that_counts_from_the_answer() {
    let budget = Budget { faults: 2, delayed: 1, pauses: 1, ..Budget::default() };
    found(Rules::DeadlineFromAnswer, budget, ONE_ACTS);
}

#[test]
fn a_follower_that_trusts_the_time_of_the_last_renewal() {
    // The wall clocks of two masters are ahead by more than the ttl. Nothing has to go wrong beside that.
    let model =
        |rules| LeaseModel { wall_ahead: [0, 25, 25], ..LeaseModel::new(rules, 20, Budget::default()) };
    found_by(model, Rules::RenewedAtTrusted, ONE_ACTS);
}

#[test]
fn effects_without_a_fence() {
    let budget = Budget { faults: 1, pauses: 1, transactions: 1, ..Budget::default() };
    found(Rules::NoFence, budget, NO_LATE_EFFECT);
}

#[test]
fn a_fence_that_is_only_read() {
    let budget = Budget { faults: 1, pauses: 1, transactions: 1, ..Budget::default() };
    found(Rules::FenceOnlyRead, budget, NO_LATE_EFFECT);
}

#[test]
fn a_lease_that_is_taken_by_its_term_alone() {
    let budget = Budget { faults: 1, pauses: 1, ..Budget::default() };
    found(Rules::AcquireByTermAlone, budget, ONE_ACTS);
}

#[test]
fn silence_that_is_counted_over_failed_reads() {
    let budget = Budget { faults: 1, outages: 1, ..Budget::default() };
    found(Rules::SilenceOverFailedReads, budget, OUTAGE_IS_FREE);
}

#[test]
fn a_leader_that_acts_before_it_raised_the_fence() {
    found(Rules::ActsBeforeRaise, Budget::default(), FENCE_FIRST);
}

#[test]
fn a_read_back_that_is_taken_as_proof() {
    let budget = Budget { faults: 1, delayed: 1, renounces: 1, ..Budget::default() };
    found(Rules::NegativeReadBackBelieved, budget, ONE_ACTS);
}

#[test]
fn a_longer_time_that_counts_at_once() {
    // To half the ttl and back, while a renewal with half of it is late.
    let budget = Budget { faults: 2, delayed: 1, pauses: 1, retimes: 2, ..Budget::default() };
    let model = |rules| {
        let mut model = LeaseModel::new(rules, 16, budget);
        model.setting.other_ttl = 8;
        model
    };
    found_by(model, Rules::LongerTimeAtOnce, ONE_ACTS);
}
