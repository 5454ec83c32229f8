//! Broken parts around the driver, each of which must be caught by the invariant that names what it breaks.

use kontena_sim::{Invariant, Options, Sabotage, run_with};

/// By when it must be caught.
const SEEDS: u64 = 300;

#[track_caller]
fn check(sabotage: Sabotage, invariant: Invariant) {
    let caught = (0..SEEDS).find(|seed| {
        let outcome = run_with(*seed, Options { sabotage, narrated: false });
        outcome.violations.iter().any(|violation| violation.invariant == invariant)
    });
    assert!(caught.is_some(), "{sabotage:?} went unnoticed by {invariant} in {SEEDS} seeds");
}

#[test]
fn a_lease_taken_by_term_alone() {
    check(Sabotage::AcquireByTermAlone, Invariant::OneActing);
}

#[test]
fn a_clock_that_goes_too_slow() {
    check(Sabotage::SlowClock, Invariant::OneActing);
}

#[test]
fn a_lost_renewal_that_is_acknowledged() {
    check(Sabotage::LostRenewalAcknowledged, Invariant::OneActing);
}

#[test]
fn an_old_answer_to_a_new_renewal() {
    check(Sabotage::AnswersMixedUp, Invariant::OneActing);
}

#[test]
fn a_lease_taken_without_a_new_term() {
    check(Sabotage::AcquireWithoutNewTerm, Invariant::OneHolderPerTerm);
}

#[test]
fn a_database_that_forgets_what_a_majority_had() {
    check(Sabotage::AcknowledgedWritesLost, Invariant::RisingTerms);
}

#[test]
fn a_write_that_is_acknowledged_before_a_majority_has_it() {
    check(Sabotage::AcknowledgedTooSoon, Invariant::FenceBeforeActing);
}

#[test]
fn a_fence_that_is_not_raised() {
    check(Sabotage::RaiseOnlyPretended, Invariant::FenceBeforeActing);
}

#[test]
fn a_fence_that_is_not_checked() {
    check(Sabotage::FenceUnchecked, Invariant::FencedEffects);
}

#[test]
fn a_release_on_behalf_of_the_living() {
    check(Sabotage::LivingBuried, Invariant::FinalRelease);
}

#[test]
fn silence_counted_on_during_an_outage() {
    check(Sabotage::LooksFromMemory, Invariant::OutageKeepsTerm);
}

#[test]
fn two_calls_in_one_lane() {
    check(Sabotage::CallsDoubled, Invariant::OneCallPerLane);
}

#[test]
fn calls_without_a_pause() {
    check(Sabotage::LooksFindNothing, Invariant::BoundedCalls);
}

#[test]
fn a_driver_that_dies() {
    check(Sabotage::DriverDies, Invariant::DriverStays);
}

#[test]
fn masters_that_never_recover() {
    check(Sabotage::RenewalsUnanswered, Invariant::Recovery);
}
