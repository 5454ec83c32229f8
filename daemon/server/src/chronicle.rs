//! What happens to this master, told to people: to the journal as events, to the service manager as a status line,
//! and to the counters.

use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_core::election::{HolderId, Term};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::SystemClock;
use crate::election::{Leadership, Standing};
use crate::events;
use crate::fitness::Fitness;
use crate::heartbeat::Picture;
use crate::metrics::SharedMetrics;

/// A master whose term was taken and who writes heartbeats this soon afterwards was not lost.
const ALIVE_WITHIN: Duration = Duration::from_secs(4);

/// Who tells it.
pub(crate) struct Chronicle {
    pub(crate) id: HolderId,
    pub(crate) leadership: Leadership<SystemClock>,
    pub(crate) fitness: watch::Receiver<Fitness>,
    pub(crate) picture: watch::Receiver<Picture>,
    pub(crate) metrics: SharedMetrics,
    pub(crate) status: Box<dyn Fn(&str) + Send + Sync>,
}

/// A master whose lease was taken since it was silent.
struct Suspect {
    id: HolderId,
    seq: u64,
    until: Duration,
}

impl Chronicle {
    pub(crate) async fn run(mut self, cancel: CancellationToken) {
        let mut views = self.leadership.watch();
        let (mut told, mut status) = (None, String::new());
        let mut suspect = None;
        loop {
            let view = *views.borrow_and_update();
            let standing = view.standing;
            if told != Some(standing) {
                self.tell(told, standing);
                if let (Standing::Elected(_), Some(lease)) = (standing, view.seen) {
                    suspect = lease.holder.and_then(|holder| self.suspect(holder));
                }
                told = Some(standing);
            }
            suspect = suspect.filter(|suspect| !self.cleared(suspect));
            let words = self.in_words(standing);
            if words != status {
                (self.status)(&words);
                status = words;
            }
            tokio::select! {
                () = cancel.cancelled() => return,
                seen = views.changed() => if seen.is_err() { return },
                Ok(()) = self.picture.changed() => {}
                Ok(()) = self.fitness.changed() => {}
            }
        }
    }

    fn tell(&self, before: Option<Standing>, now: Standing) {
        match now {
            Standing::Acting(term) => {
                tracing::info!(
                    MESSAGE_ID = events::ACTING,
                    TERM_NO = term.0,
                    MASTER_ID = %self.id,
                    "acting leader of term {term}"
                );
            }
            Standing::Elected(term) if was_acting(before, term) => {
                tracing::warn!(
                    MESSAGE_ID = events::SUSPENDED,
                    TERM_NO = term.0,
                    MASTER_ID = %self.id,
                    "the lease of term {term} could not be renewed in time: acting no more until it is"
                );
            }
            Standing::Elected(term) => {
                self.metrics.terms_won.inc();
                tracing::info!(
                    MESSAGE_ID = events::ELECTED,
                    TERM_NO = term.0,
                    MASTER_ID = %self.id,
                    "elected for term {term}, not acting yet"
                );
            }
            Standing::Releasing(term) => {
                self.metrics.handovers.inc();
                tracing::info!(
                    MESSAGE_ID = events::RELEASED,
                    TERM_NO = term.0,
                    MASTER_ID = %self.id,
                    "giving back the lease of term {term}"
                );
            }
            Standing::Following => {
                tracing::info!(MESSAGE_ID = events::STANDBY, MASTER_ID = %self.id, "standing by");
            }
        }
    }

    fn suspect(&self, id: HolderId) -> Option<Suspect> {
        let picture = self.picture.borrow();
        let row = picture.rows.iter().find(|row| row.id == id && row.id != self.id && !row.ended)?;
        Some(Suspect { id, seq: row.seq, until: SystemClock.now().monotonic + ALIVE_WITHIN })
    }

    /// Whether nothing more is to be found out about it.
    fn cleared(&self, suspect: &Suspect) -> bool {
        let picture = self.picture.borrow();
        let row = picture.rows.iter().find(|row| row.id == suspect.id && !row.ended);
        // One more may have been under way when the lease was taken.
        let alive = row.is_some_and(|row| row.seq > suspect.seq + 1);
        if alive {
            self.metrics.false_takeovers.inc();
            tracing::warn!(
                MESSAGE_ID = events::FALSE_TAKEOVER,
                OTHER_MASTER_ID = %suspect.id,
                "the lease was taken from a master that is alive: is its lease thread starved, or the database \
                 slow? A longer election.lease_ttl helps"
            );
        }
        alive || SystemClock.now().monotonic > suspect.until
    }

    fn in_words(&self, standing: Standing) -> String {
        let what = match standing {
            Standing::Acting(term) => format!("acting leader, term {term}"),
            Standing::Elected(term) => format!("elected, term {term}, not acting"),
            Standing::Releasing(term) => format!("giving back the lease, term {term}"),
            Standing::Following => match &*self.fitness.borrow() {
                Fitness::Unfit(reason) => return format!("not standing: {reason}"),
                Fitness::Unknown(_) => return "waiting for the database".to_owned(),
                Fitness::Fit => "standing by".to_owned(),
            },
        };
        let picture = self.picture.borrow();
        if picture.failure.is_some() {
            return format!("{what}; the database does not answer");
        }
        let now = SystemClock.now().monotonic;
        let living = picture.rows.iter().filter(|row| !row.ended && !picture.roll.is_lost(now, row.id));
        let (masters, agents) =
            living.fold((0, 0), |(masters, agents), row| (masters + 1, agents + row.agents));
        format!("{what}, {}, {}", count(masters, "master"), count(agents, "agent"))
    }
}

fn was_acting(before: Option<Standing>, term: Term) -> bool {
    before == Some(Standing::Acting(term))
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
