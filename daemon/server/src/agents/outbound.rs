//! Calls on agents, wherever their sessions are: straight to a session of this master, through the bus to one of
//! another. A node whose session nobody holds is told so at once.

mod announcements;

use std::sync::Arc;
use std::time::Duration;

use kontena_core::clock::Clock;
use kontena_core::election::HolderId;
use kontena_core::id::Id;
use kontena_store::{Failure, PacketKind};
use kontena_wire::agent::outbound::Outbound;
use kontena_wire::rpc::{Fault, Value};
use thiserror::Error;
use tokio::sync::oneshot;

use super::registry::{Handed, Handle, Order};
use super::retry::until_done;
use super::{Agents, LIMIT, bus};
use crate::clock::SystemClock;
pub(super) use announcements::{Announcements, work as tell_changes};

/// For finding a session while the database changes its primary.
const PLACE_WITHIN: Duration = Duration::from_secs(10);
/// For a session to take an order.
const ORDER_WITHIN: Duration = Duration::from_secs(5);

/// Why a call on an agent brought nothing.
#[derive(Clone, Debug, Error)]
pub enum CallError {
    /// There is no such node.
    #[error("there is no such node")]
    UnknownNode,
    /// Nobody holds its session.
    #[error("host node {0} is not connected")]
    NotConnected(String),
    /// Its session, or the master that held it, ended before the answer came.
    #[error("the connection to the agent was lost before it answered")]
    Lost,
    /// No answer in time.
    #[error("Connection timeout ({0:?})")]
    Late(Duration),
    /// The agent answered that it failed.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The database did not answer.
    #[error("the database does not answer: {0}")]
    Unavailable(#[from] Failure),
}

/// Where a node's session is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    Here(Arc<Handle>),
    At(HolderId),
}

impl Agents {
    /// Calls the agent of `node` and waits for its answer.
    pub async fn request(&self, node: Id, call: Outbound) -> Result<Value, CallError> {
        match self.place(node, call.answer_within).await? {
            Place::Here(handle) => request_here(&handle, call).await,
            Place::At(owner) => bus::request(self, owner, node, call, None).await,
        }
    }

    /// Calls the agent of `node` without waiting for what comes of it.
    pub async fn notify(&self, node: Id, call: Outbound) -> Result<(), CallError> {
        let place = self.place(node, call.answer_within).await?;
        self.notify_at(&place, node, call).await
    }

    pub(super) async fn notify_at(&self, place: &Place, node: Id, call: Outbound) -> Result<(), CallError> {
        match place {
            Place::Here(handle) => notify_here(handle, call).await,
            Place::At(owner) => {
                let about = self.0.post.fresh();
                self.0
                    .post
                    .send(self.0.me, *owner, PacketKind::Notify, about, bus::notify_body(node, call))
                    .await;
                Ok(())
            }
        }
    }

    /// Has the connected nodes of a grid told what they should know of themselves, after the grid or one of its nodes
    /// has changed. It waits for a place in the queue to the other masters, and for no agent.
    pub async fn announce_grid(&self, grid: Id) {
        self.announce_here(grid);
        for master in self.others() {
            let about = self.0.post.fresh();
            self.0.post.send(self.0.me, master, PacketKind::Announce, about, grid.bytes().to_vec()).await;
        }
    }

    pub(super) fn announce_here(&self, grid: Id) {
        self.0.post.announcements.changed(|| {
            let here = self.0.registry.all().into_iter().filter(|handle| handle.grid == grid);
            here.map(|handle| handle.node).collect()
        });
    }

    /// Finds the session; at most `within`, and no longer than the database needs to change its primary.
    pub(super) async fn place(&self, node: Id, within: Duration) -> Result<Place, CallError> {
        if let Some(handle) = self.0.registry.get(node) {
            return Ok(Place::Here(handle));
        }
        let owner = until_done(within.min(PLACE_WITHIN), || self.0.nodes.owner(node, LIMIT)).await?;
        let owner = owner.ok_or(CallError::UnknownNode)?;
        match owner.master {
            Some(master) if owner.connected && master != self.0.me && self.is_alive(master) => {
                Ok(Place::At(master))
            }
            _ => Err(CallError::NotConnected(owner.name)),
        }
    }

    /// Whether a master is not known to be gone.
    pub(crate) fn is_alive(&self, master: HolderId) -> bool {
        let Some(picture) = self.0.admissions.picture() else { return true };
        let now = SystemClock.now().monotonic;
        let gone = |row: &kontena_store::MasterRow| row.ended || picture.roll.is_lost(now, master);
        !picture.is_fresh(now) || !picture.rows.iter().any(|row| row.id == master && gone(row))
    }

    pub(super) fn others(&self) -> Vec<HolderId> {
        let Some(picture) = self.0.admissions.picture() else { return Vec::new() };
        let others = picture.rows.iter().filter(|row| row.id != self.0.me && !row.ended);
        others.map(|row| row.id).collect()
    }
}

pub(super) async fn request_here(handle: &Handle, call: Outbound) -> Result<Value, CallError> {
    let within = call.answer_within;
    let (answer, outcome) = oneshot::channel();
    hand_over(handle, Order::Call(Box::new(call), Some(answer))).await?;
    match tokio::time::timeout(within, outcome).await {
        Ok(Ok(outcome)) => Ok(outcome?),
        Ok(Err(_)) => Err(CallError::Lost),
        Err(_) => Err(CallError::Late(within)),
    }
}

pub(super) async fn notify_here(handle: &Handle, call: Outbound) -> Result<(), CallError> {
    hand_over(handle, Order::Call(Box::new(call), None)).await
}

/// Calls an agent if its session takes the order at once.
pub(super) fn notify_now(handle: &Handle, call: Outbound) -> Handed {
    handle.order_now(Order::Call(Box::new(call), None))
}

async fn hand_over(handle: &Handle, order: Order) -> Result<(), CallError> {
    match tokio::time::timeout(ORDER_WITHIN, handle.order(order)).await {
        Ok(true) => Ok(()),
        Ok(false) => Err(CallError::Lost),
        Err(_) => Err(CallError::Late(ORDER_WITHIN)),
    }
}

#[cfg(test)]
mod tests {
    use kontena_store::Session;
    use kontena_wire::agent::outbound;
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn an_order_that_is_not_waited_for_is_taken_at_once_or_not_at_all() {
        let (sender, mut orders) = mpsc::channel(200);
        let session = Session { node: Id::from_bytes([1; 12]), epoch: 1 };
        let handle = Handle::new(session, Id::from_bytes([2; 12]), "node".to_owned(), sender);
        // More at once than tokio lets a task do without a pause.
        for _ in 0..200 {
            assert_eq!(notify_now(&handle, outbound::pods_changed()), Handed::Over);
        }
        assert_eq!(notify_now(&handle, outbound::pods_changed()), Handed::Full);
        orders.recv().await.unwrap();
        assert_eq!(notify_now(&handle, outbound::pods_changed()), Handed::Over);
        drop(orders);
        assert_eq!(notify_now(&handle, outbound::pods_changed()), Handed::Gone);
    }
}
