//! A running driver, with what the rest of its process would hold.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_core::election::{Candidate, Election, HolderId, InvalidTtl, Term, Timing};
use kontena_server::Trace;
use kontena_server::election::{Driver, Leadership, Publisher, Request, Requests};

use crate::bus::SimBus;
use crate::clock::{Readers, SimClock};
use crate::lease_store::SimLeaseStore;
use crate::process::{Process, Ready};
use crate::shared::Shared;
use crate::time::{Time, nanos};
use crate::world::World;

/// The longest time for which a permission can be given, by any clock.
const LONGEST: Duration = Duration::from_secs(120);

pub(crate) struct Seat {
    driver: Pin<Box<dyn Future<Output = ()>>>,
    leadership: Leadership<SimClock>,
    requests: Option<Requests>,
    ready: Arc<Ready>,
    waker: Waker,
    clock: SimClock,
    reads: Arc<AtomicU64>,
    ahead: Arc<AtomicU64>,
    pub(crate) holder: HolderId,
}

impl Seat {
    /// Starts the master's next process. Until it is told otherwise, it only watches.
    pub(crate) fn start(world: &Shared<World>, master: usize) -> Result<(usize, Self), InvalidTtl> {
        let mut locked = world.lock();
        let timing = Timing::new(locked.hosts[master].ttl)?;
        let holder = locked.dice.holder();
        let process = locked.spawn(master, holder);
        let Process { ready, reads: clock_reads, .. } = &locked.processes[process];
        let (ready, clock_reads) = (Arc::clone(ready), Arc::clone(clock_reads));
        let ahead = Arc::<AtomicU64>::default();
        let clock = |readers| SimClock {
            present: locked.present.clone(),
            host: locked.hosts[master].clock.clone(),
            world: world.clone(),
            process,
            readers,
        };
        let drivers_clock = clock(Readers::Driver(Arc::clone(&clock_reads)));
        let (publisher, leadership) = Publisher::new(clock(Readers::Permission(Arc::clone(&ahead))));
        let (requests, receiver) = Requests::channel();
        let mut election = Election::new(Candidate { id: holder, timing }, drivers_clock.now());
        election.state.eligible = false;
        let driver = Driver::new(
            election,
            SimLeaseStore { world: world.clone(), process },
            SimBus { world: world.clone(), process },
            drivers_clock.clone(),
            publisher,
            receiver,
            Trace::default(),
        );
        let seat = Self {
            driver: Box::pin(driver.run()),
            leadership,
            requests: Some(requests),
            waker: Waker::from(Arc::clone(&ready)),
            ready,
            clock: drivers_clock,
            reads: clock_reads,
            ahead,
            holder,
        };
        Ok((process, seat))
    }

    /// Whether the driver has something to do.
    pub(crate) fn ready(&self) -> bool {
        self.ready.is_set()
    }

    /// Lets the driver go on.
    pub(crate) fn poll(&mut self) -> Poll<()> {
        self.ready.clear();
        self.driver.as_mut().poll(&mut Context::from_waker(&self.waker))
    }

    /// How often the driver read its clocks since this was last asked.
    pub(crate) fn take_reads(&self) -> u64 {
        self.reads.swap(0, Ordering::Relaxed)
    }

    /// The term under which this master may act now.
    pub(crate) fn acting(&self) -> Option<Term> {
        self.leadership.acting()
    }

    /// Whether this master may act under this term now.
    pub(crate) fn may_act(&self, term: Term) -> bool {
        self.leadership.may_act(term)
    }

    /// When the present permission ends, to the nanosecond: found by asking for it at later and later times.
    pub(crate) fn acting_until(&self) -> Time {
        let (mut open, mut closed) = (0, nanos(LONGEST));
        while closed - open > 1 {
            let middle = open + (closed - open) / 2;
            self.ahead.store(middle, Ordering::Relaxed);
            if self.leadership.acting().is_some() {
                open = middle;
            } else {
                closed = middle;
            }
        }
        self.ahead.store(0, Ordering::Relaxed);
        let deadline = self.clock.now().boottime + Duration::from_nanos(closed);
        self.clock.host.lock().when_booted(deadline)
    }

    pub(crate) fn request(&self, request: Request) {
        if let Some(requests) = &self.requests {
            // A driver that has ended takes none, and one that is stopped for long may be behind.
            let _taken = requests.send(request);
        }
    }

    /// Nobody is left who could ask for anything.
    pub(crate) fn abandon(&mut self) {
        self.requests = None;
    }
}
