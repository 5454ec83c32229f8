//! A term has one holder: in what a majority of the database has, and among those who act.

use std::collections::BTreeMap;

use kontena_core::election::{HolderId, Lease, Term};

#[derive(Debug, Default)]
pub(crate) struct OneHolderPerTerm {
    holders: BTreeMap<Term, HolderId>,
}

impl OneHolderPerTerm {
    /// A majority has this lease.
    pub(crate) fn committed(&mut self, lease: &Lease) -> Result<(), String> {
        lease.holder.map_or(Ok(()), |holder| self.holds(lease.version.term, holder))
    }

    /// This holder acts under this term.
    pub(crate) fn acts(&mut self, term: Term, holder: HolderId) -> Result<(), String> {
        self.holds(term, holder)
    }

    /// How many terms there were.
    pub(crate) fn terms(&self) -> usize {
        self.holders.len()
    }

    fn holds(&mut self, term: Term, holder: HolderId) -> Result<(), String> {
        let first = *self.holders.entry(term).or_insert(holder);
        if first == holder { Ok(()) } else { Err(format!("term {term} is held by {first} and by {holder}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_of_a_term_is_seen() {
        let (one, two) = (HolderId::from_bytes([1; 16]), HolderId::from_bytes([2; 16]));
        let mut invariant = OneHolderPerTerm::default();
        assert_eq!(invariant.acts(Term(1), one), Ok(()));
        assert_eq!(invariant.acts(Term(1), one), Ok(()));
        assert_eq!(invariant.acts(Term(2), two), Ok(()));
        assert!(invariant.acts(Term(1), two).is_err());
    }
}
