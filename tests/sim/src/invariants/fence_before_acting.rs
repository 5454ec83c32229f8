//! Nobody acts before the fence stands at the own term, for a majority of the database.

use kontena_core::election::Term;

pub(crate) fn fence_before_acting(term: Term, fence: Option<Term>) -> Result<(), String> {
    match fence {
        Some(fence) if fence >= term => Ok(()),
        Some(fence) => Err(format!("somebody acts in term {term}, and the fence stands at {fence}")),
        None => Err(format!("somebody acts in term {term}, and there is no fence")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_that_is_missing_or_behind_is_seen() {
        assert_eq!(fence_before_acting(Term(2), Some(Term(2))), Ok(()));
        assert!(fence_before_acting(Term(2), Some(Term(1))).is_err());
        assert!(fence_before_acting(Term(2), None).is_err());
    }
}
