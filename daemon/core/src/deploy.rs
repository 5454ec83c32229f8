//! A deploy of a service as a state machine that any master can go on with: from what the database says of it, what
//! is to be done next. Nothing about it lives in a process but the time that it has waited.
//!
//! One master at a time claims the deploys of a service, under an epoch that rises with every claim; each of its
//! writes takes effect only while its epoch is the highest.

mod decide;
mod revision;

pub use decide::{Act, Decision, Host, Patience, Place, Planned, Row, Step, StepState, View, decide};
pub use revision::Revision;

/// How far a deploy, or the deploy of one instance, is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeployState {
    /// It waits for its turn.
    Created,
    /// It is under way.
    Ongoing,
    /// It did what it should.
    Success,
    /// It did not.
    Error,
}

impl DeployState {
    /// As it is stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Ongoing => "ongoing",
            Self::Success => "success",
            Self::Error => "error",
        }
    }

    /// What is stored. Anything unknown has not begun.
    #[must_use]
    pub fn named(name: &str) -> Self {
        match name {
            "ongoing" => Self::Ongoing,
            "success" => Self::Success,
            "error" => Self::Error,
            _ => Self::Created,
        }
    }
}

/// How many instances may be under way at once: what may be missing of `total`, between 1 and 20.
#[must_use]
pub fn parallelism(total: usize, min_health: f64) -> usize {
    #[expect(clippy::cast_precision_loss, reason = "some thousand instances at most")]
    let missing = (total as f64) * (1.0 - min_health);
    // In double arithmetic as the original has it: 5 * (1 - 0.8) is a little less than 1.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 20")]
    let most = missing.floor().clamp(1.0, 20.0) as usize;
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_under_way_as_the_original_lets() {
        let cases = [
            (5, 0.8, 1),
            (10, 0.8, 1),
            (15, 0.8, 2),
            (10, 0.5, 5),
            (100, 0.0, 20),
            (10, 3.0, 1),
            (0, 0.5, 1),
        ];
        for (total, min_health, expected) in cases {
            assert_eq!(parallelism(total, min_health), expected, "{total} at {min_health}");
        }
    }
}
