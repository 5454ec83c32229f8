//! How long to wait before the next try.

use std::time::Duration;

/// After the first failure.
const FIRST: Duration = Duration::from_millis(250);
/// However many failures there were.
const LONGEST: Duration = Duration::from_secs(5);

/// The wait after so many failures in a row. `chance`, from 0 to 1, spreads those who lost the same master.
pub(super) fn wait(failures: u32, chance: f64) -> Duration {
    let wait = FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST);
    wait.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_cap_and_are_spread() {
        let ms = |failures, chance| wait(failures, chance).as_millis();
        assert_eq!([ms(1, 1.0), ms(2, 1.0), ms(3, 1.0)], [250, 500, 1000]);
        assert_eq!([ms(20, 1.0), ms(u32::MAX, 1.0)], [5000, 5000]);
        assert_eq!([ms(1, 0.0), ms(20, 0.0), ms(20, 0.5)], [125, 2500, 3750]);
    }
}
