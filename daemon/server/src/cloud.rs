//! The link to Kontena Cloud, held by the acting leader alone: it answers what the cloud asks and tells it what happens.
//! It begins when acting begins, and is cut at the leader's deadline, whatever is still under way.

mod dial;
mod feeder;
mod link;
mod master_info;
mod pings;

use std::collections::BTreeMap;
use std::time::Duration;

use kontena_core::cloud::{Off, Pace, Target};
use kontena_core::election::Term;
use kontena_store::{Batch, CloudLink, CloudRecords, Effect, Failure, Store, WriteError, WriterHandle};
use kontena_wire::cluster::CloudState;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::election::{Standing, View};
use crate::http::Api;
use link::End;

/// How the writer knows the leader's work for the cloud.
const DUTY: &str = "cloud";
/// The limit of each read.
const READ_LIMIT: Duration = Duration::from_secs(2);
/// After a failed read or write.
const RETRY: Duration = Duration::from_millis(500);
/// How often the state is tried to be noted.
const NOTE_TRIES: usize = 3;
/// The longest reason that is noted, in characters.
const WHY_MAX: usize = 300;

/// The times of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloudSettings {
    /// How soon it is tried.
    pub pace: Pace,
    /// How often the configuration is looked at.
    pub look_every: Duration,
    /// From one ping to the next while nothing is to be told.
    pub ping_every: Duration,
}

impl Default for CloudSettings {
    fn default() -> Self {
        let (pace, every) = (Pace::default(), Duration::from_secs(30));
        Self { pace, look_every: every, ping_every: every }
    }
}

impl CloudSettings {
    /// The same, so many times as fast.
    #[must_use]
    pub fn hurried(self, times: u32) -> Self {
        let Self { pace: Pace { first, most }, look_every, ping_every } = self;
        let times = times.max(1);
        let pace = Pace { first: first / times, most: most / times };
        Self { pace, look_every: look_every / times, ping_every: ping_every / times }
    }
}

/// The one who holds the link while this master leads.
pub(crate) struct Cloud {
    api: Api,
    store: Store,
    /// For change streams.
    streams: Store,
    writer: WriterHandle,
}

impl Cloud {
    pub(crate) fn new(api: &Api, store: &Store, streams: &Store, writer: WriterHandle) -> Self {
        Self { api: api.clone(), store: store.clone(), streams: streams.clone(), writer }
    }

    /// Follows the election until cancelled.
    pub(crate) async fn run(self, cancel: CancellationToken) {
        let mut views = self.api.leadership.watch();
        loop {
            let standing = views.borrow_and_update().standing;
            let Standing::Acting(term) = standing else {
                tokio::select! {
                    () = cancel.cancelled() => return,
                    changed = views.changed() => if changed.is_err() { return } else { continue },
                }
            };
            let reign = Reign { cloud: &self, term };
            // Whatever is under way ends with this: the socket is closed without sending what still waits in it.
            let ended = tokio::select! {
                biased;
                () = cancel.cancelled() => true,
                () = reign.ends(&mut views, standing) => false,
                never = reign.serve() => match never {},
                never = master_info::keep_told(&reign) => match never {},
            };
            self.api.metrics.cloud.connected.set(0);
            if ended {
                return;
            }
        }
    }
}

/// The link in one term.
struct Reign<'a> {
    cloud: &'a Cloud,
    term: Term,
}

impl Reign<'_> {
    /// Whether this master may say anything at this moment.
    fn may_speak(&self) -> bool {
        self.cloud.api.leadership.may_act(self.term)
    }

    fn settings(&self) -> &CloudSettings {
        &self.cloud.api.settings.cloud
    }

    fn records(&self) -> CloudRecords {
        self.cloud.store.cloud()
    }

    /// Waits until this master acts no more under the term, by its own clock or since somebody said so.
    async fn ends(&self, views: &mut watch::Receiver<View>, standing: Standing) {
        loop {
            let leadership = &self.cloud.api.leadership;
            let left = leadership.remaining().filter(|_| self.may_speak());
            let (Some(left), true) = (left, views.borrow_and_update().standing == standing) else { return };
            tokio::select! {
                () = sleep(left) => {}
                changed = views.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Makes the link again and again, as long as it is wanted.
    async fn serve(&self) -> std::convert::Infallible {
        // Tries that failed since the last success; none: not tried yet.
        let mut failed: Option<u32> = None;
        let mut noted = self.noted().await;
        loop {
            let Pace { first, .. } = self.settings().pace;
            let pause = failed.map_or(first, |failed| self.settings().pace.again(failed, rand::random()));
            match self.wanted(Instant::now() + pause).await {
                Err(off) => {
                    failed = None;
                    self.turned_off(&mut noted, off).await;
                    sleep(self.settings().look_every).await;
                }
                Ok(target) => {
                    let End { opened, why } = link::hold(self, &target, &mut noted).await;
                    self.cloud.api.metrics.cloud.connected.set(0);
                    failed =
                        Some(if opened { 0 } else { failed.map_or(0, |failed| failed.saturating_add(1)) });
                    self.note(&mut noted, CloudState::Down, &why).await;
                }
            }
        }
    }

    /// Waits until then, as long as the link is wanted, and says to where.
    async fn wanted(&self, until: Instant) -> Result<Target, Off> {
        loop {
            match self.target().await {
                Ok(Err(off)) => return Err(off),
                Ok(Ok(target)) if Instant::now() >= until => return Ok(target),
                Ok(Ok(_)) => sleep_until(until.min(Instant::now() + self.settings().look_every)).await,
                Err(why) => {
                    tracing::debug!(why, "whether the link to the cloud is wanted is not known");
                    sleep(RETRY).await;
                }
            }
        }
    }

    /// Waits until the link is not wanted any more.
    async fn unwanted(&self) -> Off {
        loop {
            sleep(self.settings().look_every).await;
            if let Ok(Err(off)) = self.target().await {
                return off;
            }
        }
    }

    async fn target(&self) -> Result<Result<Target, Off>, String> {
        let values = tokio::time::timeout(READ_LIMIT, self.configuration()).await;
        Ok(Target::from_configuration(&values.map_err(|_| "no answer in time".to_owned())??))
    }

    async fn configuration(&self) -> Result<BTreeMap<String, Value>, String> {
        self.cloud.api.resources.readable_configuration().await
    }

    /// What happens while the link is not wanted is not told later either.
    async fn turned_off(&self, noted: &mut Option<CloudLink>, off: Off) {
        self.note(noted, CloudState::Off, &off.to_string()).await;
        if let Ok(Some(_)) = self.records().position(READ_LIMIT).await
            && self.commit(vec![CloudRecords::forget_position()]).await.is_ok()
        {
            tracing::info!("the link to the cloud is off: events begin anew when it is wanted again");
        }
    }

    async fn noted(&self) -> Option<CloudLink> {
        loop {
            match self.records().link(READ_LIMIT).await {
                Ok(noted) => return noted,
                Err(failure) => tracing::debug!(%failure, "what the link was is not known"),
            }
            sleep(RETRY).await;
        }
    }

    /// Notes what the link is, for everybody to see. Nothing depends on it.
    async fn note(&self, noted: &mut Option<CloudLink>, state: CloudState, why: &str) {
        let why: String = why.chars().take(WHY_MAX).collect();
        let master = &self.cloud.api.settings.name;
        if noted.as_ref().is_some_and(|noted| {
            noted.state == state && noted.why == why && (state == CloudState::Off || noted.term == self.term)
        }) {
            return;
        }
        let connected = state == CloudState::Connected;
        let links = noted.as_ref().map_or(0, |noted| noted.links) + u64::from(connected);
        let link = CloudLink { state, why, master: master.clone(), term: self.term, links, since: None };
        for _ in 0..NOTE_TRIES {
            match self.commit(vec![link.note()]).await {
                Ok(()) | Err(WriteError::NotActing | WriteError::Superseded | WriteError::Closed) => break,
                Err(_) => sleep(RETRY).await,
            }
        }
        *noted = Some(link);
    }

    /// Commits behind the fence.
    async fn commit(&self, effects: Vec<Effect>) -> Result<(), WriteError> {
        let count = effects.len();
        let outcome = self.cloud.writer.commit(Batch { duty: DUTY, term: self.term, effects }).await;
        self.cloud.api.metrics.batch(DUTY, count, &outcome);
        outcome
    }
}

/// What is noted about the link, and how far the cloud has heard, for the API.
pub(crate) async fn sight(
    store: &Store,
    limit: Duration,
) -> Result<Option<kontena_wire::cluster::Cloud>, Failure> {
    let records = store.cloud();
    let Some(link) = records.link(limit).await? else { return Ok(None) };
    let position = records.position(limit).await?;
    let count = |of: fn(&kontena_store::Position) -> u64| position.as_ref().map_or(0, of);
    let rfc3339 = crate::http::rfc3339;
    Ok(Some(kontena_wire::cluster::Cloud {
        state: link.state,
        why: link.why,
        master: link.master,
        term: link.term.0,
        since: link.since.map(rfc3339).unwrap_or_default(),
        links: link.links,
        events: count(|position| position.events),
        repeated: count(|position| position.repeated),
        gaps: count(|position| position.gaps),
        confirmed_at: position.as_ref().and_then(|position| position.at).map(rfc3339),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hurry_divides_every_time() {
        let hurried = CloudSettings::default().hurried(10);
        assert_eq!(hurried.pace, Pace { first: Duration::from_millis(500), most: Duration::from_secs(12) });
        assert_eq!(
            (hurried.look_every, hurried.ping_every),
            (Duration::from_secs(3), Duration::from_secs(3))
        );
        assert_eq!(CloudSettings::default().hurried(0), CloudSettings::default());
    }
}
