//! Tells the cloud what happens, each event at least once and in order, whoever leads.
//!
//! Before a batch is sent, it is noted behind the fence that it may have been: so a leader that was superseded sends
//! none, and a successor knows how many it tells again. It counts as told when the ping behind it was answered, since
//! the other end reads in order. Then the position moves, in one write with the note for the next batch. So of what
//! happens nothing is lost when the leader is, and at most one batch comes twice.

use std::time::Duration;

use kontena_store::{CloudChange, CloudWatch, Effect, Failure, Position, Token, Told, WatchEnd, WriteError};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::link::Outgoing;
use super::{READ_LIMIT, RETRY, Reign};
use crate::http::{Composed, Composer};

/// The most events in one batch.
pub(super) const BATCH: usize = 32;
/// How many events may wait to be told: the database keeps the others.
const QUEUE: usize = 2 * BATCH;
/// What follows within this time goes with the same batch.
const TOGETHER: Duration = Duration::from_millis(3);
/// While nothing happens that is to be told, the position follows the database at least this often, so that it is not
/// forgotten there.
const ADVANCE_EVERY: Duration = Duration::from_secs(60);

/// Why telling ended.
enum Over {
    /// It begins again from the position.
    Again(Failure),
    /// What follows the position is not known any more.
    Gap(String),
    /// The whole link ends.
    Link(String),
}

impl From<WatchEnd> for Over {
    fn from(end: WatchEnd) -> Self {
        match end {
            WatchEnd::HistoryLost(message) => Self::Gap(message),
            WatchEnd::Failed(failure) => Self::Again(failure),
        }
    }
}

impl From<Failure> for Over {
    fn from(failure: Failure) -> Self {
        Self::Again(failure)
    }
}

/// Tells events over one link.
pub(super) struct Feeder<'a> {
    reign: &'a Reign<'a>,
    outbox: mpsc::Sender<Outgoing>,
}

/// What happens, as the stream tells it.
struct Source {
    told: mpsc::Receiver<Result<Told, WatchEnd>>,
    /// The stream is over, which is to be said when what came before is told.
    over: Option<WatchEnd>,
    _reading: JoinSet<()>,
}

/// What was told, or was nothing to tell, and is not noted yet.
struct Done {
    token: Token,
    events: u64,
    names: Vec<Effect>,
}

impl<'a> Feeder<'a> {
    pub(super) fn new(reign: &'a Reign<'a>, outbox: mpsc::Sender<Outgoing>) -> Self {
        Self { reign, outbox }
    }

    /// Tells events until the link ends.
    pub(super) async fn run(self) -> String {
        let mut gap = None;
        loop {
            let Err(over) = self.follow(gap.take()).await;
            match over {
                Over::Again(failure) => tracing::debug!(%failure, "the cloud's events are looked for again"),
                Over::Gap(message) => gap = Some(message),
                Over::Link(why) => return why,
            }
            sleep(RETRY).await;
        }
    }

    async fn follow(&self, gap: Option<String>) -> Result<std::convert::Infallible, Over> {
        let found = self.reign.records().position(READ_LIMIT).await?;
        let mut position = match (found, gap) {
            (Some(position), None) => position,
            (found, gap) => self.begin(found, gap).await?,
        };
        let watch = CloudWatch::open(&self.reign.cloud.streams, Some(&position.token)).await?;
        let (sender, told) = mpsc::channel(QUEUE);
        let mut reading = JoinSet::new();
        reading.spawn(watch.run(sender));
        let mut source = Source { told, over: None, _reading: reading };
        let mut composer = Composer::new(&self.reign.cloud.store);
        self.tell(&mut composer, &mut position, &mut source).await
    }

    /// Begins with what happens from now on.
    async fn begin(&self, found: Option<Position>, gap: Option<String>) -> Result<Position, Over> {
        let watch = CloudWatch::open(&self.reign.cloud.streams, None).await?;
        let token = watch.token()?;
        drop(watch);
        self.reign.records().fill_names().await?;
        let (mut position, to) = match found {
            Some(found) => {
                let mut to = found.clone();
                (to.token, to.open) = (token, 0);
                to.gaps += 1;
                (found, to)
            }
            None => (Position::first(token.clone()), Position::first(token)),
        };
        self.write(&mut position, to, Vec::new()).await?;
        if let Some(message) = gap {
            self.reign.cloud.api.metrics.cloud.gaps.inc();
            tracing::warn!(
                message,
                "events for the cloud were missed: the database does not remember how far the cloud had heard; a \
                 larger oplog remembers longer"
            );
        }
        Ok(position)
    }

    async fn tell(
        &self,
        composer: &mut Composer,
        position: &mut Position,
        source: &mut Source,
    ) -> Result<std::convert::Infallible, Over> {
        let metrics = &self.reign.cloud.api.metrics.cloud;
        // What an earlier leader, or this one, may have told behind the position is told again.
        let mut again = position.open;
        let mut done: Option<Done> = None;
        let mut written = Instant::now();
        loop {
            let unnoted = done.as_ref().is_some_and(|done| done.events > 0 || !done.names.is_empty());
            let next = source.next(unnoted).await?;
            let (changes, token) = next.map_or((Vec::new(), None), |(changes, token)| (changes, Some(token)));
            let Composed { frames, names } = if changes.is_empty() {
                Composed { frames: Vec::new(), names: Vec::new() }
            } else {
                composer.compose(&changes).await?
            };
            let open = u64::try_from(frames.len()).unwrap_or(u64::MAX);
            if open > 0 || unnoted || written.elapsed() >= ADVANCE_EVERY {
                let Done { token: reached, events, names } = done.take().unwrap_or_else(|| Done {
                    token: position.token.clone(),
                    events: 0,
                    names: vec![],
                });
                let mut to = position.clone();
                (to.token, to.open) = (reached, open);
                to.events += events;
                to.repeated += again;
                self.write(position, to, names).await?;
                written = Instant::now();
                metrics.events.inc_by(events);
                metrics.repeated.inc_by(std::mem::take(&mut again));
            }
            if open > 0 {
                self.send(frames).await?;
            }
            if let Some(token) = token {
                let (events, mut kept) =
                    done.take().map_or((0, Vec::new()), |done| (done.events, done.names));
                kept.extend(names);
                done = Some(Done { token, events: events + open, names: kept });
            }
        }
    }

    /// Sends events, and waits until the cloud has read them.
    async fn send(&self, frames: Vec<Vec<u8>>) -> Result<(), Over> {
        let (heard, answered) = oneshot::channel();
        let broken = || Over::Link("the link broke while events were told".to_owned());
        self.outbox.send(Outgoing::Events { frames, heard }).await.map_err(|_| broken())?;
        answered.await.map_err(|_| broken())
    }

    /// Moves the position behind the fence.
    async fn write(&self, position: &mut Position, to: Position, names: Vec<Effect>) -> Result<(), Over> {
        let (next, moved) = position.moved(to);
        let mut effects = vec![moved];
        effects.extend(names);
        loop {
            match self.reign.commit(effects.clone()).await {
                Ok(()) => break,
                Err(WriteError::Failed(failure)) => {
                    tracing::debug!(%failure, "the position is written again");
                }
                // An earlier try may have been the one.
                Err(WriteError::Unknown | WriteError::Stale) => {
                    match self.reign.records().position(READ_LIMIT).await? {
                        Some(found) if found.is(&next) => break,
                        Some(found) if !found.is(position) => return Err(Over::Again(Failure::Duplicate)),
                        None if !position.is_first() => return Err(Over::Again(Failure::Duplicate)),
                        Some(_) | None => {}
                    }
                }
                Err(error) => return Err(Over::Link(error.to_string())),
            }
            sleep(RETRY).await;
        }
        *position = next;
        Ok(())
    }
}

impl Source {
    /// The next events, at most [`BATCH`], and how far they reach. No events: only how far nothing happened. If there
    /// is something to note, nothing is waited for, and none may have come.
    async fn next(&mut self, unnoted: bool) -> Result<Option<(Vec<CloudChange>, Token)>, Over> {
        let (mut changes, mut reached) = (Vec::new(), None);
        while changes.len() < BATCH {
            let told = if reached.is_none() && !unnoted && self.over.is_none() {
                self.told.recv().await
            } else {
                match timeout(TOGETHER, self.told.recv()).await {
                    Ok(told) => told,
                    Err(_) => break,
                }
            };
            match told {
                Some(Ok(Told { token, change })) => {
                    reached = Some(token);
                    changes.extend(change);
                    if changes.is_empty() {
                        break;
                    }
                }
                Some(Err(end)) => {
                    self.over = Some(end);
                    break;
                }
                None if self.over.is_some() || reached.is_some() => break,
                None => {
                    return Err(Failure::Unknown {
                        message: "the stream is not read any more".to_owned(),
                        transient: false,
                        commit_unknown: false,
                    }
                    .into());
                }
            }
        }
        match (reached, unnoted, self.over.take()) {
            (None, false, Some(end)) => Err(end.into()),
            (None, true, over) => {
                self.over = over;
                Ok(None)
            }
            (None, false, None) => Ok(None),
            (Some(token), _, over) => {
                self.over = over;
                Ok(Some((changes, token)))
            }
        }
    }
}
