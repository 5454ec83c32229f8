//! How badly the calls of one host fare.

use std::fmt;
use std::time::Duration;

use crate::dice::{Dice, ms, us};

/// Chances are in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Weather {
    /// The longest way to the database, and the longest way back.
    pub(crate) latency: Duration,
    /// The longest time in the database.
    pub(crate) execution: Duration,
    pub(crate) request_lost: u32,
    pub(crate) answer_lost: u32,
    /// An error comes back at once, and nothing was done.
    pub(crate) fails_before: u32,
    /// An error comes back, and it was done.
    pub(crate) fails_after: u32,
    pub(crate) request_late: u32,
    /// Of requests to take the lease, on top of the others.
    pub(crate) acquire_late: u32,
    pub(crate) answer_late: u32,
    /// How late the late ones come at most.
    pub(crate) late: Duration,
}

impl Weather {
    pub(crate) const FAIR: Self = Self {
        latency: ms(3),
        execution: us(500),
        request_lost: 0,
        answer_lost: 0,
        fails_before: 0,
        fails_after: 0,
        request_late: 0,
        acquire_late: 0,
        answer_late: 0,
        late: Duration::ZERO,
    };

    /// Nothing is wrong but that requests to take the lease arrive late.
    pub(crate) fn late_acquires(dice: &mut Dice, longest: Duration) -> Self {
        Self { acquire_late: 300 + dice.below(600), late: longest, ..Self::FAIR }
    }

    /// A random part of all that can go wrong.
    pub(crate) fn storm(dice: &mut Dice) -> Self {
        let mut chance = |most: u32| if dice.chance(400) { dice.below(most) } else { 0 };
        let mut storm = Self {
            request_lost: chance(500),
            answer_lost: chance(700),
            fails_before: chance(400),
            fails_after: chance(500),
            request_late: chance(500),
            answer_late: chance(400),
            ..Self::FAIR
        };
        storm.late = dice.skewed(ms(100), ms(8_000));
        if dice.chance(300) {
            storm.execution = dice.skewed(ms(5), ms(600));
        }
        if dice.chance(300) {
            storm.latency = dice.skewed(ms(5), ms(300));
        }
        storm
    }
}

impl fmt::Display for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a way of {:?} at most, {:?} in the database", self.latency, self.execution)?;
        for (chance, what) in [
            (self.request_lost, "requests lost"),
            (self.answer_lost, "answers lost"),
            (self.fails_before, "failures without effect"),
            (self.fails_after, "failures with effect"),
            (self.request_late, "requests late"),
            (self.acquire_late, "requests to take the lease late"),
            (self.answer_late, "answers late"),
        ] {
            if chance > 0 {
                write!(f, ", {}.{} % {what}", chance / 10, chance % 10)?;
            }
        }
        if self.request_late + self.acquire_late + self.answer_late > 0 {
            write!(f, " by up to {:?}", self.late)?;
        }
        Ok(())
    }
}
