//! Deliberately broken parts around the driver, to show that the invariants bite.

/// What is broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sabotage {
    /// Nothing: everything keeps its promises.
    #[default]
    Nothing,
    /// The database lets a lease be taken without comparing the sequence number.
    AcquireByTermAlone,
    /// The database takes a lease without moving the term.
    AcquireWithoutNewTerm,
    /// The clocks of one host go at 0.7 of true time.
    SlowClock,
    /// The database commits effects whatever the fence says.
    FenceUnchecked,
    /// A raise is answered without being made.
    RaiseOnlyPretended,
    /// A renewal that is lost on its way is answered as if it were made.
    LostRenewalAcknowledged,
    /// An answer that came too late for its own call is given to the next renewal.
    AnswersMixedUp,
    /// Writes are acknowledged before a majority has them.
    AcknowledgedTooSoon,
    /// A new primary may lack what a majority had acknowledged.
    AcknowledgedWritesLost,
    /// The release on behalf of a dead process is made while the process lives.
    LivingBuried,
    /// A failed look is answered with what was seen before.
    LooksFromMemory,
    /// Every look finds no lease, at once.
    LooksFindNothing,
    /// The driver's calls are reported as begun twice.
    CallsDoubled,
    /// No renewal is ever answered.
    RenewalsUnanswered,
    /// A master ends its driver without being asked to.
    DriverDies,
}
