//! The clocks of one process, and waiting by them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use kontena_core::clock::{Clock, Reading};

use crate::host::HostClock;
use crate::shared::Shared;
use crate::time::Present;
use crate::world::World;

/// What a process reads and sleeps by.
#[derive(Clone)]
pub(crate) struct SimClock {
    pub(crate) present: Present,
    pub(crate) host: Shared<HostClock>,
    pub(crate) world: Shared<World>,
    pub(crate) process: usize,
    pub(crate) readers: Readers,
}

/// Who reads these clocks.
#[derive(Clone)]
pub(crate) enum Readers {
    /// The driver, and how often it did.
    Driver(Arc<AtomicU64>),
    /// Whoever asks for the permission to act, and how many nanoseconds ahead the oracle makes boot time appear,
    /// to find out when a permission ends.
    Permission(Arc<AtomicU64>),
}

impl Clock for SimClock {
    fn now(&self) -> Reading {
        let mut reading = self.host.lock().read(self.present.get());
        match &self.readers {
            Readers::Driver(reads) => {
                reads.fetch_add(1, Ordering::Relaxed);
            }
            Readers::Permission(ahead) => {
                reading.boottime += Duration::from_nanos(ahead.load(Ordering::Relaxed));
            }
        }
        reading
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        let until = self.host.lock().read(self.present.get()).monotonic + duration;
        Sleep { clock: self.clone(), until, id: None }
    }
}

/// A wait that the event loop ends. It never ends when it is first asked, however short it is, so that a driver
/// that waits for nothing gives way all the same.
struct Sleep {
    clock: SimClock,
    until: Duration,
    id: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        let SimClock { present, host, world, process, .. } = &self.clock;
        if self.id.is_none() {
            let id = world.lock().sleep(*process, self.until);
            self.id = Some(id);
            return Poll::Pending;
        }
        let monotonic = host.lock().read(present.get()).monotonic;
        if monotonic < self.until { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.clock.world.lock().forget_sleep(self.clock.process, id);
        }
    }
}
