//! An outage of the database alone costs the leader nothing but time: its term stays.

use kontena_core::election::Term;

/// Watches runs in which nothing but outages strikes, from the first one on.
#[derive(Debug, Default)]
pub(crate) struct OutageKeepsTerm {
    term: Option<Term>,
}

impl OutageKeepsTerm {
    /// An outage begins while this term's leader acts.
    pub(crate) fn outage(&mut self, term: Term) {
        self.term.get_or_insert(term);
    }

    /// A majority has a lease of this term.
    pub(crate) fn committed(&self, term: Term) -> Result<(), String> {
        match self.term {
            Some(before) if before != term => {
                Err(format!("nothing but outages struck, and term {before} was followed by {term}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_term_after_an_outage_is_seen() {
        let mut invariant = OutageKeepsTerm::default();
        assert_eq!(invariant.committed(Term(1)), Ok(()));
        assert_eq!(invariant.committed(Term(2)), Ok(()));
        invariant.outage(Term(2));
        assert_eq!(invariant.committed(Term(2)), Ok(()));
        assert!(invariant.committed(Term(3)).is_err());
    }
}
