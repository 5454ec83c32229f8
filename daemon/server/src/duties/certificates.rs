//! Certificates that end soon: asks for new ones where the master can have them by itself, and warns of the others, and
//! of those whose renewal failed, once a day each, in the grid's events and in the journal.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_store::{Effect, ExpiringCertificate, NewEvent, Renewal};

use super::schedule::{Due, Schedule};
use super::{Duty, DutyError, Leader, READ_LIMIT, TIDY_AFTER};
use crate::acme::Acme;
use crate::events;

const NAME: &str = "certificates";
const DAY: Duration = Duration::from_secs(24 * 3600);
/// A little less than a day, so that hourly looks tell once each day.
const TOLD_EVERY: Duration = Duration::from_secs(24 * 3600 - 600);
/// How long before the end, as in the original.
const AHEAD: Duration = Duration::from_secs(7 * 24 * 3600);
/// How many are told of in one run.
const TOGETHER: i64 = 100;
/// How many are renewed: with the others they must fit into one transaction.
const RENEWALS: usize = 50;

pub(crate) struct ExpiringCertificates {
    schedule: Schedule,
    acme: Arc<Acme>,
}

impl ExpiringCertificates {
    pub(crate) fn new(acme: &Arc<Acme>) -> Self {
        Self { schedule: Schedule::new(NAME, Duration::from_secs(3600)), acme: Arc::clone(acme) }
    }
}

impl Duty for ExpiringCertificates {
    fn name(&self) -> &'static str {
        NAME
    }

    fn after(&self) -> Duration {
        TIDY_AFTER
    }

    fn every(&self) -> Duration {
        self.schedule.pause()
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let last = match self.schedule.look(leader).await? {
                Due::Now(last) => last,
                Due::NotYet(report) => return Ok(report),
            };
            let expiry = leader.store.certificate_expiry();
            let mut soon = expiry.soon(AHEAD, TOLD_EVERY, TOGETHER, READ_LIMIT).await?;
            let renewals = leader.store.certificate_renewals().soon(AHEAD, TOGETHER, READ_LIMIT).await?;
            // As long as its renewal has not failed, nobody has to do anything.
            soon.retain(|ending| {
                let renewal = renewals.iter().find(|renewal| renewal.certificate == ending.id());
                renewal.is_none_or(|renewal| renewal.failures > 0)
            });
            let due: Vec<&Renewal> = renewals.iter().filter(|renewal| renewal.due).take(RENEWALS).collect();
            let mut effects: Vec<Effect> = soon.iter().map(ExpiringCertificate::told).collect();
            effects.extend(due.iter().flat_map(|renewal| renewal.begin(self.acme.directory())));
            effects.push(last.now(leader.term));
            leader.commit(NAME, effects).await?;
            for certificate in &soon {
                tell(leader, certificate).await;
            }
            if !due.is_empty() {
                self.acme.wake();
            }
            Ok(format!("warned of {} certificates, renews {}", soon.len(), due.len()))
        }
        .boxed()
    }
}

async fn tell(leader: &Leader, certificate: &ExpiringCertificate) {
    let subject = &certificate.subject;
    let (severity, message) = match certificate.left {
        None => (3, format!("certificate {subject} has expired: renew it or import a new one")),
        Some(left) => {
            let days = left.as_secs() / DAY.as_secs();
            (2, format!("certificate {subject} expires in {days} days: renew it or import a new one"))
        }
    };
    tracing::warn!(MESSAGE_ID = events::CERTIFICATE_EXPIRES, "{message}");
    let event = NewEvent {
        kind: "certificate:expiry",
        severity,
        message,
        grid: certificate.grid,
        service: None,
        term: leader.term,
    };
    leader.tell(event).await;
}
