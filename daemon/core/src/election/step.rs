//! The transition function of the election.

use std::time::Duration;

use super::{
    Acting, Answer, Bar, Call, Command, EndReason, Fence, HolderId, Holding, Input, Lane, Lease, Next,
    PROTOCOL, RaiseAnswer, Releasing, Role, Sight, SitOut, State, Term, Timing,
};
use crate::clock::Reading;

/// Who stands, and by which times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// This process.
    pub id: HolderId,
    /// The times of the election.
    pub timing: Timing,
}

/// One master's view of the election.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Election {
    /// Who stands.
    pub candidate: Candidate,
    /// What it remembers.
    pub state: State,
}

impl Election {
    /// A master that has seen nothing yet. Its first step looks at the lease.
    #[must_use]
    pub fn new(candidate: Candidate, now: Reading) -> Self {
        let state = State {
            role: Role::Following { sight: None, next: Next::Look },
            call: None,
            raising: None,
            next_call_at: now.monotonic,
            look_again: false,
            highest: Term(0),
            bar: None,
            renounced: None,
            eligible: true,
            yields: false,
            raise_failures: 0,
            last_seen: None,
        };
        Self { candidate, state }
    }

    /// Takes in what happened and returns what to do about it now. `now` must be read after `input` arrived
    /// and before any of the returned commands leaves.
    pub fn step(&mut self, now: Reading, input: Input) -> Vec<Command> {
        self.take_in(now, input);
        self.expire(now);
        let mut commands = Vec::new();
        commands.extend(self.next_raise(now));
        commands.extend(self.next_call(now));
        commands
    }

    /// How long nothing will happen by itself. None while only an answer can change anything.
    #[must_use]
    pub fn next_wake(&self, now: Reading) -> Option<Duration> {
        let state = &self.state;
        let call = state.call.is_none().then_some(state.next_call_at.saturating_sub(now.monotonic));
        let (raise, deadline) = match &state.role {
            Role::Holding(holding) => {
                let due = match holding.fence {
                    Fence::Due(at) if state.raising.is_some() => {
                        at.max(holding.since + self.candidate.timing.raise_limit)
                    }
                    Fence::Due(at) => at,
                    Fence::Raised => Duration::MAX,
                };
                let deadline = holding.deadline().filter(|deadline| *deadline > now.boottime);
                (
                    (due < Duration::MAX).then_some(due.saturating_sub(now.monotonic)),
                    deadline.map(|deadline| deadline.saturating_sub(now.boottime)),
                )
            }
            Role::Following { .. } | Role::Releasing(_) => (None, None),
        };
        [call, raise, deadline].into_iter().flatten().min()
    }

    /// Under which term this master may act as the leader, and until when. Whoever acts compares the boot
    /// time with [`Acting::until`] before each action.
    #[must_use]
    pub fn acting(&self) -> Option<Acting> {
        match &self.state.role {
            Role::Holding(holding @ Holding { fence: Fence::Raised, .. }) => {
                Some(Acting { term: holding.term, until: holding.deadline()? })
            }
            Role::Holding(_) | Role::Following { .. } | Role::Releasing(_) => None,
        }
    }

    /// The longest wait for the answer to a command.
    #[must_use]
    pub fn limit(&self, lane: Lane) -> Duration {
        match lane {
            Lane::Lease => match &self.state.call {
                Some(Call { command: Command::Acquire { .. }, .. }) => self.candidate.timing.acquire_limit,
                _ => self.candidate.timing.call_limit,
            },
            Lane::Fence => self.candidate.timing.raise_call_limit,
        }
    }

    fn take_in(&mut self, now: Reading, input: Input) {
        match input {
            Input::Tick => {}
            Input::Hint => self.hinted(now),
            Input::Answered(answer) => {
                if let Some(call) = self.state.call.take() {
                    self.answered(now, call, answer);
                }
            }
            Input::RaiseAnswered(answer) => {
                if let Some(term) = self.state.raising.take() {
                    self.raise_answered(now, term, answer);
                }
            }
            Input::Superseded { term } => {
                if matches!(&self.state.role, Role::Holding(holding) if holding.term == term) {
                    self.follow(now.monotonic);
                }
            }
            Input::Renounce { reason, sit_out } => self.renounce(now, reason, sit_out),
            Input::Eligible(eligible) => {
                self.state.eligible = eligible;
                if eligible {
                    // The lease may be free, and nobody else may be there.
                    self.hinted(now);
                } else if let Role::Holding(holding) = &self.state.role {
                    self.release(now, holding.term, EndReason::Resigned);
                }
            }
            Input::Yield(yields) => self.state.yields = yields,
            Input::Retime(timing) => self.candidate.timing = timing,
        }
    }

    /// Lets pass what only time ends.
    fn expire(&mut self, now: Reading) {
        if self.state.bar.is_some_and(|bar| bar.until.is_some_and(|until| now.monotonic >= until)) {
            self.state.bar = None;
        }
        let timing = self.candidate.timing;
        if let Role::Holding(Holding { term, fence: Fence::Due(_), since, .. }) = self.state.role
            && now.monotonic >= since + timing.raise_limit
        {
            self.state.raise_failures = self.state.raise_failures.saturating_add(1);
            let wait = timing.back_off_after(self.state.raise_failures);
            let reason = EndReason::Resigned;
            self.state.bar = Some(Bar { reason, lifted_above: None, until: Some(now.monotonic + wait) });
            self.release(now, term, reason);
        }
    }

    fn hinted(&mut self, now: Reading) {
        if let Role::Following { .. } = self.state.role {
            if self.state.call.is_some() {
                self.state.look_again = true;
            } else {
                self.state.next_call_at = now.monotonic;
            }
        }
    }

    fn answered(&mut self, now: Reading, call: Call, answer: Answer) {
        let Call { command, sent_at } = call;
        match (command, answer) {
            (Command::Look, Answer::Seen(Some(lease))) => self.observed(now, sent_at, lease),
            (Command::Look, Answer::Seen(None)) => {
                if let Role::Following { sight, next } = &mut self.state.role {
                    (*sight, *next) = (None, Next::Create);
                    self.state.next_call_at = now.monotonic;
                }
            }
            (Command::Create, Answer::Applied | Answer::Refused)
            | (Command::Acquire { .. }, Answer::Refused) => self.look_afresh(now.monotonic),
            (Command::Acquire { term, ttl, .. }, Answer::Applied) => {
                self.hold(now, term, Some(sent_at), ttl);
            }
            (Command::Renew { term, ttl }, Answer::Applied) => self.renewed(term, ttl, sent_at),
            (Command::Renew { term, .. }, Answer::Refused) => {
                if matches!(&self.state.role, Role::Holding(holding) if holding.term == term) {
                    self.follow(now.monotonic);
                }
            }
            (Command::Release { term, .. }, Answer::Applied | Answer::Refused) => {
                if matches!(self.state.role, Role::Releasing(releasing) if releasing.term == term) {
                    self.follow(now.monotonic + self.candidate.timing.retry);
                }
            }
            // Nothing was learnt, whatever was asked.
            (
                Command::Look
                | Command::Create
                | Command::Acquire { .. }
                | Command::Renew { .. }
                | Command::Release { .. }
                | Command::Raise { .. },
                _,
            ) => {
                let retry_at = now.monotonic + self.candidate.timing.retry;
                self.look_afresh(retry_at);
                self.state.next_call_at = retry_at;
            }
        }
        if std::mem::take(&mut self.state.look_again) && matches!(self.state.role, Role::Following { .. }) {
            self.state.next_call_at = now.monotonic;
        }
    }

    /// Takes in what stands in the database.
    fn observed(&mut self, now: Reading, sent_at: Reading, lease: Lease) {
        let timing = self.candidate.timing;
        self.state.highest = self.state.highest.max(lease.version.term);
        self.state.last_seen = Some(lease);
        let Role::Following { sight, .. } = self.state.role else {
            return;
        };
        if lease.holder == Some(self.candidate.id) {
            // An acquire whose answer was lost. Only a renewal of now can open the deadline.
            self.hold(now, lease.version.term, None, timing.ttl.min(lease.ttl));
            return;
        }
        if lease.holder.is_some()
            && self
                .state
                .bar
                .is_some_and(|bar| bar.lifted_above.is_some_and(|term| lease.version.term > term))
        {
            self.state.bar = None;
        }
        // The holder's silence is measured by the holder's ttl, so the gap is too if that is the shorter one.
        let gap_limit = Timing::gap_limit(timing.ttl.min(lease.ttl));
        let kept = sight.filter(|sight| {
            sight.version == lease.version && now.monotonic.saturating_sub(sight.last) <= gap_limit
        });
        let since = kept.map_or(now.monotonic, |sight| sight.since);
        let free_at = since
            + match lease.holder {
                Some(_) => lease.ttl,
                None if self.state.yields => timing.yield_for,
                None => Duration::ZERO,
            };
        let free = now.monotonic >= free_at;
        let take = free && self.stands() && lease.protocol <= PROTOCOL;
        self.state.role = Role::Following {
            sight: Some(Sight { version: lease.version, since, last: now.monotonic }),
            next: if take { Next::Acquire(lease.version) } else { Next::Look },
        };
        let look_at = sent_at.monotonic + timing.every.min(lease.ttl / 4);
        self.state.next_call_at = if take {
            now.monotonic
        } else if !free {
            look_at.min(free_at)
        } else {
            look_at
        };
    }

    /// Begins a term, or goes on with one, unless this master gave it up or must not stand.
    fn hold(&mut self, now: Reading, term: Term, confirmed: Option<Reading>, ttl: Duration) {
        self.state.highest = self.state.highest.max(term);
        let renounced = self.state.renounced.filter(|(given_up, _)| term <= *given_up);
        if let Some((_, reason)) = renounced {
            self.release(now, term, reason);
        } else if !self.stands() {
            let reason = self.state.bar.map_or(EndReason::Resigned, |bar| bar.reason);
            self.release(now, term, reason);
        } else {
            self.state.role = Role::Holding(Holding {
                term,
                confirmed_at: confirmed.map(|sent_at| sent_at.boottime),
                counted_ttl: ttl,
                fence: Fence::Due(now.monotonic),
                since: now.monotonic,
            });
            let every = self.candidate.timing.every.min(ttl / 4);
            self.state.next_call_at = confirmed.map_or(now.monotonic, |sent_at| sent_at.monotonic + every);
        }
    }

    fn renewed(&mut self, term: Term, ttl: Duration, sent_at: Reading) {
        if let Role::Holding(holding) = &mut self.state.role
            && holding.term == term
        {
            holding.confirmed_at = Some(sent_at.boottime);
            // An earlier renewal with a smaller time, of which nothing was heard, may yet be made and would put
            // that time back into the lease. So the time to count with never grows within a term.
            holding.counted_ttl = holding.counted_ttl.min(ttl);
            let every = self.candidate.timing.every.min(holding.counted_ttl / 4);
            self.state.next_call_at = sent_at.monotonic + every;
        }
    }

    fn raise_answered(&mut self, now: Reading, term: Term, answer: RaiseAnswer) {
        let retry = self.candidate.timing.retry;
        let Role::Holding(holding) = &mut self.state.role else {
            return;
        };
        if holding.term != term {
            return;
        }
        match answer {
            RaiseAnswer::Raised => {
                holding.fence = Fence::Raised;
                self.state.raise_failures = 0;
            }
            RaiseAnswer::Higher(higher) => {
                // Somebody leads, or the lease is older than the fence: the next term must be above both.
                self.state.highest = self.state.highest.max(higher);
                self.release(now, term, EndReason::Resigned);
            }
            RaiseAnswer::Unknown => holding.fence = Fence::Due(now.monotonic + retry),
        }
    }

    fn renounce(&mut self, now: Reading, reason: EndReason, sit_out: SitOut) {
        let timing = self.candidate.timing;
        let bar = match sit_out {
            SitOut::UntilOtherTerm => Bar {
                reason,
                lifted_above: Some(self.state.highest),
                until: Some(now.monotonic + timing.sit_out()),
            },
            SitOut::For(duration) => {
                Bar { reason, lifted_above: None, until: Some(now.monotonic + duration) }
            }
            SitOut::Forever => Bar { reason, lifted_above: None, until: None },
        };
        if self.state.bar.is_none_or(|standing| bar.outlasts(standing)) {
            self.state.bar = Some(bar);
        }
        if let Role::Holding(holding) = &self.state.role {
            self.release(now, holding.term, reason);
        }
    }

    /// Gives a term up for good. From here on nothing opens its deadline again.
    fn release(&mut self, now: Reading, term: Term, reason: EndReason) {
        let greatest = self.state.renounced.map_or(term, |(given_up, _)| given_up.max(term));
        self.state.renounced = Some((greatest, reason));
        self.state.role = Role::Releasing(Releasing { term, reason });
        self.state.next_call_at = now.monotonic;
    }

    fn follow(&mut self, look_at: Duration) {
        self.state.role = Role::Following { sight: None, next: Next::Look };
        self.state.next_call_at = look_at;
    }

    /// Forgets the silence counted so far, if this master follows.
    fn look_afresh(&mut self, look_at: Duration) {
        if let Role::Following { .. } = self.state.role {
            self.follow(look_at);
        }
    }

    fn stands(&self) -> bool {
        self.state.eligible && self.state.bar.is_none()
    }

    fn next_raise(&mut self, now: Reading) -> Option<Command> {
        match self.state.role {
            Role::Holding(Holding { term, fence: Fence::Due(at), .. })
                if self.state.raising.is_none() && now.monotonic >= at =>
            {
                self.state.raising = Some(term);
                Some(Command::Raise { term })
            }
            Role::Holding(_) | Role::Following { .. } | Role::Releasing(_) => None,
        }
    }

    fn next_call(&mut self, now: Reading) -> Option<Command> {
        if self.state.call.is_some() || now.monotonic < self.state.next_call_at {
            return None;
        }
        let ttl = self.candidate.timing.ttl;
        let command = match &mut self.state.role {
            Role::Following { next, .. } => match std::mem::replace(next, Next::Look) {
                Next::Look => Command::Look,
                Next::Create => Command::Create,
                Next::Acquire(observed) => {
                    Command::Acquire { observed, term: self.state.highest.next(), ttl }
                }
            },
            Role::Holding(holding) => {
                // Followers may go by the new time as soon as the renewal is made, acknowledged or not.
                holding.counted_ttl = holding.counted_ttl.min(ttl);
                Command::Renew { term: holding.term, ttl }
            }
            Role::Releasing(Releasing { term, reason }) => Command::Release { term: *term, reason: *reason },
        };
        self.state.call = Some(Call { command: command.clone(), sent_at: now });
        Some(command)
    }
}
