//! The sets of runs that are visited state by state, to the end.
//!
//! The faults are 2 lost and 2 delayed messages, 1 unknown outcome, 1 pause, 1 restart and 1 time without a
//! primary. All eight in one run have too many states to visit to the end, so that one set follows them for a
//! number of steps, and the others take every mixture of a few of them, and all those of messages together.
//! Those are complete within what they say, without a limit on depth or time: a run may go on for ever, since
//! states that differ by their age only are one. The boundary of all sets is term 3. Longer runs with mixtures
//! that no set has are left to the `walks`, which prove nothing.
//!
//! A tick is a twentieth, an eighth or a quarter of the ttl: the coarser it is, the more faults fit in, since
//! what happens within a tick still happens in every order.

use std::sync::atomic::Ordering;
use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model};

use crate::budget::Budget;
use crate::lease_model::LeaseModel;
use crate::properties;
use crate::rules::Rules;
use crate::time::Rate;

/// At least so many states in all sets together.
const STATES: usize = 1_000_000;
/// At most so many seconds of both cores in all sets together. It is the processor's time that counts: on a machine
/// that does something else as well, the clock on the wall says nothing.
const SECONDS: u64 = 120;
/// How many threads visit states.
const THREADS: u32 = 2;

/// How far all eight faults in one run are followed.
const ALL_FAULTS_STEPS: usize = 16;

/// What is measured over several sets.
#[derive(Default)]
struct Total {
    states: usize,
    time: Duration,
}

impl Total {
    /// Visits all states of a set.
    fn visit(&mut self, name: &str, model: LeaseModel) {
        self.visit_to(None, name, model);
    }

    /// Visits all states of a set that are within so many steps.
    fn visit_to(&mut self, depth: Option<usize>, name: &str, model: LeaseModel) {
        let recovery = model.recovery.clone();
        let start = processor_time().unwrap_or_default();
        let mut checker = model.checker().threads(THREADS as usize).finish_when(HasDiscoveries::AnyFailures);
        if let Some(depth) = depth {
            checker = checker.target_max_depth(depth);
        }
        let checker = checker.spawn_bfs().join();
        let time = processor_time().unwrap_or_default().saturating_sub(start) / THREADS;
        let states = checker.unique_state_count();
        println!(
            "{name}: {states} states in {:.1} s, recovery from {} of them in {} ticks at most",
            time.as_secs_f64(),
            recovery.states.load(Ordering::Relaxed),
            recovery.ticks.load(Ordering::Relaxed),
        );
        checker.assert_properties();
        self.states += states;
        self.time += time;
    }
}

#[test]
fn every_property_holds_in_every_state() {
    let mut total = Total::default();
    assert!(processor_time().is_some(), "the kernel does not tell the processor's time");

    total.visit(
        "2 lost, 2 delayed, 1 unknown in one run",
        LeaseModel::new(Rules::Production, 20, Budget { transactions: 1, ..Budget::MESSAGES }),
    );
    total.visit(
        "any 2 faults in one run",
        LeaseModel::new(Rules::Production, 20, Budget { transactions: 1, ..Budget::any(2) }),
    );
    total.visit(
        "any 2 faults in one run, a slow, an exact and a fast clock",
        LeaseModel {
            rates: vec![[Rate::Slow, Rate::Exact, Rate::Fast]],
            ..LeaseModel::new(Rules::Production, 8, Budget::any(2))
        },
    );
    total.visit(
        "any 1 fault in one run, all clocks",
        LeaseModel {
            rates: Rate::all_of_three(),
            ..LeaseModel::new(Rules::Production, 20, Budget { transactions: 2, ..Budget::any(1) })
        },
    );
    total.visit(
        "any 3 faults in one run, four ticks to the ttl",
        LeaseModel::new(Rules::Production, 4, Budget::any(3)),
    );
    total.visit(
        "a leader that is asked to step down, and any 1 fault",
        LeaseModel::new(Rules::Production, 8, Budget { renounces: 1, ..Budget::any(1) }),
    );
    total.visit(
        "any 2 faults in one run, looks that show what was before among them",
        LeaseModel::new(Rules::Production, 8, Budget { stale: 2, ..Budget::any(2) }),
    );
    total.visit(
        "2 hints, and any 1 fault",
        LeaseModel::new(Rules::Production, 20, Budget { hints: 2, ..Budget::any(1) }),
    );
    let mut suspended = LeaseModel::new(
        Rules::Production,
        20,
        Budget { faults: 2, delayed: 1, lost: 1, pauses: 1, ..Budget::default() },
    );
    suspended.setting.suspended = true;
    total.visit("a host that is suspended, and 1 lost or delayed", suspended);

    for (before, after) in [(16, 8), (8, 16)] {
        let mut retimed = LeaseModel::new(
            Rules::Production,
            before,
            Budget { faults: 2, delayed: 1, pauses: 1, retimes: 2, ..Budget::default() },
        );
        retimed.setting.other_ttl = after;
        total.visit("a ttl that is halved or doubled and back, 1 delayed, 1 pause", retimed);
    }

    total.visit_to(
        Some(ALL_FAULTS_STEPS),
        "all 8 faults in one run, its first 16 steps",
        LeaseModel::new(Rules::Production, 4, Budget { transactions: 1, ..Budget::ALL }),
    );

    println!("{} states in {:.1} s of {THREADS} cores", total.states, total.time.as_secs_f64());
    assert!(total.states >= STATES, "{} states", total.states);
    assert!(total.time <= Duration::from_secs(SECONDS), "{:?}", total.time);
}

/// What this process used of all cores together, other tests beside this one included.
fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may have any character in it, come the state and, as 12th and 13th, what was used in
    // user and kernel mode, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit(')').next()?.split_whitespace().collect();
    let hundredths = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Duration::from_millis((hundredths(11)? + hundredths(12)?) * 10))
}

#[test]
fn the_model_gets_to_what_it_is_about() {
    let budget = Budget { transactions: 1, ..Budget::any(2) };
    let model = LeaseModel { goals: true, ..LeaseModel::new(Rules::Production, 20, budget) };
    let goals = properties::goals().iter().map(|goal| goal.name).collect();
    let checker = model
        .checker()
        .threads(THREADS as usize)
        .finish_when(HasDiscoveries::AllOf(goals))
        .spawn_bfs()
        .join();
    for goal in properties::goals() {
        assert!(checker.discovery(goal.name).is_some(), "{}", goal.name);
    }
}

#[test]
#[ignore = "takes some minutes and gigabytes"]
fn every_property_holds_in_every_state_of_larger_sets() {
    let mut total = Total::default();
    total.visit("any 3 faults in one run", LeaseModel::new(Rules::Production, 20, Budget::any(3)));
    total.visit(
        "any 2 faults in one run, all clocks",
        LeaseModel { rates: Rate::all_of_three(), ..LeaseModel::new(Rules::Production, 20, Budget::any(2)) },
    );
    total.visit(
        "any 3 faults and a transaction in one run, four ticks to the ttl",
        LeaseModel::new(Rules::Production, 4, Budget { transactions: 1, ..Budget::any(3) }),
    );
}
