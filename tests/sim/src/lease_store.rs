//! The lease and the fence as one process reaches them: through a network, and not always.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use kontena_core::election::{Answer, Command, Lane, LeaseStore, RaiseAnswer, Term};

use crate::network::{Ask, Reply};
use crate::shared::Shared;
use crate::world::World;

pub(crate) struct SimLeaseStore {
    pub(crate) world: Shared<World>,
    pub(crate) process: usize,
}

impl LeaseStore for SimLeaseStore {
    fn execute(&self, command: Command, _: Duration) -> impl Future<Output = Answer> + Send {
        let asking = self.asking(Ask::Lease(command), Lane::Lease);
        async move {
            match asking.await {
                Reply::Lease(answer) => answer,
                Reply::Raise(_) | Reply::Effect(_) | Reply::Burial => Answer::Unknown,
            }
        }
    }

    fn raise(&self, term: Term, _: Duration) -> impl Future<Output = RaiseAnswer> + Send {
        let asking = self.asking(Ask::Raise(term), Lane::Fence);
        async move {
            match asking.await {
                Reply::Raise(answer) => answer,
                Reply::Lease(_) | Reply::Effect(_) | Reply::Burial => RaiseAnswer::Unknown,
            }
        }
    }
}

impl SimLeaseStore {
    fn asking(&self, ask: Ask, lane: Lane) -> Asking {
        Asking { world: self.world.clone(), process: self.process, lane, ask: Some(ask), call: None }
    }
}

/// A call on the database. Whoever drops it learns nothing more, and the database goes on.
struct Asking {
    world: Shared<World>,
    process: usize,
    lane: Lane,
    ask: Option<Ask>,
    call: Option<usize>,
}

impl Future for Asking {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Reply> {
        let this = &mut *self;
        let mut world = this.world.lock();
        if let Some(ask) = this.ask.take() {
            world.lane_entered(this.process, this.lane);
            this.call = Some(world.ask(this.process, ask));
        }
        match this.call.and_then(|call| world.take_reply(call)) {
            Some(reply) => Poll::Ready(reply),
            None => Poll::Pending,
        }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(call) = self.call {
            self.world.lock().abandon(self.process, self.lane, call);
        }
    }
}
