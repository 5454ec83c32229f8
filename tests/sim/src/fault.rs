//! The faults that strike in a run, written down so that a failing run explains itself.

use std::fmt;
use std::time::Duration;

use kontena_core::election::SitOut;

/// A fault, and when it struck.
#[derive(Clone, Debug, PartialEq)]
pub struct Injected {
    /// True time since the beginning.
    pub at: Duration,
    /// What struck.
    pub fault: Fault,
}

/// What can strike. Masters are numbered from 0; durations are true time.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// The process got SIGSTOP, and SIGCONT later.
    Stopped {
        /// Whose process.
        master: usize,
        /// For how long.
        lasts: Duration,
    },
    /// The host was suspended: its boot time went on, its monotonic clock stood.
    Suspended {
        /// Whose host.
        master: usize,
        /// For how long.
        lasts: Duration,
    },
    /// The process died.
    Killed {
        /// Whose process.
        master: usize,
        /// When its lease was released on its behalf, if it was.
        buried_after: Option<Duration>,
        /// When the next process started.
        back_after: Duration,
    },
    /// The process was stopped as planned.
    Retired {
        /// Whose process.
        master: usize,
        /// Everybody who could still have asked something of the driver was gone at once.
        abandoned: bool,
    },
    /// The process was asked to give up the lease.
    Renounced {
        /// Whose process.
        master: usize,
        /// How long not to stand.
        sit_out: SitOut,
    },
    /// The process was told not to stand.
    Ineligible {
        /// Whose process.
        master: usize,
        /// For how long.
        lasts: Duration,
    },
    /// The database had no primary.
    NoPrimary {
        /// For how long.
        lasts: Duration,
        /// Writes without a majority that the next primary had.
        kept: usize,
        /// Writes without a majority that were undone.
        lost: usize,
    },
    /// The primary had no majority: nothing was acknowledged.
    Stalled {
        /// For how long.
        lasts: Duration,
    },
    /// One host did not reach the database.
    Partitioned {
        /// Whose host.
        master: usize,
        /// For how long.
        lasts: Duration,
    },
    /// Calls on the database fared badly.
    Storm {
        /// Whose calls.
        master: usize,
        /// How badly.
        how: String,
        /// For how long.
        lasts: Duration,
    },
    /// One call fared badly.
    Call {
        /// Whose call.
        master: usize,
        /// Its number.
        call: usize,
        /// What was asked.
        what: &'static str,
        /// What went wrong.
        mishap: Mishap,
    },
    /// The configured time of the lease was changed.
    Retimed {
        /// Whose setting.
        master: usize,
        /// The new time.
        ttl: Duration,
    },
    /// The host's clocks went at another rate from here on.
    ClockRate {
        /// Whose host.
        master: usize,
        /// In millionths of true time.
        rate: u64,
    },
    /// Hints came without reason.
    SpuriousHints {
        /// To whom.
        master: usize,
        /// How many.
        count: u32,
    },
    /// No hint arrived.
    HintsLost {
        /// Where.
        master: usize,
        /// For how long.
        lasts: Duration,
    },
}

/// What can go wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// The request never arrived.
    RequestLost,
    /// It was carried out, and the answer never arrived.
    AnswerLost,
    /// An error came back, and nothing was done.
    FailedWithoutEffect,
    /// An error came back, though it was carried out.
    FailedWithEffect,
    /// The request arrived so much later than usual.
    RequestLate(Duration),
    /// The answer arrived so much later than usual.
    AnswerLate(Duration),
}

impl fmt::Display for Injected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>13.6} s  {}", self.at.as_secs_f64(), self.fault)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped { master, lasts } => write!(f, "master {master} is stopped for {lasts:?}"),
            Self::Suspended { master, lasts } => write!(f, "host {master} is suspended for {lasts:?}"),
            Self::Killed { master, buried_after, back_after } => {
                write!(f, "master {master} is killed, and back after {back_after:?}")?;
                match buried_after {
                    Some(after) => write!(f, "; its lease is released on its behalf after {after:?}"),
                    None => write!(f, "; nobody releases its lease"),
                }
            }
            Self::Retired { master, abandoned } => {
                let how = if *abandoned { ", and nobody is left to ask for anything" } else { "" };
                write!(f, "master {master} is stopped as planned{how}")
            }
            Self::Renounced { master, sit_out } => {
                write!(f, "master {master} is asked to step down: {sit_out:?}")
            }
            Self::Ineligible { master, lasts } => write!(f, "master {master} must not stand for {lasts:?}"),
            Self::NoPrimary { lasts, kept, lost } => {
                write!(f, "there is no primary for {lasts:?}; writes at risk: {kept} kept, {lost} undone")
            }
            Self::Stalled { lasts } => write!(f, "the primary has no majority for {lasts:?}"),
            Self::Partitioned { master, lasts } => {
                write!(f, "master {master} does not reach the database for {lasts:?}")
            }
            Self::Storm { master, how, lasts } => {
                write!(f, "the calls of master {master} fare badly for {lasts:?}: {how}")
            }
            Self::Call { master, call, what, mishap } => {
                write!(f, "call {call} of master {master} ({what}): {mishap}")
            }
            Self::Retimed { master, ttl } => write!(f, "the ttl of master {master} is set to {ttl:?}"),
            Self::ClockRate { master, rate } => {
                write!(f, "the clocks of host {master} go at {rate} millionths of true time")
            }
            Self::SpuriousHints { master, count } => {
                write!(f, "master {master} gets {count} hints without reason")
            }
            Self::HintsLost { master, lasts } => write!(f, "master {master} gets no hints for {lasts:?}"),
        }
    }
}

impl fmt::Display for Mishap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RequestLost => f.write_str("the request is lost"),
            Self::AnswerLost => f.write_str("the answer is lost"),
            Self::FailedWithoutEffect => f.write_str("it fails, and was not carried out"),
            Self::FailedWithEffect => f.write_str("it fails, though it was carried out"),
            Self::RequestLate(late) => write!(f, "the request is {late:?} late"),
            Self::AnswerLate(late) => write!(f, "the answer is {late:?} late"),
        }
    }
}
