//! How much may go wrong in one run.

/// What is left of each kind of fault, and of the other things that a run does at most so often.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    /// Faults of any kind, as many as of their kind are left.
    pub(crate) faults: u8,
    /// Requests that never arrive, and answers that never come back.
    pub(crate) lost: u8,
    /// Requests that take effect later, perhaps after the caller gave up, and answers that come later.
    pub(crate) delayed: u8,
    /// Calls whose effect is made and whose outcome is reported as unknown at once.
    pub(crate) unknown: u8,
    /// Masters that stand still for any time and then go on where they were.
    pub(crate) pauses: u8,
    /// Masters that die and come back as another holder.
    pub(crate) restarts: u8,
    /// Times without a primary.
    pub(crate) outages: u8,
    /// Leaders that are asked to give up the lease.
    pub(crate) renounces: u8,
    /// Holders whose configured ttl changes.
    pub(crate) retimes: u8,
    /// Hints that the lease may have changed. No fault, but they shift the times of the looks.
    pub(crate) hints: u8,
    /// Looks that show what stood there before the last change: on a primary that has lost its majority, or at
    /// what a majority has.
    pub(crate) stale: u8,
    /// Transactions of leaders that overlap with the raise of the fence to a higher term.
    pub(crate) transactions: u8,
}

impl Budget {
    /// Whether a fault of which there are `kind` left may happen.
    pub(crate) fn allows(self, kind: u8) -> bool {
        kind > 0 && self.faults > 0
    }

    /// Every fault that the check is about, in one run.
    pub(crate) const ALL: Self = Self {
        faults: 8,
        lost: 2,
        delayed: 2,
        unknown: 1,
        pauses: 1,
        restarts: 1,
        outages: 1,
        stale: 0,
        renounces: 0,
        retimes: 0,
        hints: 0,
        transactions: 0,
    };

    /// Every fault of messages, in one run.
    pub(crate) const MESSAGES: Self = Self { faults: 5, pauses: 0, restarts: 0, outages: 0, ..Self::ALL };

    /// Any mixture of so many faults in one run.
    pub(crate) const fn any(faults: u8) -> Self {
        Self { faults, ..Self::ALL }
    }

    /// Of no kind are more left than of all together.
    pub(crate) fn cap(&mut self) {
        for kind in [
            &mut self.lost,
            &mut self.delayed,
            &mut self.unknown,
            &mut self.pauses,
            &mut self.restarts,
            &mut self.outages,
            &mut self.stale,
        ] {
            *kind = (*kind).min(self.faults);
        }
    }

    /// Whether nothing was spent since `initial` but times without a primary, hints and transactions.
    pub(crate) fn only_outages_spent(self, initial: Self) -> bool {
        Self {
            faults: initial.faults,
            outages: initial.outages,
            hints: initial.hints,
            transactions: initial.transactions,
            ..self
        } == initial
    }
}
