//! The model as the checker sees it: initial states, what can happen, and what must hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use kontena_core::election::Term;
use stateright::{Model, Property};

use crate::action::{self, Action};
use crate::budget::Budget;
use crate::normal_form::normalise;
use crate::properties;
use crate::rules::Rules;
use crate::setting::Setting;
use crate::time::Rate;
use crate::world::World;

/// No run goes beyond this term: a state in which the database has a higher one is outside.
pub(crate) const LAST_TERM: Term = Term(3);

/// A set of runs: the clocks at the start, and what may go wrong.
#[derive(Clone, Debug)]
pub(crate) struct LeaseModel {
    /// What is the same in all of them.
    pub(crate) setting: Setting,
    /// The clocks of the three masters, one initial state each. Their order has no meaning.
    pub(crate) rates: Vec<[Rate; 3]>,
    /// How far their wall clocks are ahead of true time, in ticks.
    pub(crate) wall_ahead: [i32; 3],
    /// What may go wrong in each run.
    pub(crate) budget: Budget,
    /// Whether the check also looks for what the model must get to.
    pub(crate) goals: bool,
    /// Recovery is checked from about one state in so many.
    pub(crate) sample: u64,
    /// What the check of recovery found.
    pub(crate) recovery: Arc<RecoveryRecord>,
}

/// What the check of recovery found.
#[derive(Debug, Default)]
pub(crate) struct RecoveryRecord {
    /// How many states it began from.
    pub(crate) states: AtomicUsize,
    /// How many ticks it took at most.
    pub(crate) ticks: AtomicU32,
}

impl RecoveryRecord {
    /// Notes one recovery.
    pub(crate) fn note(&self, ticks: u32) {
        self.states.fetch_add(1, Ordering::Relaxed);
        self.ticks.fetch_max(ticks, Ordering::Relaxed);
    }
}

impl LeaseModel {
    /// Exact clocks, and a ttl of so many ticks.
    pub(crate) fn new(rules: Rules, ticks: u32, budget: Budget) -> Self {
        Self {
            setting: Setting { rules, ttl: ticks, other_ttl: ticks, suspended: false },
            rates: vec![[Rate::Exact; 3]],
            wall_ahead: [0; 3],
            budget,
            goals: false,
            sample: 64,
            recovery: Arc::default(),
        }
    }
}

impl Model for LeaseModel {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        self.rates
            .iter()
            .map(|rates| {
                let mut world = World::new(self.setting, *rates, self.wall_ahead, self.budget);
                normalise(&mut world, self.setting);
                world
            })
            .collect()
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        action::possible(world, self.setting, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        action::happen(&mut next, self.setting, action);
        normalise(&mut next, self.setting);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = properties::all();
        if self.goals {
            properties.extend(properties::goals());
        }
        properties
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.database.term() <= LAST_TERM
    }
}
