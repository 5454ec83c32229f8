//! Whether a master that the database does not answer sends its agents elsewhere. If nobody else has a database
//! either, they are best off where they are: they keep their connections and come back to nothing better.

use std::time::Duration;

/// How long the database must have been silent.
pub const CUT_OFF_AFTER: Duration = Duration::from_secs(10);
/// The same, when nobody knows how the other masters fare.
pub const UNSURE_AFTER: Duration = Duration::from_secs(60);

/// What another master answered when asked whether it serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// It does.
    Ready,
    /// It does not.
    NotReady,
    /// Nothing.
    Silent,
}

/// Whether the agents of a master are better off elsewhere. `silence` is how long its database has not answered.
#[must_use]
pub fn sends_elsewhere(silence: Duration, neighbours: &[Neighbour]) -> bool {
    if neighbours.contains(&Neighbour::Ready) {
        return silence >= CUT_OFF_AFTER;
    }
    // One that answers and is not ready has lost the database as well.
    !neighbours.is_empty() && !neighbours.contains(&Neighbour::NotReady) && silence >= UNSURE_AFTER
}

#[cfg(test)]
mod tests {
    use super::Neighbour::{NotReady, Ready, Silent};
    use super::*;

    #[test]
    fn agents_leave_only_when_somebody_else_may_serve_them() {
        let (early, late, very_late) = (Duration::from_secs(9), CUT_OFF_AFTER, UNSURE_AFTER);
        assert!(!sends_elsewhere(early, &[Ready]));
        assert!(sends_elsewhere(late, &[Silent, NotReady, Ready]));
        assert!(!sends_elsewhere(very_late, &[NotReady, Silent]), "the database is away for all");
        assert!(!sends_elsewhere(very_late, &[]), "there is nobody else");
        assert!(!sends_elsewhere(late, &[Silent]));
        assert!(sends_elsewhere(very_late, &[Silent, Silent]));
    }
}
