//! The way of a call to the database and back.

use std::time::Duration;

use kontena_core::election::{Answer, Command, HolderId, Lane, RaiseAnswer, Term};

use crate::dice::{ms, us};
use crate::event::{DutyStep, Event};
use crate::fault::{Fault, Mishap};
use crate::sabotage::Sabotage;
use crate::world::{Action, World};

/// What a process asks of the database.
#[derive(Clone, Debug)]
pub(crate) enum Ask {
    Lease(Command),
    Raise(Term),
    /// Commit an effect of this term.
    Effect(Term),
    /// Release whatever the dead process held.
    Burial,
}

impl Ask {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Lease(Command::Look) => "look",
            Self::Lease(Command::Create) => "create",
            Self::Lease(Command::Acquire { .. }) => "acquire",
            Self::Lease(Command::Renew { .. }) => "renew",
            Self::Lease(Command::Release { .. }) => "release",
            Self::Lease(Command::Raise { .. }) | Self::Raise(_) => "raise",
            Self::Effect(_) => "effect",
            Self::Burial => "release on behalf",
        }
    }

    fn unknown(&self) -> Reply {
        match self {
            Self::Lease(_) => Reply::Lease(Answer::Unknown),
            Self::Raise(_) => Reply::Raise(RaiseAnswer::Unknown),
            Self::Effect(_) => Reply::Effect(None),
            Self::Burial => Reply::Burial,
        }
    }
}

/// What comes back.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    Lease(Answer),
    Raise(RaiseAnswer),
    /// Whether the effect was committed, if that is known.
    Effect(Option<bool>),
    Burial,
}

/// A call, from the moment it was made.
pub(crate) struct Call {
    pub(crate) process: usize,
    holder: HolderId,
    ask: Ask,
    /// Whether the fence existed when a raise looked.
    fence_seen: bool,
    /// Nobody waits for the answer any more.
    abandoned: bool,
    reply: Option<Reply>,
}

/// All calls of a run, and those that wait in the database.
#[derive(Default)]
pub(crate) struct Network {
    calls: Vec<Call>,
    /// Requests that wait for a primary.
    waiting: Vec<usize>,
    /// Answers that wait until a majority has everything up to a position.
    unacknowledged: Vec<(u64, usize, Reply)>,
}

impl Network {
    pub(crate) fn calls(&self) -> u64 {
        u64::try_from(self.calls.len()).unwrap_or(u64::MAX)
    }
}

impl World {
    /// Sends a request on behalf of a living process.
    pub(crate) fn ask(&mut self, process: usize, ask: Ask) -> usize {
        let holder = self.processes[process].holder;
        self.ask_for(process, holder, ask)
    }

    /// Sends a request on behalf of `holder`, by the way of the host of `process`.
    pub(crate) fn ask_for(&mut self, process: usize, holder: HolderId, ask: Ask) -> usize {
        let call = self.network.calls.len();
        let now = self.now();
        let host = self.processes[process].host;
        let (what, text) = (ask.name(), ask.clone());
        self.history.tell(now, || format!("master {host}: call {call}: {text:?}"));
        self.network.calls.push(Call {
            process,
            holder,
            ask,
            fence_seen: false,
            abandoned: false,
            reply: None,
        });
        if self.oracle.called(now, host) {
            return call;
        }
        if self.broken_store_answers(call) {
            return call;
        }
        let weather = self.hosts[host].weather;
        if self.hosts[host].partitioned {
            self.no_way(call);
        } else if self.dice.chance(weather.request_lost) {
            self.mishap(call, what, Mishap::RequestLost);
            self.lost(call);
        } else if self.dice.chance(weather.fails_before) {
            self.mishap(call, what, Mishap::FailedWithoutEffect);
            self.fail(call);
        } else {
            let mut wait = self.dice.span(us(100), weather.latency);
            let acquire = matches!(self.network.calls[call].ask, Ask::Lease(Command::Acquire { .. }));
            let late = weather.request_late + if acquire { weather.acquire_late } else { 0 };
            if self.dice.chance(late) {
                let late = self.dice.skewed(ms(20), weather.late);
                self.mishap(call, what, Mishap::RequestLate(late));
                wait += late;
            }
            self.push_in(wait, Event::Arrive { call });
        }
        call
    }

    pub(crate) fn take_reply(&mut self, call: usize) -> Option<Reply> {
        self.network.calls[call].reply.take()
    }

    pub(crate) fn abandon(&mut self, process: usize, lane: Lane, call: usize) {
        self.processes[process].leave(lane);
        self.network.calls[call].abandoned = true;
    }

    /// A request reaches the database, or what is left of it.
    pub(crate) fn arrive(&mut self, call: usize) {
        let host = self.host_of(call);
        if self.hosts[host].partitioned {
            return self.no_way(call);
        }
        let wait = self.hosts[host].weather.execution;
        let wait = self.dice.span(Duration::ZERO, wait);
        self.push_in(wait, Event::Execute { call });
    }

    /// The database gets round to a request.
    pub(crate) fn execute(&mut self, call: usize) {
        if !self.database.primary {
            return self.without_primary(call);
        }
        let Call { ask, holder, process, .. } = &self.network.calls[call];
        let (ask, holder, process) = (ask.clone(), *holder, *process);
        let host = self.host_of(call);
        let position = self.database.head_position();
        let reply = match ask {
            Ask::Lease(Command::Look) => {
                let looked_at =
                    std::mem::replace(&mut self.processes[process].looked_at, self.database.reign);
                if looked_at != self.database.reign {
                    return self.answer(call, Reply::Lease(Answer::Unknown));
                }
                let seen = self.database.execute(&Command::Look, holder, self.hosts[host].ttl);
                return self.answer(call, Reply::Lease(seen));
            }
            Ask::Lease(command) => {
                Reply::Lease(self.database.execute(&command, holder, self.hosts[host].ttl))
            }
            Ask::Raise(term) => {
                if let Some(higher) = self.database.fence_above(term) {
                    // It is read as the primary has it, whether a majority has it or not.
                    return self.answer(call, Reply::Raise(RaiseAnswer::Higher(higher)));
                }
                self.network.calls[call].fence_seen = self.database.head().fence.is_some();
                let wait = self.dice.span(us(100), ms(3));
                return self.push_in(wait, Event::Raise { call });
            }
            Ask::Effect(term) => Reply::Effect(Some(self.database.effect(term))),
            Ask::Burial => {
                self.database.bury(holder);
                Reply::Burial
            }
        };
        self.executed(call, position, reply);
    }

    /// The second half of a raise.
    pub(crate) fn raise(&mut self, call: usize) {
        let Call { ask: Ask::Raise(term), fence_seen, .. } = self.network.calls[call] else { return };
        if !self.database.primary {
            return self.without_primary(call);
        }
        let position = self.database.head_position();
        let reply = Reply::Raise(self.database.raise(term, fence_seen));
        self.executed(call, position, reply);
    }

    /// A majority has everything up to `position`, unless things have changed meanwhile.
    pub(crate) fn replicated(&mut self, position: u64, reign: u64) {
        if reign != self.database.reign || self.database.stalled || !self.database.primary {
            return;
        }
        let before = self.database.committed.lease;
        while let Some(entry) = self.database.replicated(position) {
            let now = self.now();
            self.oracle.committed(now, entry);
        }
        if self.database.committed.lease != before {
            let (now, lease) = (self.now(), self.database.committed.lease);
            self.history.tell(now, || format!("database: a majority has {lease:?}"));
            self.send_hints();
        }
        let reached = self.database.committed_position;
        let waiting = std::mem::take(&mut self.network.unacknowledged);
        for (position, call, reply) in waiting {
            if position <= reached {
                self.answer(call, reply);
            } else {
                self.network.unacknowledged.push((position, call, reply));
            }
        }
    }

    /// The primary is gone: those who wait for an acknowledgement get none.
    pub(crate) fn drop_unacknowledged(&mut self) {
        for (_, call, _) in std::mem::take(&mut self.network.unacknowledged) {
            if self.dice.chance(600) {
                self.fail(call);
            }
        }
    }

    /// A primary is there: those who waited for one are served, and some who gave up are served too.
    pub(crate) fn serve_waiting(&mut self) {
        for call in std::mem::take(&mut self.network.waiting) {
            if !self.network.calls[call].abandoned || self.dice.chance(300) {
                let wait = self.dice.span(us(100), ms(20));
                self.push_in(wait, Event::Arrive { call });
            }
        }
    }

    /// An answer arrives.
    pub(crate) fn answered(&mut self, call: usize, reply: Reply) -> Option<Action> {
        let now = self.now();
        let Call { process, abandoned, ask, .. } = &self.network.calls[call];
        let (process, abandoned) = (*process, *abandoned);
        let Ask::Effect(term) = *ask else {
            self.history
                .tell(now, || format!("call {call}: {reply:?}{}", if abandoned { ", too late" } else { "" }));
            if abandoned {
                self.processes[process].stale = Some(reply);
            } else {
                self.network.calls[call].reply = Some(reply);
                self.processes[process].ready.set();
            }
            return None;
        };
        self.history.tell(now, || format!("call {call}: effect of term {term}: {reply:?}"));
        matches!(reply, Reply::Effect(Some(false)))
            .then(|| self.duty_step(process, DutyStep::Superseded(term)))
            .flatten()
    }

    fn executed(&mut self, call: usize, before: u64, reply: Reply) {
        let position = self.database.head_position();
        if position > before {
            let wait = self.dice.span(us(200), ms(3));
            let reign = self.database.reign;
            self.push_in(wait, Event::Replicated { position, reign });
        }
        let too_soon = self.sabotage == Sabotage::AcknowledgedTooSoon;
        if position <= self.database.committed_position || too_soon {
            self.answer(call, reply);
        } else {
            self.network.unacknowledged.push((position, call, reply));
        }
    }

    /// Sends an answer on its way.
    fn answer(&mut self, call: usize, reply: Reply) {
        let host = self.host_of(call);
        let what = self.network.calls[call].ask.name();
        let weather = self.hosts[host].weather;
        if self.hosts[host].partitioned {
            return self.no_way(call);
        }
        if self.dice.chance(weather.answer_lost) {
            return self.mishap(call, what, Mishap::AnswerLost);
        }
        if self.dice.chance(weather.fails_after) {
            self.mishap(call, what, Mishap::FailedWithEffect);
            return self.fail(call);
        }
        let mut wait = self.dice.span(us(100), weather.latency);
        if self.dice.chance(weather.answer_late) {
            let late = self.dice.skewed(ms(20), weather.late);
            self.mishap(call, what, Mishap::AnswerLate(late));
            wait += late;
        }
        self.push_in(wait, Event::Answer { call, reply });
    }

    /// An error comes back.
    fn fail(&mut self, call: usize) {
        let reply = match self.remembered(call) {
            Some(lease) => Reply::Lease(lease),
            None => self.network.calls[call].ask.unknown(),
        };
        let wait = self.dice.span(us(100), ms(5));
        self.push_in(wait, Event::Answer { call, reply });
    }

    /// There is no way to the database: an error, or nothing at all.
    fn no_way(&mut self, call: usize) {
        if self.dice.chance(500) {
            self.fail(call);
        } else {
            self.lost(call);
        }
    }

    fn without_primary(&mut self, call: usize) {
        if self.remembered(call).is_none() && self.dice.chance(600) {
            self.network.waiting.push(call);
        } else {
            self.fail(call);
        }
    }

    fn lost(&mut self, call: usize) {
        let renewal = matches!(self.network.calls[call].ask, Ask::Lease(Command::Renew { .. }));
        if renewal && self.sabotage == Sabotage::LostRenewalAcknowledged {
            self.push_in(ms(2), Event::Answer { call, reply: Reply::Lease(Answer::Applied) });
        }
    }

    /// What a broken store answers of its own, if it is broken in such a way.
    fn broken_store_answers(&mut self, call: usize) -> bool {
        let Call { process, ask, .. } = &self.network.calls[call];
        let (process, look) = (*process, matches!(ask, Ask::Lease(Command::Look)));
        let renew = matches!(ask, Ask::Lease(Command::Renew { .. }));
        let reply = match self.sabotage {
            Sabotage::LooksFindNothing if look => Some(Answer::Seen(None)),
            Sabotage::AnswersMixedUp if renew => match self.processes[process].stale.take() {
                Some(Reply::Lease(answer @ Answer::Applied)) => Some(answer),
                _ => None,
            },
            Sabotage::RenewalsUnanswered if renew => return true,
            _ => None,
        };
        let Some(answer) = reply else { return false };
        self.push_in(us(1), Event::Answer { call, reply: Reply::Lease(answer) });
        true
    }

    /// What a store that answers looks from its memory says instead of an error.
    fn remembered(&self, call: usize) -> Option<Answer> {
        let look = matches!(self.network.calls[call].ask, Ask::Lease(Command::Look));
        (look && self.sabotage == Sabotage::LooksFromMemory)
            .then_some(Answer::Seen(self.database.committed.lease))
    }

    fn host_of(&self, call: usize) -> usize {
        self.processes[self.network.calls[call].process].host
    }

    fn mishap(&mut self, call: usize, what: &'static str, mishap: Mishap) {
        let master = self.host_of(call);
        self.inject(Fault::Call { master, call, what, mishap });
    }
}
