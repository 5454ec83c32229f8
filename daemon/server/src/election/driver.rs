//! The loop around the election's state machine. It decides nothing: it reads the clock, carries out commands
//! within their limits, and feeds back what came of them.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, OptionFuture};
use kontena_core::clock::Clock;
use kontena_core::election::{
    Answer, Bus, Command, Election, EndReason, Input, Lane, LeaseStore, RaiseAnswer, Role, SitOut, Term,
    Timing,
};
use tokio::sync::mpsc;

use super::Publisher;
use crate::trace::Trace;

/// How many requests may wait for the driver, which takes each at once.
const REQUESTS_MAX: usize = 64;

/// What the rest of the process asks of the election.
#[derive(Clone, Debug)]
pub enum Request {
    /// Give up the lease, and do not stand for some time.
    Renounce {
        /// Why, for people.
        reason: EndReason,
        /// How long not to stand.
        sit_out: SitOut,
    },
    /// Whether this master may stand.
    Eligible(bool),
    /// Whether a master is there that is preferred to this one.
    Yield(bool),
    /// A fenced write found another term in force.
    Superseded(Term),
    /// The configured time was changed.
    Retime(Timing),
    /// Give up the lease for good, then end the driver.
    Retire,
}

impl Request {
    fn into_input(self) -> Input {
        match self {
            Self::Retire => Input::Renounce { reason: EndReason::Released, sit_out: SitOut::Forever },
            Self::Renounce { reason, sit_out } => Input::Renounce { reason, sit_out },
            Self::Eligible(eligible) => Input::Eligible(eligible),
            Self::Yield(yields) => Input::Yield(yields),
            Self::Superseded(term) => Input::Superseded { term },
            Self::Retime(timing) => Input::Retime(timing),
        }
    }
}

/// What the thread of the lease does besides: see to it that the rest of the process still runs.
pub trait Oversight: Send {
    /// Looks are wanted at least so often.
    fn every(&self) -> Duration;

    /// Takes a look at monotonic time `now`. Must not block.
    fn look(&mut self, now: Duration, ttl: Duration) -> Option<Request>;
}

/// Where requests are handed in.
#[derive(Clone, Debug)]
pub struct Requests(mpsc::Sender<Request>);

impl Requests {
    /// A queue for a driver to come.
    #[must_use]
    pub fn channel() -> (Self, RequestsReceiver) {
        let (sender, receiver) = mpsc::channel(REQUESTS_MAX);
        (Self(sender), RequestsReceiver(receiver))
    }

    /// Hands a request in. Returns false if the driver has ended or is hopelessly behind.
    #[must_use]
    pub fn send(&self, request: Request) -> bool {
        self.0.try_send(request).is_ok()
    }
}

/// The other end of [`Requests`].
#[derive(Debug)]
pub struct RequestsReceiver(mpsc::Receiver<Request>);

/// The driver of one master's election.
pub struct Driver<L, B, C> {
    election: Election,
    store: Arc<L>,
    bus: B,
    clock: C,
    publisher: Publisher<C>,
    requests: RequestsReceiver,
    trace: Trace,
    oversight: Option<Box<dyn Oversight>>,
}

type Pending<T> = OptionFuture<BoxFuture<'static, T>>;

impl<L: LeaseStore, B: Bus, C: Clock> Driver<L, B, C> {
    /// A driver that starts with `election`, which has not stepped yet.
    #[must_use]
    pub fn new(
        election: Election,
        store: L,
        bus: B,
        clock: C,
        publisher: Publisher<C>,
        requests: RequestsReceiver,
        trace: Trace,
    ) -> Self {
        Self { election, store: Arc::new(store), bus, clock, publisher, requests, trace, oversight: None }
    }

    /// The same, with somebody who looks after the rest of the process.
    #[must_use]
    pub fn with(self, oversight: impl Oversight + 'static) -> Self {
        Self { oversight: Some(Box::new(oversight)), ..self }
    }

    /// Runs until it was asked to retire and the lease is given back, or until everybody who could ask is gone.
    pub async fn run(mut self) {
        let mut lease_call: Pending<Answer> = None.into();
        let mut raise_call: Pending<RaiseAnswer> = None.into();
        let mut retiring = false;
        let mut asked = true;
        let mut input = Input::Tick;
        let mut look_at = Duration::ZERO;
        loop {
            let now = self.clock.now();
            let commands = self.election.step(now, input);
            self.publisher.publish(&self.election);
            self.trace.acting(&self.election, now.boottime, self.clock.now().boottime);
            for command in commands {
                match command.lane() {
                    Lane::Lease => lease_call = Some(self.call(command)).into(),
                    Lane::Fence => raise_call = Some(self.raise(command)).into(),
                }
            }
            if retiring && matches!(self.election.state.role, Role::Following { .. }) && !self.acquiring() {
                break;
            }
            let until_look = self.until_look(look_at);
            input = tokio::select! {
                biased;
                Some(answer) = &mut lease_call => {
                    lease_call = None.into();
                    Input::Answered(answer)
                }
                Some(answer) = &mut raise_call => {
                    raise_call = None.into();
                    Input::RaiseAnswered(answer)
                }
                request = self.requests.0.recv(), if asked => match request {
                    // When nobody is left to ask, the queue would say so again and again, without a pause.
                    None => {
                        (asked, retiring) = (false, true);
                        Input::Renounce { reason: EndReason::Released, sit_out: SitOut::Forever }
                    }
                    Some(request) => {
                        retiring |= matches!(request, Request::Retire);
                        request.into_input()
                    }
                },
                () = self.bus.lease_changed() => Input::Hint,
                () = wake(&self.clock, self.election.next_wake(self.clock.now())) => Input::Tick,
                () = wake(&self.clock, until_look) => {
                    let now = self.clock.now().monotonic;
                    let ttl = self.election.candidate.timing.ttl;
                    let request = self.oversight.as_mut().and_then(|oversight| {
                        look_at = now + oversight.every();
                        oversight.look(now, ttl)
                    });
                    request.map_or(Input::Tick, Request::into_input)
                }
            };
        }
        self.publisher.close();
    }

    fn until_look(&self, at: Duration) -> Option<Duration> {
        self.oversight.as_ref().map(|_| at.saturating_sub(self.clock.now().monotonic))
    }

    /// Whether a call is under way that could still make this master the holder.
    fn acquiring(&self) -> bool {
        self.election.state.call.as_ref().is_some_and(|call| matches!(call.command, Command::Acquire { .. }))
    }

    fn call(&self, command: Command) -> BoxFuture<'static, Answer> {
        let (store, clock, limit) =
            (Arc::clone(&self.store), self.clock.clone(), self.election.limit(Lane::Lease));
        async move {
            tokio::select! {
                biased;
                answer = store.execute(command, limit) => answer,
                () = clock.sleep(limit) => Answer::Unknown,
            }
        }
        .boxed()
    }

    fn raise(&self, command: Command) -> BoxFuture<'static, RaiseAnswer> {
        let (store, clock, limit) =
            (Arc::clone(&self.store), self.clock.clone(), self.election.limit(Lane::Fence));
        let step_limit = self.election.candidate.timing.raise_step_limit;
        async move {
            let Command::Raise { term } = command else {
                return RaiseAnswer::Unknown;
            };
            tokio::select! {
                biased;
                answer = store.raise(term, step_limit) => answer,
                () = clock.sleep(limit) => RaiseAnswer::Unknown,
            }
        }
        .boxed()
    }
}

/// Waits for as long as nothing will happen by itself.
fn wake<C: Clock>(clock: &C, after: Option<Duration>) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
    match after {
        Some(duration) => clock.sleep(duration).boxed(),
        None => std::future::pending().boxed(),
    }
}
