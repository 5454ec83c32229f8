//! What does not change in a run.

use kontena_core::election::Timing;

use crate::rules::Rules;
use crate::time::timing;

/// What does not change in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// The rules of the masters and the database.
    pub(crate) rules: Rules,
    /// The ttl in ticks when a process starts.
    pub(crate) ttl: u32,
    /// The ttl in ticks to which a holder's setting can be changed, and back.
    pub(crate) other_ttl: u32,
    /// A pause is one of the whole host, during which the monotonic clock stands still.
    pub(crate) suspended: bool,
}

impl Setting {
    /// The times of the election when a process starts.
    pub(crate) fn timing(self) -> Timing {
        timing(self.ttl)
    }

    /// The times for the ttl that is not `timing`'s.
    pub(crate) fn other(self, own: Timing) -> Timing {
        let timing = self.timing();
        if own == timing { self::timing(self.other_ttl) } else { timing }
    }

    /// The longer times of the two.
    pub(crate) fn longest(self) -> Timing {
        timing(self.ttl.max(self.other_ttl))
    }
}
