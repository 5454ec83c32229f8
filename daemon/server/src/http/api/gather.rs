//! Questions that come at once are put to the database as one.
//!
//! No answer is older than its question: a question that comes while another is under way waits for the next. So
//! nothing is cached, and many clients cost hardly more than one.

use std::collections::HashSet;
use std::hash::Hash;

use futures_util::future::BoxFuture;
use kontena_store::Failure;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::refused::Refused;

/// How many questions may wait.
const WAITING_MAX: usize = 2_048;
/// How many are put together at most.
const TOGETHER_MAX: usize = 256;
/// How many rounds are under way at most.
const ROUNDS_MAX: usize = 2;

type Round<A> = Result<A, Failure>;
type Waiting<Q, A> = (Q, oneshot::Sender<Round<A>>);

/// What puts the questions to the database: all of a round are answered by one value.
pub(super) type Ask<Q, A> = Box<dyn Fn(HashSet<Q>) -> BoxFuture<'static, Round<A>> + Send + Sync>;

/// Where questions are handed in.
pub(super) struct Gather<Q, A> {
    questions: mpsc::Sender<Waiting<Q, A>>,
}

impl<Q, A> Clone for Gather<Q, A> {
    fn clone(&self) -> Self {
        Self { questions: self.questions.clone() }
    }
}

/// The task that asks.
pub(super) struct Gatherer<Q, A> {
    questions: mpsc::Receiver<Waiting<Q, A>>,
    ask: Ask<Q, A>,
}

impl<Q: Eq + Hash + Send + 'static, A: Clone + Send + 'static> Gather<Q, A> {
    /// A place for questions, and the task that has to run for them.
    pub(super) fn new(ask: Ask<Q, A>) -> (Self, Gatherer<Q, A>) {
        let (questions, receiver) = mpsc::channel(WAITING_MAX);
        (Self { questions }, Gatherer { questions: receiver, ask })
    }

    /// Asks. The answer holds those of all questions of its round.
    pub(super) async fn ask(&self, question: Q) -> Result<A, Refused> {
        let (answered, answer) = oneshot::channel();
        self.questions.try_send((question, answered)).map_err(|_| Refused::Busy)?;
        answer.await.map_err(|_| Refused::Busy)?.map_err(Refused::Database)
    }
}

impl<Q: Eq + Hash + Send + 'static, A: Clone + Send + 'static> Gatherer<Q, A> {
    /// Runs until `cancel`.
    pub(super) async fn run(mut self, cancel: CancellationToken) {
        let mut rounds = JoinSet::new();
        let mut batch = Vec::with_capacity(TOGETHER_MAX);
        loop {
            tokio::select! {
                () = cancel.cancelled() => return,
                Some(_ended) = rounds.join_next(), if !rounds.is_empty() => {}
                received = self.questions.recv_many(&mut batch, TOGETHER_MAX), if rounds.len() < ROUNDS_MAX => {
                    if received == 0 {
                        return;
                    }
                    let (questions, waiting): (HashSet<Q>, Vec<_>) = batch.drain(..).unzip();
                    let round = (self.ask)(questions);
                    rounds.spawn(async move {
                        let answer = round.await;
                        for waiting in waiting {
                            // Who left does not hear it.
                            let _heard = waiting.send(answer.clone());
                        }
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn no_answer_is_older_than_its_question_and_few_rounds_serve_many() {
        let world = Arc::new(AtomicUsize::new(0));
        let rounds = Arc::new(AtomicUsize::new(0));
        let ask: Ask<usize, usize> = {
            let (world, rounds) = (Arc::clone(&world), Arc::clone(&rounds));
            Box::new(move |_| {
                rounds.fetch_add(1, Ordering::SeqCst);
                let seen = world.load(Ordering::SeqCst);
                Box::pin(async move {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    Ok(seen)
                })
            })
        };
        let (gather, gatherer) = Gather::new(ask);
        let cancel = CancellationToken::new();
        let mut tasks = JoinSet::new();
        tasks.spawn(gatherer.run(cancel.clone()));
        let mut clients = JoinSet::new();
        for client in 0..50 {
            let (gather, world) = (gather.clone(), Arc::clone(&world));
            clients.spawn(async move {
                for _ in 0..20 {
                    let before = world.fetch_add(1, Ordering::SeqCst) + 1;
                    assert!(gather.ask(client).await.unwrap() >= before);
                }
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended.unwrap();
        }
        assert!(rounds.load(Ordering::SeqCst) < 300, "{rounds:?} rounds for 1000 questions");
        cancel.cancel();
        assert!(tasks.join_next().await.is_some_and(|ended| ended.is_ok()));
    }
}
