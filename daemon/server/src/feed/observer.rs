//! Looks whenever something may have changed, and tells the feed what did.

use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_core::election::{HolderId, Lease, Term};
use kontena_store::LeaderHistory;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::sight::{DutySight, MasterSight, Sight, happenings};
use super::{Feed, Happening};
use crate::clock::SystemClock;
use crate::duties::Statuses;
use crate::election::{Leadership, Standing, View};
use crate::heartbeat::Picture;

/// Between two looks at the history while it lacks the current term, which a new leader writes soon.
const SOON: Duration = Duration::from_millis(100);
/// Between two looks at the history otherwise.
const SELDOM: Duration = Duration::from_secs(30);
/// How long after a new term was seen it is looked for often.
const EAGER: Duration = Duration::from_secs(10);
/// The limit of a look.
const READ_LIMIT: Duration = Duration::from_millis(500);
/// How many terms can begin between two looks and still be told one by one.
const TERMS_MAX: i64 = 50;

/// When the lease was last seen to move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LeaseSight {
    pub(crate) lease: Lease,
    /// Monotonic time.
    pub(crate) moved_at: Duration,
}

/// What the feed is made from.
pub(crate) struct Observer {
    id: HolderId,
    feed: Feed,
    leadership: Leadership<SystemClock>,
    picture: watch::Receiver<Picture>,
    statuses: Statuses,
    history: LeaderHistory,
    lease_sight: watch::Sender<Option<LeaseSight>>,
}

impl Observer {
    /// An observer for `feed`, and where it tells when the lease was last seen to move.
    pub(crate) fn new(
        id: HolderId,
        feed: &Feed,
        leadership: &Leadership<SystemClock>,
        picture: &watch::Receiver<Picture>,
        statuses: &Statuses,
        history: LeaderHistory,
    ) -> (Self, watch::Receiver<Option<LeaseSight>>) {
        let (lease_sight, told) = watch::channel(None);
        let (feed, leadership) = (feed.clone(), leadership.clone());
        let (picture, statuses) = (picture.clone(), statuses.clone());
        (Self { id, feed, leadership, picture, statuses, history, lease_sight }, told)
    }

    /// Observes until cancelled.
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut views = self.leadership.watch();
        let mut before = Sight::blank();
        let mut recorded = None;
        let mut new_term_at = Instant::now();
        let mut read_at = Instant::now();
        loop {
            let view = *views.borrow_and_update();
            self.see_lease(&view);
            let after = self.look(&view, &before);
            if after.lease.map(|(term, _)| term) != before.lease.map(|(term, _)| term) {
                new_term_at = Instant::now();
                read_at = new_term_at;
            }
            for what in happenings(&before, &after) {
                self.feed.publish(what);
            }
            before = after;
            tokio::select! {
                () = cancel.cancelled() => return,
                seen = views.changed() => if seen.is_err() { return },
                seen = self.picture.changed() => if seen.is_err() { return },
                () = sleep_until(read_at) => {
                    self.read_history(&mut recorded).await;
                    let lacking = before.lease.is_some_and(|(term, _)| Some(term) > recorded);
                    let eager = lacking && new_term_at.elapsed() < EAGER;
                    read_at = Instant::now() + if eager { SOON } else { SELDOM };
                }
            }
        }
    }

    fn see_lease(&self, view: &View) {
        let Some(lease) = view.seen else { return };
        self.lease_sight.send_if_modified(|sight| {
            let moved = sight.is_none_or(|sight| sight.lease.version != lease.version);
            if moved {
                *sight = Some(LeaseSight { lease, moved_at: SystemClock.now().monotonic });
            }
            moved
        });
    }

    fn look(&mut self, view: &View, before: &Sight) -> Sight {
        let now = SystemClock.now().monotonic;
        let picture = self.picture.borrow_and_update().clone();
        let masters = picture
            .shown()
            .map(|row| {
                let state = picture.state(now, row, self.id, &self.leadership);
                let mut warnings = row.warnings.clone();
                warnings.extend(row.unfit.clone());
                (row.id, MasterSight { name: row.name.clone(), state, warnings })
            })
            .collect();
        let duties = self.statuses.all();
        let duties = duties
            .iter()
            .map(|(name, status)| (*name, DutySight::new(status, before.duties.get(name))))
            .collect();
        // Who holds the lease does not look at it: it renews.
        let lease = match view.standing {
            Standing::Elected(term) | Standing::Acting(term) => Some((term, Some(self.id))),
            Standing::Following | Standing::Releasing(_) => {
                let seen = view.seen.map(|lease| (lease.version.term, lease.holder));
                // Right after a release the last sight may still be of the time before.
                seen.filter(|(term, _)| before.lease.is_none_or(|(newest, _)| *term >= newest))
                    .or(before.lease)
            }
        };
        Sight { standing: view.standing, lease, masters, duties, failure: picture.failure }
    }

    /// Tells the terms that were written down since the last look. Those that were there before this master
    /// looked for the first time are no news: who wants them reads the history.
    async fn read_history(&self, recorded: &mut Option<Term>) {
        let Ok(Ok(rows)) = timeout(READ_LIMIT, self.history.latest(TERMS_MAX, READ_LIMIT)).await else {
            return;
        };
        let newest = rows.first().map(|row| row.term);
        if let Some(known) = *recorded {
            for row in rows.into_iter().rev().filter(|row| row.term > known) {
                self.feed.publish(Happening::Election(row));
            }
        }
        let newest = newest.unwrap_or_default().max(recorded.unwrap_or_default());
        self.feed.recorded(newest);
        *recorded = Some(newest);
    }
}
