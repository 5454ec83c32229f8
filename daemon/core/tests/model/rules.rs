//! The rules under which the masters and the database play: the ones of production, and one wrong turn each.
//!
//! A wrong turn is a wrapper around the production step, or another condition in the modelled database. None
//! of them is a switch in production code.

use kontena_core::election::{Acting, Answer, Call, Command, Election, Holding, Input, Next, Role, Sight};

use crate::time::{NOW, TICK};

/// Which rules are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Rules {
    /// The ones of production.
    Production,
    /// The deadline counts from the answer of a renewal.
    DeadlineFromAnswer,
    /// A follower compares `renewed_at` with its own wall clock.
    RenewedAtTrusted,
    /// Effects are committed without regard to the fence.
    NoFence,
    /// Effects are committed after the fence was read in the transaction.
    FenceOnlyRead,
    /// The lease is taken from whoever holds the observed term, renewed or not.
    AcquireByTermAlone,
    /// Failed reads do not interrupt the silence.
    SilenceOverFailedReads,
    /// The leader acts as soon as its deadline is open.
    ActsBeforeRaise,
    /// A holder counts with a longer ttl as soon as a renewal with it was acknowledged.
    LongerTimeAtOnce,
    /// After a release with unknown outcome, a look that shows the own name is taken as "not released".
    NegativeReadBackBelieved,
}

/// What a master with wrong rules keeps beside the production state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Aside {
    /// How far the own wall clock is ahead of true time, in ticks.
    pub(crate) wall_ahead: i32,
    /// What was held when it was given up.
    pub(crate) shelved: Option<Box<Holding>>,
}

impl Rules {
    /// The production step, wrapped in the wrong turn if there is one.
    pub(crate) fn step(
        self,
        election: &mut Election,
        aside: &mut Aside,
        renewed_at: i32,
        input: Input,
    ) -> Vec<Command> {
        match self {
            Self::Production
            | Self::NoFence
            | Self::FenceOnlyRead
            | Self::AcquireByTermAlone
            | Self::ActsBeforeRaise => election.step(NOW, input),
            Self::DeadlineFromAnswer => {
                if let (Input::Answered(_), Some(call)) = (&input, &mut election.state.call) {
                    call.sent_at = NOW;
                }
                election.step(NOW, input)
            }
            Self::LongerTimeAtOnce => count_with_longer_time(election, input),
            Self::RenewedAtTrusted => trust_renewed_at(election, aside, renewed_at, input),
            Self::SilenceOverFailedReads => count_over_failed_reads(election, input),
            Self::NegativeReadBackBelieved => believe_read_back(election, aside, input),
        }
    }

    /// Under which term the master acts now, by its own clock.
    pub(crate) fn acting(self, election: &Election) -> Option<Acting> {
        let acting = match (self, &election.state.role) {
            (Self::ActsBeforeRaise, Role::Holding(holding)) => {
                holding.deadline().map(|until| Acting { term: holding.term, until })
            }
            _ => election.acting(),
        };
        acting.filter(|acting| NOW.boottime < acting.until)
    }
}

fn count_with_longer_time(election: &mut Election, input: Input) -> Vec<Command> {
    let renewed = match (&election.state.call, &input) {
        (Some(Call { command: Command::Renew { ttl, .. }, .. }), Input::Answered(Answer::Applied)) => {
            Some(*ttl)
        }
        _ => None,
    };
    let commands = election.step(NOW, input);
    if let (Some(ttl), Role::Holding(holding)) = (renewed, &mut election.state.role) {
        holding.counted_ttl = ttl;
    }
    commands
}

fn trust_renewed_at(election: &mut Election, aside: &Aside, renewed_at: i32, input: Input) -> Vec<Command> {
    let seen = match &input {
        Input::Answered(Answer::Seen(seen)) => *seen,
        _ => None,
    };
    let mut commands = election.step(NOW, input);
    let silence = TICK * u32::try_from(aside.wall_ahead - renewed_at).unwrap_or(0);
    if let (Some(lease), Role::Following { next, .. }) = (seen, &mut election.state.role)
        && election.state.call.is_none()
        && silence >= lease.ttl
    {
        *next = Next::Acquire(lease.version);
        election.state.next_call_at = NOW.monotonic;
        commands.extend(election.step(NOW, Input::Tick));
    }
    commands
}

fn count_over_failed_reads(election: &mut Election, input: Input) -> Vec<Command> {
    let failed = input == Input::Answered(Answer::Unknown);
    let before = match election.state.role {
        Role::Following { sight, .. } if failed => sight,
        _ => None,
    };
    let commands = election.step(NOW, input);
    if let (Some(before), Role::Following { sight, .. }) = (before, &mut election.state.role) {
        *sight = Some(Sight { last: NOW.monotonic, ..before });
    }
    commands
}

fn believe_read_back(election: &mut Election, aside: &mut Aside, input: Input) -> Vec<Command> {
    if let (Input::Renounce { .. }, Role::Holding(holding)) = (&input, &election.state.role) {
        aside.shelved = Some(Box::new(holding.clone()));
    }
    let released = matches!(election.state.call, Some(Call { command: Command::Release { .. }, .. }));
    if let Input::Answered(Answer::Seen(Some(lease))) = &input
        && lease.holder == Some(election.candidate.id)
        && let Some(holding) = aside.shelved.take_if(|shelved| shelved.term == lease.version.term)
    {
        election.state.call = None;
        election.state.renounced = None;
        election.state.bar = None;
        election.state.role = Role::Holding(*holding);
        election.state.next_call_at = NOW.monotonic;
        return election.step(NOW, Input::Tick);
    }
    let failed = input == Input::Answered(Answer::Unknown);
    let commands = election.step(NOW, input);
    if released && failed && aside.shelved.is_some() {
        election.state.role = Role::Following { sight: None, next: Next::Look };
    }
    commands
}
