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
/// After so many failures of a batch its items are tried one by one: one may spoil it for the others.
const TOGETHER: usize = 2;

type Reply<O> = oneshot::Sender<Result<O, Failure>>;

/// Where items are handed in.
pub(crate) struct Gather<I, O> {
    jobs: mpsc::Sender<(I, Reply<O>)>,
}

impl<I, O> Gather<I, O> {
    /// Waits until the item's batch is done.
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
    let (jobs, mut inbox) = mpsc::channel::<(I, Reply<O>)>(WAITING);
    let work = async move {
        let mut batch = Vec::new();
        while inbox.recv_many(&mut batch, most).await > 0 {
            let (items, replies): (Vec<I>, Vec<Reply<O>>) = batch.drain(..).unzip();
            let (began, full) = (Instant::now(), items.len() == most);
            carry_out(items, replies, &flush).await;
            if !full {
                tokio::time::sleep((began.elapsed() * rest).min(REST_MAX)).await;
            }
        }
    };
    tasks.push(work.boxed());
    Gather { jobs }
}

async fn carry_out<I, O, F, Fut>(items: Vec<I>, replies: Vec<Reply<O>>, flush: &F)
where
    I: Clone,
    F: Fn(Vec<I>) -> Fut,
    Fut: Future<Output = Result<Vec<O>, Failure>>,
{
    let until = deadline(ANSWER_WITHIN);
    for _ in 0..TOGETHER {
        match flush(items.clone()).await {
            Ok(outcomes) => {
                for (reply, outcome) in replies.into_iter().zip(outcomes) {
                    // Whoever asked may have gone.
                    let _heard = reply.send(Ok(outcome));
                }
                return;
            }
            Err(failure) => tracing::debug!(%failure, items = items.len(), "a batch failed"),
        }
        tokio::time::sleep(RETRY).await;
    }
    for (item, reply) in items.into_iter().zip(replies) {
        let outcome = loop {
            match flush(vec![item.clone()]).await {
                Ok(mut outcomes) => break outcomes.pop().ok_or_else(lost),
                Err(failure) if until.has_passed() => break Err(failure),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        };
        let _heard = reply.send(outcome);
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

    #[test]
    fn rows_go_to_those_who_asked() {
        let rows = vec![(2, 'a'), (1, 'b'), (2, 'c')];
        assert_eq!(by_key(&[1, 2, 3], rows, |row| row.0), [vec![(1, 'b')], vec![(2, 'a'), (2, 'c')], vec![]]);
    }
}
