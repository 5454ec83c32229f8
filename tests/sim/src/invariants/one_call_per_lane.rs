//! A driver has one call under way in each lane at most.

use kontena_core::election::Lane;

pub(crate) fn one_call_per_lane(master: usize, lane: Lane, under_way: u32) -> Result<(), String> {
    if under_way <= 1 {
        Ok(())
    } else {
        Err(format!("master {master} has {under_way} calls under way in lane {lane:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_call_is_seen() {
        assert_eq!(one_call_per_lane(0, Lane::Lease, 1), Ok(()));
        assert!(one_call_per_lane(0, Lane::Lease, 2).is_err());
    }
}
