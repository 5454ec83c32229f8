//! Deploys services again that are not where they should be, as `kontena_core::reschedule` has it. What changes is
//! told by a change stream, and each grid it concerns is looked at as a whole; what only time changes is looked at when
//! its time has come; and everything now and then, should a change not have been told.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_core::clock::Clock;
use kontena_core::election::Term;
use kontena_core::id::Id;
use kontena_core::reschedule::{Cause, Judgement, Verdict, judge};
use kontena_store::{Candidate, Changed, Effect, GridWatch, NewEvent, Situation, WriteError};
use tokio::sync;
use tokio::task::block_in_place;

use super::{Duty, DutyError, Leader, READ_LIMIT};
use crate::clock::SystemClock;

const NAME: &str = "rescheduling";
/// How often everything is looked at.
const EVERYTHING_EVERY: Duration = Duration::from_secs(60);
/// The same while changes are not told.
const UNTOLD_EVERY: Duration = Duration::from_secs(5);
/// What follows a change within this time is looked at together with it: some times what the last look took, within
/// bounds, so that a grid in which much happens is not looked at all the time.
const TOGETHER: Together =
    Together { looks: 2, least: Duration::from_millis(100), most: Duration::from_millis(600) };
/// The same after a deploy. Where many services are deployed a look costs much, and finds mostly nothing to do.
const TOGETHER_DEPLOYED: Together = Together { looks: 10, most: Duration::from_secs(15), ..TOGETHER };
/// After a look that failed, and before a stream that broke is opened again.
const RETRY: Duration = Duration::from_secs(1);
/// How many grids are looked at in one run; the others have the next.
const GRIDS: usize = 20;
/// How many services are deployed by one transaction.
const DEPLOYS: usize = 50;
/// How many are named in a report.
const NAMED: usize = 3;

/// For how long changes are gathered.
struct Together {
    /// As many times what a look takes.
    looks: u32,
    least: Duration,
    most: Duration,
}

impl Together {
    fn after(changed: Changed, look: Duration) -> Duration {
        let Self { looks, least, most } = match changed {
            Changed::Grid(_) | Changed::Member(_) => TOGETHER,
            Changed::Deployed(_) => TOGETHER_DEPLOYED,
        };
        (look * looks).clamp(least, most)
    }
}

#[derive(Default)]
pub(crate) struct Rescheduling {
    watch: sync::Mutex<Option<GridWatch>>,
    agenda: Mutex<Agenda>,
}

/// What is to be looked at, and when.
#[derive(Default)]
struct Agenda {
    term: Option<Term>,
    grids: BTreeSet<Id>,
    /// Monotonic times at which a grid must be looked at though nothing changes.
    due: BTreeMap<Id, Duration>,
    everything_at: Duration,
    /// Whether the last look came to its end, and how long it took.
    failed: bool,
    took: Duration,
    /// What changed in a grid that is not known yet.
    strangers: BTreeSet<Id>,
    /// Whose a node or a service is.
    grid_of: HashMap<Id, Id>,
}

impl Agenda {
    fn note(&mut self, changed: Changed) {
        match changed {
            Changed::Grid(grid) => self.grids.insert(grid),
            Changed::Member(member) | Changed::Deployed(member) => match self.grid_of.get(&member) {
                Some(grid) => self.grids.insert(*grid),
                None => self.strangers.insert(member),
            },
        };
    }

    fn pause(&self, now: Duration) -> Duration {
        if self.failed {
            return RETRY;
        }
        if !self.grids.is_empty() || !self.strangers.is_empty() {
            return Duration::ZERO;
        }
        let next =
            self.due.values().copied().min().map_or(self.everything_at, |due| due.min(self.everything_at));
        next.saturating_sub(now)
    }
}

/// What one run did.
#[derive(Default)]
struct Account {
    unreadable: usize,
    deployed: Vec<String>,
    overtaken: usize,
    pausing: usize,
}

impl Account {
    /// The same as long as nothing changes, since each change is told.
    fn report(&self) -> String {
        let Self { unreadable, deployed, overtaken, pausing } = self;
        let mut parts = Vec::new();
        if deployed.is_empty() {
            parts.push("nothing to deploy again".to_owned());
        } else {
            let named: Vec<&str> = deployed.iter().take(NAMED).map(String::as_str).collect();
            let more = deployed.len().saturating_sub(NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            parts.push(format!("deployed again: {}{more}", named.join(", ")));
        }
        let counts = [
            (pausing, "pause after a deploy"),
            (overtaken, "changed meanwhile"),
            (unreadable, "not understood"),
        ];
        let counts = counts.into_iter().filter(|(count, _)| **count > 0);
        parts.extend(counts.map(|(count, what)| format!("{count} {what}")));
        parts.join(", ")
    }
}

impl Rescheduling {
    fn agenda(&self) -> MutexGuard<'_, Agenda> {
        self.agenda.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Which grids this run looks at, with changes told from before it looks.
    async fn next(&self, leader: &Leader) -> Result<Vec<Id>, DutyError> {
        let now = SystemClock.now().monotonic;
        {
            let mut agenda = self.agenda();
            if agenda.term != Some(leader.term) {
                *agenda = Agenda { term: Some(leader.term), ..Agenda::default() };
            }
            // Until it has come to its end.
            agenda.failed = true;
        }
        let told = self.listen(leader).await;
        if self.agenda().everything_at <= now {
            let all = leader.store.rescheduling().grids(READ_LIMIT).await?;
            let mut agenda = self.agenda();
            agenda.grids.extend(all);
            // It is learnt anew, without those that are gone.
            agenda.grid_of.clear();
            agenda.everything_at = now + if told { EVERYTHING_EVERY } else { UNTOLD_EVERY };
        }
        let strangers: Vec<Id> = self.agenda().strangers.iter().copied().collect();
        if !strangers.is_empty() {
            let found = leader.store.rescheduling().grids_of(&strangers, READ_LIMIT).await?;
            let mut agenda = self.agenda();
            agenda.strangers.clear();
            agenda.grids.extend(found.iter().map(|(_, grid)| *grid));
            agenda.grid_of.extend(found);
        }
        let mut agenda = self.agenda();
        let due: Vec<Id> = agenda.due.iter().filter(|(_, at)| **at <= now).map(|(grid, _)| *grid).collect();
        agenda.grids.extend(due);
        Ok(agenda.grids.iter().copied().take(GRIDS).collect())
    }

    /// Opens the stream of changes, if there is none. Whether there is one.
    async fn listen(&self, leader: &Leader) -> bool {
        let mut watch = self.watch.lock().await;
        if watch.is_some() {
            return true;
        }
        match tokio::time::timeout(READ_LIMIT, GridWatch::open(&leader.streams)).await {
            Ok(Ok(opened)) => {
                *watch = Some(opened);
                // What changed before is not told.
                self.agenda().everything_at = Duration::ZERO;
                true
            }
            Ok(Err(failure)) => {
                tracing::debug!(%failure, "changes of grids cannot be watched");
                false
            }
            Err(_) => false,
        }
    }

    /// Judges the services of a grid, and deploys those for which it is time.
    async fn settle(
        &self,
        leader: &Leader,
        situation: Situation,
        account: &mut Account,
    ) -> Result<(), DutyError> {
        let Situation { id, grid, mut services, unreadable, members } = situation;
        account.unreadable += unreadable;
        let look = |candidate: &Candidate| judge(&grid, &candidate.service, &candidate.facts);
        // It takes a while, in which this thread's other work goes on elsewhere.
        let mut judged: Vec<Judgement> = block_in_place(|| services.iter().map(look).collect());
        // What instances were seen to use is asked for only where it may change the verdict.
        let limited =
            |candidate: &Candidate| candidate.service.memory.or(candidate.service.memory_swap).is_some();
        let doubtful: Vec<usize> = (0..services.len())
            .filter(|at| {
                let unsettled = judged.get(*at).is_some_and(|judgement| !judgement.settled);
                unsettled && services.get(*at).is_some_and(|candidate| !limited(candidate))
            })
            .collect();
        if !doubtful.is_empty() {
            let ids: Vec<Id> = doubtful.iter().filter_map(|at| Some(services.get(*at)?.service.id)).collect();
            let seen = leader.store.rescheduling().memory_seen(&ids, READ_LIMIT).await?;
            block_in_place(|| {
                for at in doubtful {
                    if let (Some(candidate), Some(judgement)) = (services.get_mut(at), judged.get_mut(at)) {
                        candidate.service.memory_seen = seen.get(&candidate.service.id).copied();
                        *judgement = look(candidate);
                    }
                }
            });
        }
        let now = SystemClock.now().monotonic;
        let again = judged.iter().filter_map(|judgement| judgement.again).min();
        {
            let mut agenda = self.agenda();
            agenda.grid_of.extend(members.into_iter().map(|member| (member, id)));
            match again {
                Some(again) => agenda.due.insert(id, now + again),
                None => agenda.due.remove(&id),
            };
        }
        let mut wanted = Vec::new();
        for (candidate, Judgement { verdict, .. }) in services.iter().zip(judged) {
            match verdict {
                Verdict::Deploy(cause) => wanted.push((candidate, cause)),
                Verdict::Leave(rest) => {
                    account.pausing += usize::from(rest == kontena_core::reschedule::Rest::Pausing);
                }
            }
        }
        for some in wanted.chunks(DEPLOYS) {
            deploy(leader, id, some, account).await?;
        }
        Ok(())
    }
}

/// Deploys these services, together or, if one of them was changed meanwhile, each for itself.
async fn deploy(
    leader: &Leader,
    grid: Id,
    some: &[(&Candidate, Cause)],
    account: &mut Account,
) -> Result<(), DutyError> {
    let all: Vec<&(&Candidate, Cause)> = some.iter().collect();
    match leader.commit(NAME, effects(&all)).await {
        Ok(()) => done(leader, grid, &all, account).await,
        Err(WriteError::Stale) => {
            for one in all {
                match leader.commit(NAME, effects(&[one])).await {
                    Ok(()) => done(leader, grid, &[one], account).await,
                    // The change itself brings the next look.
                    Err(WriteError::Stale) => account.overtaken += 1,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

/// Those of one kind together, which makes them one command.
fn effects(some: &[&(&Candidate, Cause)]) -> Vec<Effect> {
    let pairs = some.iter().map(|(candidate, cause)| kontena_store::Rescheduling::deploy(candidate, cause));
    let (mut counted, deploys): (Vec<Effect>, Vec<Effect>) =
        pairs.map(|[counted, deploy]| (counted, deploy)).unzip();
    counted.extend(deploys);
    counted
}

async fn done(leader: &Leader, grid: Id, some: &[&(&Candidate, Cause)], account: &mut Account) {
    let events = some.iter().map(|(candidate, cause)| {
        let path = &candidate.path;
        leader.deployer.wake(candidate.service.id);
        leader.metrics.rescheduled(cause.name());
        tracing::info!(SERVICE = path, "deployed again: {cause}");
        account.deployed.push(format!("{path} ({cause})"));
        leader.tell(NewEvent {
            kind: "scheduler",
            severity: 1,
            message: format!("service {path} is deployed again: {cause}"),
            grid,
            service: Some(candidate.service.id),
            term: leader.term,
        })
    });
    futures_util::future::join_all(events).await;
}

impl Duty for Rescheduling {
    fn name(&self) -> &'static str {
        NAME
    }

    fn every(&self) -> Duration {
        self.agenda().pause(SystemClock.now().monotonic)
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn poked(&self) -> BoxFuture<'_, ()> {
        async move {
            let mut watch = self.watch.lock().await;
            let Some(stream) = watch.as_mut() else { return std::future::pending().await };
            let look = self.agenda().took;
            let mut patience: Option<tokio::time::Instant> = None;
            loop {
                let next = stream.next();
                let changed = match patience {
                    None => next.await,
                    Some(until) => match tokio::time::timeout_at(until, next).await {
                        Ok(changed) => changed,
                        Err(_) => return,
                    },
                };
                match changed {
                    Ok(changed) => {
                        self.agenda().note(changed);
                        let until = tokio::time::Instant::now() + Together::after(changed, look);
                        patience = Some(patience.map_or(until, |earlier| earlier.min(until)));
                    }
                    Err(failure) => {
                        tracing::debug!(%failure, "the watch on grids broke");
                        *watch = None;
                        return tokio::time::sleep(RETRY).await;
                    }
                }
            }
        }
        .boxed()
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let began = tokio::time::Instant::now();
            let grids = self.next(leader).await?;
            let mut account = Account::default();
            for situation in leader.store.rescheduling().of_grids(&grids, READ_LIMIT).await? {
                let grid = situation.id;
                self.settle(leader, situation, &mut account).await?;
                self.agenda().grids.remove(&grid);
            }
            // Those that are left are gone.
            let mut agenda = self.agenda();
            for grid in &grids {
                if agenda.grids.remove(grid) {
                    agenda.due.remove(grid);
                }
            }
            (agenda.failed, agenda.took) = (false, began.elapsed());
            Ok(account.report())
        }
        .boxed()
    }
}
