//! Many small questions and writes as few large ones: whatever came while the last batch was under way, and in a rest
//! after it, goes together in the next. Nothing waits for a batch to fill. The rest follows from how long a batch
//! takes: the busier the database, the fewer and the larger the batches.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_store::Failure;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::limits::ANSWER_WITHIN;
use super::retry::deadline;

/// How many items may wait for their batch; whoever brings more waits for a place.
const WAITING: usize = 4096;
/// The longest rest after a batch.
const REST_MAX: Duration = Duration::from_millis(500);
/// Before a batch that failed is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// How often a batch is tried before it is halved, since one item may spoil it for the others. A failure that comes at
/// once counts for two: a database that is away takes its time.
const TRIES: u32 = 6;
/// What fails sooner has failed at once.
const AT_ONCE: Duration = Duration::from_secs(1);

type Reply<O> = oneshot::Sender<Result<O, Failure>>;
/// An item, and who waits for what comes of it.
type Job<I, O> = (I, Reply<O>);

/// Where items are handed in.
pub(crate) struct Gather<I, O> {
    jobs: mpsc::Sender<Job<I, O>>,
}

impl<I, O> Gather<I, O> {
    /// Waits until the item's batch is done. A failure is final for this time: of a database that was away for long, or
    /// of this very item.
    pub(crate) async fn ask(&self, item: I) -> Result<O, Failure> {
        let closed = || Failure::Unknown {
            message: "this master is stopping".to_owned(),
            transient: false,
            commit_unknown: false,
        };
        let (reply, outcome) = oneshot::channel();
        self.jobs.send((item, reply)).await.map_err(|_| closed())?;
        outcome.await.map_err(|_| closed())?
    }
}

/// A gatherer of at most `most` items a batch; the task that carries them out is added to `tasks`. Carrying out
/// an item twice must be the same as once.
pub(crate) fn gather<I, O, F, Fut>(
    tasks: &mut Vec<BoxFuture<'static, ()>>,
    most: usize,
    flush: F,
) -> Gather<I, O>
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
    F: Fn(Vec<I>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<O>, Failure>> + Send,
{
    gather_with_rest(tasks, most, 1, flush)
}

/// The same with a rest of `rest` times what a batch took, for what costs nearly the same for one item and for many.
pub(crate) fn gather_with_rest<I, O, F, Fut>(
    tasks: &mut Vec<BoxFuture<'static, ()>>,
    most: usize,
    rest: u32,
    flush: F,
) -> Gather<I, O>
where
    I: Clone + Send + Sync + 'static,
    O: Send + 'static,
    F: Fn(Vec<I>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Vec<O>, Failure>> + Send,
{
    let (jobs, mut inbox) = mpsc::channel::<Job<I, O>>(WAITING);
    let work = async move {
        let mut batch = Vec::new();
        while inbox.recv_many(&mut batch, most).await > 0 {
            let (began, full) = (Instant::now(), batch.len() == most);
            carry_out(std::mem::take(&mut batch), &flush).await;
            if !full {
                tokio::time::sleep((began.elapsed() * rest).min(REST_MAX)).await;
            }
        }
    };
    tasks.push(work.boxed());
    Gather { jobs }
}

/// Tries a batch as a whole, and in the end in ever smaller parts, each once: so one item that can never succeed costs
/// the others little, and fails alone.
async fn carry_out<I, O, F, Fut>(batch: Vec<Job<I, O>>, flush: &F)
where
    I: Clone,
    F: Fn(Vec<I>) -> Fut,
    Fut: Future<Output = Result<Vec<O>, Failure>>,
{
    let until = deadline(ANSWER_WITHIN);
    let mut tries = TRIES;
    let mut parts = vec![batch];
    while let Some(mut part) = parts.pop() {
        let began = Instant::now();
        let failure = match flush(part.iter().map(|(item, _)| item.clone()).collect()).await {
            Ok(outcomes) => {
                reply(part, outcomes);
                continue;
            }
            Err(failure) => failure,
        };
        tracing::debug!(%failure, items = part.len(), "a batch failed");
        let at_once = began.elapsed() < AT_ONCE;
        tries = tries.saturating_sub(if at_once { 2 } else { 1 });
        if until.has_passed() || (tries == 0 && part.len() == 1) {
            for (_, reply) in part {
                // Whoever asked may have gone.
                let _heard = reply.send(Err(failure.clone()));
            }
        } else if tries > 0 {
            parts.push(part);
            tokio::time::sleep(RETRY).await;
        } else {
            let second = part.split_off(part.len() / 2);
            // The last is the next: what came first goes first.
            parts.extend([second, part]);
        }
    }
}

fn reply<I, O>(part: Vec<Job<I, O>>, outcomes: Vec<O>) {
    let mut outcomes = outcomes.into_iter();
    for (_, reply) in part {
        // Whoever asked may have gone.
        let _heard = reply.send(outcomes.next().ok_or_else(lost));
    }
}

fn lost() -> Failure {
    Failure::Unknown { message: "no outcome".to_owned(), transient: false, commit_unknown: false }
}

/// Rows sorted by the keys that asked for them, in the order of the keys.
pub(crate) fn by_key<K: Copy + Eq + Hash, R: Clone>(
    keys: &[K],
    rows: Vec<R>,
    key_of: impl Fn(&R) -> K,
) -> Vec<Vec<R>> {
    let mut sorted: HashMap<K, Vec<R>> = HashMap::new();
    for row in rows {
        sorted.entry(key_of(&row)).or_default().push(row);
    }
    keys.iter().map(|key| sorted.get(key).cloned().unwrap_or_default()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_waits_goes_together_and_one_bad_item_spoils_nothing() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let mut tasks = Vec::new();
        let double = gather(&mut tasks, 100, move |batch: Vec<i32>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(Duration::from_millis(10)).await;
                Ok(batch.into_iter().map(|number| number * 2).collect())
            }
        });
        let work = futures_util::future::join_all(tasks);
        let asking = futures_util::future::join_all((0..50).map(|number| double.ask(number)));
        let answers = tokio::select! {
            _ = work => panic!("ended"),
            answers = asking => answers,
        };
        let answers: Vec<i32> = answers.into_iter().map(Result::unwrap).collect();
        assert_eq!(answers, (0..50).map(|number| number * 2).collect::<Vec<_>>());
        assert!(calls.load(Ordering::SeqCst) <= 2);
    }

    #[tokio::test]
    async fn an_item_that_can_never_succeed_fails_alone_and_soon() {
        let calls = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&calls);
        let mut tasks = Vec::new();
        let double = gather(&mut tasks, 200, move |batch: Vec<i32>| {
            counted.fetch_add(1, Ordering::SeqCst);
            async move {
                if batch.contains(&13) { Err(lost()) } else { Ok(batch.iter().map(|n| n * 2).collect()) }
            }
        });
        let asking = async {
            let begun = Instant::now();
            let answers = futures_util::future::join_all((0..64).map(|number| double.ask(number))).await;
            // Others come after it.
            (answers, double.ask(100).await, begun.elapsed())
        };
        let (answers, later, took) = tokio::select! {
            _ = futures_util::future::join_all(tasks) => panic!("ended"),
            outcome = asking => outcome,
        };
        for (number, answer) in (0..64).zip(answers) {
            assert_eq!(answer.ok(), (number != 13).then_some(number * 2));
        }
        assert_eq!(later.ok(), Some(200));
        // Far less than an agent waits for, and not one call for each item.
        assert!(took < ANSWER_WITHIN / 5, "it took {took:?}");
        assert!(calls.load(Ordering::SeqCst) <= 20, "{} calls", calls.load(Ordering::SeqCst));
    }

    #[tokio::test]
    async fn a_batch_of_one_that_can_never_succeed_is_given_up_too() {
        let mut tasks = Vec::new();
        let broken = gather(&mut tasks, 10, |_: Vec<i32>| async { Err::<Vec<i32>, _>(lost()) });
        let begun = Instant::now();
        let answer = tokio::select! {
            _ = futures_util::future::join_all(tasks) => panic!("ended"),
            answer = broken.ask(1) => answer,
        };
        assert!(answer.is_err());
        assert!(begun.elapsed() < ANSWER_WITHIN / 5, "it took {:?}", begun.elapsed());
    }

    #[test]
    fn rows_go_to_those_who_asked() {
        let rows = vec![(2, 'a'), (1, 'b'), (2, 'c')];
        assert_eq!(by_key(&[1, 2, 3], rows, |row| row.0), [vec![(1, 'b')], vec![(2, 'a'), (2, 'c')], vec![]]);
    }
}
