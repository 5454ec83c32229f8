//! No two masters act at one moment of true time.
//!
//! A master acts while its published permission is open by its own clock: also while it is stopped or suspended,
//! since it would go on in the middle of what it did. Permissions are opened by a driver's round only and close by
//! themselves, so two overlap if and only if one is open at the moment when another is opened. Looking at all
//! masters after each round is therefore exact, and no overlap is too short to be seen.

use kontena_core::election::Term;

use crate::time::Time;

/// A master that may act now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ActingMaster {
    pub(crate) master: usize,
    pub(crate) term: Term,
    /// The true time at which its permission ends.
    pub(crate) until: Time,
}

pub(crate) fn one_acting(acting: &[ActingMaster]) -> Result<(), String> {
    match acting {
        [] | [_] => Ok(()),
        several => {
            let who: Vec<String> = several
                .iter()
                .map(|ActingMaster { master, term, until }| {
                    format!("master {master} in term {term} until {until}")
                })
                .collect();
            Err(format!("at once act {}", who.join(" and ")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_may_act_and_two_may_not() {
        let acting = |master| ActingMaster { master, term: Term(4), until: Time(1_500_000_000) };
        assert_eq!(one_acting(&[]), Ok(()));
        assert_eq!(one_acting(&[acting(2)]), Ok(()));
        let told = one_acting(&[acting(0), acting(2)]).unwrap_err();
        assert!(told.contains("master 2 in term 4 until 1.500000000"), "{told}");
    }
}
