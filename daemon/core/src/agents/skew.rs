//! How far a host's clock may be off. Judged on the master's own clock alone, when the request arrives.

use super::Refusal;

/// The allowed offsets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// How long a connect may take, in seconds: the agent notes the time before it dials.
    pub connect: f64,
    /// How far the clocks may differ, in seconds.
    pub skew: f64,
}

impl Default for Tolerance {
    fn default() -> Self {
        Self { connect: 5.0, skew: 1.0 }
    }
}

impl Tolerance {
    /// Judges the master's time less the agent's, in seconds.
    #[must_use]
    pub fn refuses(self, offset: f64) -> Option<Refusal> {
        let way = if offset > self.connect + self.skew {
            "past"
        } else if offset < -self.skew {
            "future"
        } else {
            return None;
        };
        Some(Refusal::new(
            4020,
            format!("agent connected too far in the {way}, clock offset {offset:.2}s exceeds threshold"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_ahead_and_six_behind_are_allowed() {
        let judge =
            |offset| Tolerance::default().refuses(offset).map(|refusal| (refusal.code, refusal.reason));
        for offset in [-1.0, 0.0, 6.0] {
            assert_eq!(judge(offset), None, "{offset}");
        }
        let past = "agent connected too far in the past, clock offset 60.02s exceeds threshold";
        assert_eq!(judge(60.02), Some((4020, past.to_owned())));
        let future = "agent connected too far in the future, clock offset -59.99s exceeds threshold";
        assert_eq!(judge(-59.99), Some((4020, future.to_owned())));
    }
}
