//! Nobody acts under a term that was given back, from the moment when a majority of the database has it so.

use kontena_core::election::{Lease, Term};

#[derive(Debug, Default)]
pub(crate) struct FinalRelease {
    /// The highest term that was given back.
    released: Option<Term>,
}

impl FinalRelease {
    /// A majority has this lease.
    pub(crate) fn committed(&mut self, lease: &Lease) {
        if lease.holder.is_none() {
            self.released = self.released.max(Some(lease.version.term));
        }
    }

    /// Somebody acts under this term.
    pub(crate) fn acts(&self, term: Term) -> Result<(), String> {
        match self.released {
            Some(released) if term <= released => {
                Err(format!("somebody acts in term {term}, and term {released} was given back"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use kontena_core::election::Version;

    use super::*;

    #[test]
    fn acting_after_a_release_is_seen() {
        let mut invariant = FinalRelease::default();
        assert_eq!(invariant.acts(Term(3)), Ok(()));
        let version = Version { term: Term(3), seq: 9 };
        invariant.committed(&Lease { protocol: 1, version, holder: None, ttl: Duration::from_secs(2) });
        assert!(invariant.acts(Term(3)).is_err());
        assert_eq!(invariant.acts(Term(4)), Ok(()));
    }
}
