//! The hints that reach one process: lost, late, and without reason.

use std::future::{Future, poll_fn};
use std::task::Poll;

use kontena_core::election::Bus;

use crate::shared::Shared;
use crate::world::World;

pub(crate) struct SimBus {
    pub(crate) world: Shared<World>,
    pub(crate) process: usize,
}

impl Bus for SimBus {
    fn lease_changed(&self) -> impl Future<Output = ()> + Send {
        poll_fn(|_| {
            let hinted = self.world.lock().take_hint(self.process);
            if hinted { Poll::Ready(()) } else { Poll::Pending }
        })
    }
}
