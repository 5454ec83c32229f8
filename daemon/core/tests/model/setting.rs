//! What does not change in a run.

use kontena_core::election::Timing;

use crate::rules::Rules;

/// What does not change in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// The rules of the masters and the database.
    pub(crate) rules: Rules,
    /// The times of the election when a process starts, in units of the masters' clocks.
    pub(crate) timing: Timing,
    /// The times to which a master's setting can be changed, and back.
    pub(crate) retimed: Timing,
    /// A pause is one of the whole host, during which the monotonic clock stands still.
    pub(crate) suspended: bool,
}

impl Setting {
    /// The longer times of the two.
    pub(crate) fn longest(self) -> Timing {
        if self.retimed.ttl > self.timing.ttl {
            self.retimed
        } else {
            self.timing
        }
    }
}
