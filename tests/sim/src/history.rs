//! What happened, as a number to compare runs by, and as lines for people if they want them.

use crate::time::Time;

/// The history of one run.
pub(crate) struct History {
    hash: u64,
    events: u64,
    lines: Option<Vec<String>>,
}

impl History {
    pub(crate) fn new(narrated: bool) -> Self {
        Self { hash: 0xcbf2_9ce4_8422_2325, events: 0, lines: narrated.then(Vec::new) }
    }

    /// Takes in a number that a run with the same seed must have at the same place.
    pub(crate) fn mix(&mut self, value: u64) {
        self.hash = (self.hash.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
        self.events += 1;
    }

    /// Takes in a text. It is only made if it is wanted.
    pub(crate) fn tell(&mut self, now: Time, text: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{now} {}", text()));
        }
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hash ^ self.events
    }

    pub(crate) fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }
}
