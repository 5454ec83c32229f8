//! The connection: one task that asks one master, and another one when that does not answer. It never gives up.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, OptionFuture};
use kontena_wire::cluster::{Cluster, MasterState};
use kontena_wire::events::Event as Happened;
use reqwest::Response;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::backoff;
use super::contexts::Context;
use super::follower::Follower;
use super::http::{Failure, Master};
use super::sse::Decoder;
use super::target::Target;
use super::watcher::Watcher;
use crate::action::Operation;
use crate::event::{Event, Link};
use crate::place::Look;

/// Between two pictures.
const PACE: Duration = Duration::from_secs(1);
/// Between two pictures while nobody leads, and the least between two whatever happens.
const EAGER: Duration = Duration::from_millis(100);
/// Before the feed is asked for again.
const FEED_RETRY: Duration = Duration::from_secs(1);
/// How many failures count when asking again soon would not help.
const LASTING_FAILURES: u32 = 6;
/// How many orders may wait.
const ORDERS: usize = 16;
/// How many signs of the feed may wait: each only says that there is something to look at.
const SIGNS: usize = 1;

/// What the connection is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Order {
    Switch(usize),
    Refresh,
    Look(Look),
    StepDown,
    Drain { id: String, name: String },
    Operate(Operation),
}

/// The running connection. Dropping it ends it.
pub(crate) struct Handle {
    orders: Sender<Order>,
    // It has a thread of its own, so that reading a long answer never delays a key.
    runtime: Option<Runtime>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Nothing it does is worth waiting for, and waiting is not possible everywhere.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Handle {
    /// Hands an order over. Returns false if the connection is busy with earlier ones.
    pub(crate) fn order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }
}

/// Starts the connection to one of the contexts.
pub(crate) fn start(
    contexts: Vec<Context>,
    context: usize,
    events: Sender<Event>,
) -> std::io::Result<Handle> {
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("link").enable_all().build()?;
    let (orders, taken) = mpsc::channel(ORDERS);
    let looks = watch::Sender::new(Look::default());
    let link = Connection { contexts, context, events, orders: taken, looks, last_event: None };
    runtime.spawn(link.run());
    Ok(Handle { orders, runtime: Some(runtime) })
}

struct Connection {
    contexts: Vec<Context>,
    context: usize,
    events: Sender<Event>,
    orders: Receiver<Order>,
    /// What the user looks at.
    looks: watch::Sender<Look>,
    /// Where the feed stands.
    last_event: Option<String>,
}

/// How a session ended.
enum End {
    /// The master does not answer (any more).
    Failed { failure: Failure, lived: bool },
    /// Another context was chosen.
    Switched,
    /// Nobody listens any more.
    Closed,
}

impl Connection {
    async fn run(mut self) {
        loop {
            let Some(context) = self.contexts.get(self.context).cloned() else { return };
            self.last_event = None;
            if !self.keep(context.target).await {
                return;
            }
        }
    }

    /// Stays connected to the masters of one context until another is chosen. Returns false at the end of the
    /// program.
    async fn keep(&mut self, first: Target) -> bool {
        let mut siblings: Vec<String> = Vec::new();
        let mut failures: u32 = 0;
        let mut queue = VecDeque::from([first.clone()]);
        loop {
            let Some(target) = queue.pop_front() else {
                failures = failures.saturating_add(1);
                let wait = backoff::wait(failures, rand::random());
                match self.pause(wait).await {
                    Pause::Over => {}
                    Pause::Switched => return true,
                    Pause::Closed => return false,
                }
                queue.push_back(first.clone());
                queue.extend(siblings.iter().filter_map(|url| first.sibling(url)));
                continue;
            };
            match self.session(&target, &mut siblings).await {
                End::Switched => return true,
                End::Closed => return false,
                End::Failed { failure, lived } => {
                    if lived {
                        // The others may lead already: they are asked at once, the lost one last.
                        failures = 0;
                        let lost = target.to_string();
                        queue.clear();
                        queue.extend(siblings.iter().filter_map(|url| first.sibling(url)));
                        queue.push_back(first.clone());
                        queue.retain(|target| target.to_string() != lost);
                    }
                    if failure.lasting {
                        failures = failures.max(LASTING_FAILURES);
                    }
                    let wait =
                        if queue.is_empty() { backoff::wait(failures + 1, 0.5) } else { Duration::ZERO };
                    let retry_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
                    let lost = Link::Lost { target: target.to_string(), reason: failure.words, retry_ms };
                    if !self.tell(lost).await {
                        return false;
                    }
                }
            }
        }
    }

    /// Asks one master until it does not answer.
    async fn session(&mut self, target: &Target, siblings: &mut Vec<String>) -> End {
        if !self.tell(Link::Trying { target: target.to_string() }).await {
            return End::Closed;
        }
        let mut lived = false;
        let failed = |failure, lived| End::Failed { failure, lived };
        let master = match Master::new(target.clone()) {
            Ok(master) => master,
            Err(failure) => return failed(failure, lived),
        };
        // Ends with the session.
        let mut tasks = JoinSet::new();
        let (sign, mut signs) = mpsc::channel(SIGNS);
        let (places, mut place) = watch::channel(self.last_event.clone());
        let mut next = Instant::now();
        let mut asked = next;
        let mut asking: OptionFuture<BoxFuture<'_, _>> = None.into();
        let mut is_asking = false;
        loop {
            tokio::select! {
                order = self.orders.recv() => match order {
                    None => return End::Closed,
                    Some(Order::Switch(context)) => {
                        self.context = context;
                        return End::Switched;
                    }
                    Some(Order::Refresh) => next = Instant::now(),
                    Some(Order::Look(look)) => drop(self.looks.send_replace(look)),
                    Some(order @ (Order::StepDown | Order::Drain { .. } | Order::Operate(_))) => {
                        let (master, events) = (master.clone(), self.events.clone());
                        tasks.spawn(async move { carry_out(master, order, events).await });
                    }
                },
                Some(()) = signs.recv(), if lived => next = next.min(Instant::now() + EAGER / 4),
                () = sleep_until(next), if !is_asking => {
                    asked = Instant::now();
                    asking = Some(master.cluster().boxed()).into();
                    is_asking = true;
                }
                Some(answer) = &mut asking => {
                    asking = None.into();
                    is_asking = false;
                    let cluster = match answer {
                        Ok(cluster) => cluster,
                        Err(failure) => return failed(failure, lived),
                    };
                    if !lived {
                        lived = true;
                        if !self.tell(Link::Connected { target: target.to_string() }).await {
                            return End::Closed;
                        }
                        let feed = Feed { master: master.clone(), events: self.events.clone(), sign: sign.clone() };
                        tasks.spawn(feed.follow(places.clone()));
                        let (events, looks) = (self.events.clone(), self.looks.subscribe());
                        tasks.spawn(Watcher { master: master.clone(), events, looks }.run());
                        let (events, looks) = (self.events.clone(), self.looks.subscribe());
                        tasks.spawn(Follower { master: master.clone(), events, looks }.run());
                    }
                    learn(siblings, &cluster);
                    next = asked + if is_led(&cluster) { PACE } else { EAGER };
                    if !self.tell(Link::Picture(Box::new(cluster))).await {
                        return End::Closed;
                    }
                }
                // Whoever has ended is no longer waited for.
                Some(_) = tasks.join_next(), if !tasks.is_empty() => {}
            }
            if place.has_changed().unwrap_or(false) {
                self.last_event.clone_from(&place.borrow_and_update());
            }
        }
    }

    /// Waits. What is asked for meanwhile cuts it short, or is refused.
    async fn pause(&mut self, wait: Duration) -> Pause {
        let end = Instant::now() + wait;
        loop {
            tokio::select! {
                () = sleep_until(end) => return Pause::Over,
                order = self.orders.recv() => match order {
                    None => return Pause::Closed,
                    Some(Order::Switch(context)) => {
                        self.context = context;
                        return Pause::Switched;
                    }
                    Some(Order::Refresh) => return Pause::Over,
                    Some(Order::Look(look)) => drop(self.looks.send_replace(look)),
                    Some(Order::StepDown) => self.refuse("step-down").await,
                    Some(Order::Drain { name, .. }) => self.refuse(&format!("drain of {name}")).await,
                    Some(Order::Operate(Operation { what, .. })) => self.refuse(&what).await,
                },
            }
        }
    }

    async fn refuse(&self, what: &str) {
        let outcome = Err("no master answers".to_owned());
        // The program ends when nobody takes it.
        let _ended = self.events.send(Event::Done { what: what.to_owned(), outcome }).await;
    }

    async fn tell(&self, event: Link) -> bool {
        self.events.send(Event::Link(event)).await.is_ok()
    }
}

enum Pause {
    Over,
    Switched,
    Closed,
}

fn is_led(cluster: &Cluster) -> bool {
    cluster.leader.as_ref().is_some_and(|leader| leader.acting)
}

/// Remembers where the other masters are, those that would answer first.
fn learn(siblings: &mut Vec<String>, cluster: &Cluster) {
    let mut masters: Vec<_> = cluster.masters.iter().filter(|m| m.state != MasterState::Draining).collect();
    masters.sort_by_key(|master| master.state == MasterState::Lost);
    if !masters.is_empty() {
        *siblings = masters.into_iter().map(|master| master.url.clone()).take(32).collect();
    }
}

async fn carry_out(master: Master, order: Order, events: Sender<Event>) {
    let (what, by_default, outcome) = match order {
        Order::StepDown => ("step-down".to_owned(), "done", step_down(&master).await),
        Order::Drain { id, name } => {
            (format!("drain of {name}"), "it will, with its next heartbeat", master.drain(&id).await)
        }
        Order::Operate(Operation { what, route, body }) => (what, "done", master.operate(&route, body).await),
        Order::Switch(_) | Order::Refresh | Order::Look(_) => return,
    };
    let outcome = match outcome {
        Ok(said) if said.is_empty() => Ok(by_default.to_owned()),
        Ok(said) => Ok(said),
        Err(failure) => Err(failure.words),
    };
    // The program ends when nobody takes it.
    let _ended = events.send(Event::Done { what, outcome }).await;
}

/// Only the leader can step down; another master says who that is.
async fn step_down(master: &Master) -> Result<String, Failure> {
    let failure = match master.step_down().await {
        Ok(said) => return Ok(said),
        Err(failure) => failure,
    };
    let Some(leader) = &failure.ask else { return Err(failure) };
    if let Some(target) = master.target().sibling(leader) {
        return Master::new(target)?.step_down().await;
    }
    let words = format!("the leader is at {leader}: connect to it, or run kontena-master step-down there");
    Err(Failure { words, ..failure })
}

/// The feed of one master.
struct Feed {
    master: Master,
    events: Sender<Event>,
    sign: Sender<()>,
}

impl Feed {
    /// Follows until the session ends, from where the last one stood.
    async fn follow(self, places: watch::Sender<Option<String>>) {
        loop {
            let last = places.borrow().clone();
            match self.master.events(last.as_deref()).await {
                Ok(Some(answer)) => self.read(answer, &places).await,
                // An earlier version without a feed: the pictures must do.
                Ok(None) => return,
                Err(_) => {}
            }
            // A feed that ends says that its master may be ending: the picture tells.
            self.look();
            sleep(FEED_RETRY).await;
        }
    }

    async fn read(&self, mut answer: Response, places: &watch::Sender<Option<String>>) {
        let mut decoder = Decoder::default();
        while let Ok(Some(chunk)) = answer.chunk().await {
            let Ok(messages) = decoder.feed(&chunk) else { return };
            for message in messages {
                if let Some(id) = &message.id {
                    places.send_replace(Some(id.clone()));
                }
                let Ok(event) = serde_json::from_str::<Happened>(&message.data) else { continue };
                let happened = Event::Link(Link::Happened { id: message.id, event });
                if self.events.send(happened).await.is_err() {
                    return;
                }
                self.look();
            }
        }
    }

    fn look(&self) {
        // A sign that waits already is as good.
        let _waiting = self.sign.try_send(());
    }
}
