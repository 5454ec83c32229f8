//! Whether this master stands for election, and whether it leaves a free lease to another: put together from what
//! the configuration, the database and the administrator say, and told to the election when it changes.

use kontena_core::clock::Clock;
use kontena_core::election::{EndReason, HolderId, SitOut};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::SystemClock;
use crate::election::{Request, Requests};
use crate::fitness::Fitness;
use crate::heartbeat::Picture;
use crate::settings::Tunables;

/// What it depends on.
pub(crate) struct Candidacy {
    pub(crate) id: HolderId,
    pub(crate) requests: Requests,
    pub(crate) fitness: watch::Receiver<Fitness>,
    pub(crate) draining: watch::Receiver<bool>,
    pub(crate) picture: watch::Receiver<Picture>,
    pub(crate) tunables: watch::Receiver<Tunables>,
}

impl Candidacy {
    /// Keeps the election informed until cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let (mut stands, mut yields) = (false, false);
        let mut timing = self.tunables.borrow_and_update().timing;
        loop {
            let tunables = self.tunables.borrow_and_update().clone();
            let draining = *self.draining.borrow_and_update();
            let fit = *self.fitness.borrow_and_update() == Fitness::Fit;
            let wanted = fit && tunables.eligible && !draining;
            if stands != wanted {
                if draining {
                    // Who is drained gives up the lease as whoever steps down, and the history says so.
                    self.send(Request::Renounce {
                        reason: EndReason::SteppedDown,
                        sit_out: SitOut::UntilOtherTerm,
                    });
                }
                self.send(Request::Eligible(wanted));
                stands = wanted;
            }
            if timing != tunables.timing {
                timing = tunables.timing;
                self.send(Request::Retime(timing));
            }
            let others = !tunables.preferred && self.preferred_is_there();
            if yields != others {
                self.send(Request::Yield(others));
                yields = others;
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                Ok(()) = self.tunables.changed() => {}
                Ok(()) = self.draining.changed() => {}
                Ok(()) = self.fitness.changed() => {}
                Ok(()) = self.picture.changed() => {}
            }
        }
    }

    fn preferred_is_there(&mut self) -> bool {
        let now = SystemClock.now().monotonic;
        let picture = self.picture.borrow_and_update();
        picture.successors(now, self.id).any(|row| row.preferred)
    }

    fn send(&self, request: Request) {
        if !self.requests.send(request) {
            tracing::error!("the election does not take requests");
        }
    }
}
