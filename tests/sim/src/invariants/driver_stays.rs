//! A driver ends only when it was asked to.

pub(crate) fn driver_stays(master: usize, asked: bool) -> Result<(), String> {
    if asked { Ok(()) } else { Err(format!("the driver of master {master} ended without being asked to")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_of_its_own_is_seen() {
        assert_eq!(driver_stays(0, true), Ok(()));
        assert!(driver_stays(0, false).is_err());
    }
}
