//! The terms of the lease and of the fence never fall, in what a majority of the database has.

use kontena_core::election::Term;

use crate::database::Documents;

#[derive(Debug, Default)]
pub(crate) struct RisingTerms {
    lease: Term,
    fence: Term,
}

impl RisingTerms {
    pub(crate) fn committed(&mut self, documents: Documents) -> Result<(), String> {
        let lease = documents.lease.map_or(self.lease, |lease| lease.version.term);
        let fence = documents.fence.unwrap_or(self.fence);
        for (what, before, after) in [("lease", self.lease, lease), ("fence", self.fence, fence)] {
            if after < before {
                return Err(format!("the term of the {what} fell from {before} to {after}"));
            }
        }
        (self.lease, self.fence) = (lease, fence);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_that_falls_is_seen() {
        let fence = |term| Documents { lease: None, fence: Some(Term(term)) };
        let mut invariant = RisingTerms::default();
        assert_eq!(invariant.committed(fence(3)), Ok(()));
        assert_eq!(invariant.committed(Documents::default()), Ok(()));
        assert!(invariant.committed(fence(2)).is_err());
    }
}
