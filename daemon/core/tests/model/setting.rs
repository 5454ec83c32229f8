//! What does not change in a run.

use kontena_core::election::Timing;

use crate::rules::Rules;

/// What does not change in a run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// The rules of the masters and the database.
    pub(crate) rules: Rules,
    /// The times of the election, in units of the masters' clocks.
    pub(crate) timing: Timing,
    /// A pause is one of the whole host, during which the monotonic clock stands still.
    pub(crate) suspended: bool,
}
