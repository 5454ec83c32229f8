//! No effect of a term is committed after the fence rose above it.

use kontena_core::election::Term;

use crate::time::Time;

#[derive(Debug, Default)]
pub(crate) struct FencedEffects {
    /// The highest term of the fence, and since when.
    fence: (Term, Time),
}

impl FencedEffects {
    /// A majority has a write, in the order of the database.
    pub(crate) fn committed(
        &mut self,
        now: Time,
        fence: Option<Term>,
        effect: Option<Term>,
    ) -> Result<(), String> {
        let (raised, since) = self.fence;
        if let Some(term) = effect
            && term < raised
        {
            return Err(format!(
                "an effect of term {term} is committed, and the fence has stood at {raised} since {since}"
            ));
        }
        if let Some(fence) = fence.filter(|fence| *fence > raised) {
            self.fence = (fence, now);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_effect_behind_the_fence_is_seen() {
        let mut invariant = FencedEffects::default();
        assert_eq!(invariant.committed(Time(0), Some(Term(1)), None), Ok(()));
        assert_eq!(invariant.committed(Time(1), Some(Term(1)), Some(Term(1))), Ok(()));
        assert_eq!(invariant.committed(Time(2), Some(Term(2)), None), Ok(()));
        assert!(invariant.committed(Time(3), Some(Term(2)), Some(Term(1))).is_err());
    }
}
