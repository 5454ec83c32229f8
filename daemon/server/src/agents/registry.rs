//! The sessions that this master holds, by node.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use kontena_core::agents::Refusal;
use kontena_core::id::Id;
use kontena_store::{Ending, Session};
use kontena_wire::agent::outbound::Outbound;
use kontena_wire::rpc::{Fault, Value};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

/// What the task of a session is told.
#[derive(Debug)]
pub(super) enum Order {
    /// Call the agent.
    Call(Box<Outbound>, Option<Answer>),
    /// End the session.
    End(Box<(Refusal, Ending)>),
}

/// What became of an order that is not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handed {
    /// The session has it.
    Over,
    /// Too many orders wait for it already.
    Full,
    /// It has ended.
    Gone,
}

/// Where the answer of a request goes. Dropped without one if the session ends.
pub(super) type Answer = oneshot::Sender<Result<Value, Fault>>;

/// One session, as others in this process reach it.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) node: Id,
    pub(super) grid: Id,
    pub(super) node_id: String,
    epoch: AtomicI64,
    claims: AtomicBool,
    orders: mpsc::Sender<Order>,
}

impl Handle {
    pub(super) fn new(session: Session, grid: Id, node_id: String, orders: mpsc::Sender<Order>) -> Self {
        let Session { node, epoch } = session;
        let (epoch, claims) = (AtomicI64::new(epoch), AtomicBool::new(false));
        Self { node, grid, node_id, epoch, claims, orders }
    }

    pub(super) fn session(&self) -> Session {
        Session { node: self.node, epoch: self.epoch.load(Ordering::Acquire) }
    }

    /// The session is about to be claimed anew, under the next epoch.
    pub(super) fn claims(&self) {
        self.claims.store(true, Ordering::Release);
    }

    /// Under which epoch it was claimed anew, if it is not known whether that was made.
    pub(super) fn claimed(&self) -> Option<i64> {
        self.claims.load(Ordering::Acquire).then(|| self.session().epoch + 1)
    }

    /// The session goes on under another epoch.
    pub(super) fn renew(&self, epoch: i64) {
        self.epoch.store(epoch, Ordering::Release);
        self.claims.store(false, Ordering::Release);
    }

    /// Hands an order to the session; false if it has ended.
    pub(super) async fn order(&self, order: Order) -> bool {
        self.orders.send(order).await.is_ok()
    }

    /// Hands an order to the session if it takes it at once.
    pub(super) fn order_now(&self, order: Order) -> Handed {
        match self.orders.try_send(order) {
            Ok(()) => Handed::Over,
            Err(TrySendError::Full(_)) => Handed::Full,
            Err(TrySendError::Closed(_)) => Handed::Gone,
        }
    }

    /// Ends the session. One whose orders are not taken any more ends by its own deadlines.
    pub(super) fn end(&self, refusal: Refusal, ending: Ending) {
        if self.order_now(Order::End(Box::new((refusal, ending)))) != Handed::Over {
            tracing::debug!(node = self.node_id, "the session takes no orders");
        }
    }
}

/// All sessions of this master.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<HashMap<Id, Arc<Handle>>>);

impl Registry {
    /// Adds a session; returns the one that it supersedes.
    pub(super) fn add(&self, handle: Arc<Handle>) -> Option<Arc<Handle>> {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.insert(handle.node, handle)
    }

    /// Removes a session, unless a newer one of its node has come; whether it did.
    pub(super) fn remove(&self, handle: &Arc<Handle>) -> bool {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_last = sessions.get(&handle.node).is_some_and(|found| Arc::ptr_eq(found, handle));
        if is_last {
            sessions.remove(&handle.node);
        }
        is_last
    }

    pub(super) fn get(&self, node: Id) -> Option<Arc<Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&node).cloned()
    }

    /// Whether this is still the session of its node.
    pub(super) fn holds(&self, handle: &Handle) -> bool {
        self.get(handle.node).is_some_and(|found| std::ptr::eq(&raw const *found, handle))
    }

    pub(super) fn all(&self) -> Vec<Arc<Handle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(super) fn len(&self) -> u64 {
        u64::try_from(self.0.lock().unwrap_or_else(PoisonError::into_inner).len()).unwrap_or(u64::MAX)
    }
}
