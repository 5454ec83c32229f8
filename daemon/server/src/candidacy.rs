//! Whether this master stands for election, whether it leaves a free lease to another, and whether it gives a lease up to
//! who is much nearer to the database: put together from what the configuration, the database and the administrator say,
//! and told to the election when it changes.

use kontena_core::clock::Clock;
use kontena_core::election::{EndReason, HolderId, SitOut};
use kontena_core::masters::Remoteness;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::SystemClock;
use crate::election::{Request, Requests};
use crate::events;
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
        let (mut remoteness, mut looked_at) = (Remoteness::default(), None);
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
            // What was acknowledged since the last look only.
            let refreshed_at = self.picture.borrow().refreshed_at;
            if looked_at != refreshed_at {
                looked_at = refreshed_at;
                self.give_way(&mut remoteness);
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

    fn give_way(&self, remoteness: &mut Remoteness) {
        let picture = self.picture.borrow();
        let own =
            picture.rows.iter().find(|row| row.id == self.id && row.acting).and_then(|row| row.mongo_rtt);
        let successors = picture.successors(SystemClock.now().monotonic, self.id);
        let nearest = successors.filter_map(|row| Some((row.mongo_rtt?, &row.name))).min();
        if !remoteness.look(own, nearest.map(|(rtt, _)| rtt)) {
            return;
        }
        if let (Some(own), Some((other, name))) = (own, nearest) {
            tracing::warn!(
                MESSAGE_ID = events::RESIGNED,
                "this master gives way, since the database takes {} ms to answer it, and {} ms to answer {name}",
                own.as_millis(),
                other.as_millis()
            );
        }
        // Only until another leads: the near one may be lost the next moment, and this one must stand then.
        self.send(Request::Renounce { reason: EndReason::Resigned, sit_out: SitOut::UntilOtherTerm });
    }

    fn send(&self, request: Request) {
        if !self.requests.send(request) {
            tracing::error!("the election does not take requests");
        }
    }
}
