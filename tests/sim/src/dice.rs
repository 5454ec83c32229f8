//! The only source of chance in a simulation.

use std::time::Duration;

use kontena_core::election::HolderId;
use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use crate::time::nanos;

/// Chance, decided by the seed.
pub(crate) struct Dice(Xoshiro256PlusPlus);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(seed))
    }

    /// True in `per_mille` of a thousand cases. Without a chance, nothing is drawn.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        per_mille > 0 && self.below(1000) < per_mille
    }

    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        self.0.random_range(0..limit.max(1))
    }

    /// A place in a list of `len` elements.
    pub(crate) fn place(&mut self, len: usize) -> usize {
        let limit = u32::try_from(len).unwrap_or(u32::MAX);
        usize::try_from(self.below(limit)).unwrap_or(0)
    }

    /// The place of one of the weights, with a chance in proportion to it.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let mut drawn = self.below(weights.iter().sum());
        for (place, weight) in weights.iter().enumerate() {
            if drawn < *weight {
                return place;
            }
            drawn -= weight;
        }
        0
    }

    /// Any duration between the two, with equal chance.
    pub(crate) fn span(&mut self, from: Duration, to: Duration) -> Duration {
        let (from, to) = (nanos(from), nanos(to));
        Duration::from_nanos(self.0.random_range(from..=to.max(from)))
    }

    /// Any duration between the two, short ones more often.
    pub(crate) fn skewed(&mut self, from: Duration, to: Duration) -> Duration {
        let limit = self.span(from, to);
        self.span(from, limit)
    }

    pub(crate) fn holder(&mut self) -> HolderId {
        let mut bytes = [0; 16];
        self.0.fill_bytes(&mut bytes);
        HolderId::from_bytes(bytes)
    }
}

/// Shorthand for times as a scenario writes them.
pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Shorthand for times as a scenario writes them.
pub(crate) const fn us(microseconds: u64) -> Duration {
    Duration::from_micros(microseconds)
}
