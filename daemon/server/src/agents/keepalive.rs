//! After each answered ping the node's record is looked at: whether the session is still the one. All sessions
//! that answered within a second are looked at together.

use std::sync::Arc;
use std::time::Duration;

use kontena_core::agents::keepalive::{Held, Verdict, judge};
use kontena_core::id::Id;
use kontena_store::{Ending, Failure};
use tokio::sync::mpsc;

use super::registry::Handle;
use super::{Agents, LIMIT};

const WAITING: usize = 65_536;
const LOOK_EVERY: Duration = Duration::from_secs(1);
const TOGETHER: usize = 1000;

/// Where sessions tell that their agent answered.
pub(super) struct Heard(mpsc::Sender<Arc<Handle>>);

pub(super) type Inbox = mpsc::Receiver<Arc<Handle>>;

impl Heard {
    pub(super) fn new() -> (Self, Inbox) {
        let (sender, inbox) = mpsc::channel(WAITING);
        (Self(sender), inbox)
    }

    pub(super) fn of(&self, handle: &Arc<Handle>) {
        // A look that is left out is made up for by the next ping.
        let _taken = self.0.try_send(Arc::clone(handle));
    }
}

pub(super) async fn work(agents: Agents, mut inbox: Inbox) {
    let mut heard = Vec::new();
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if inbox.recv_many(&mut heard, TOGETHER).await == 0 {
            return;
        }
        loop {
            if let Err(failure) = look(&agents, &heard).await {
                tracing::debug!(%failure, "the records of connected nodes could not be read");
            }
            heard.clear();
            while heard.len() < TOGETHER
                && let Ok(handle) = inbox.try_recv()
            {
                heard.push(handle);
            }
            if heard.is_empty() {
                break;
            }
        }
    }
}

async fn look(agents: &Agents, heard: &[Arc<Handle>]) -> Result<(), Failure> {
    let (me, nodes) = (agents.0.me, &agents.0.nodes);
    let ids: Vec<Id> = heard.iter().map(|handle| handle.node).collect();
    nodes.seen(&ids, me, LIMIT).await?;
    let records = nodes.records(&ids, LIMIT).await?;
    for handle in heard {
        let session = handle.session();
        let held =
            Held { master: me, epoch: session.epoch, claimed: handle.claimed(), node_id: &handle.node_id };
        match judge(held, records.get(&handle.node)) {
            Verdict::Stays | Verdict::Unsure => {}
            Verdict::Reclaims => {
                handle.claims();
                if nodes.reclaim(session, me, LIMIT).await? {
                    tracing::info!(NODE = handle.node_id, "claimed a session anew that was ended by mistake");
                    handle.renew(session.epoch + 1);
                }
            }
            Verdict::Claimed(epoch) => {
                tracing::info!(NODE = handle.node_id, "a session had been claimed anew without an answer");
                handle.renew(epoch);
            }
            Verdict::Ends(_) => {
                // Two of these make the agent end itself: a primary that was deposed must not decide that.
                let record = nodes.record_for_certain(handle.node, LIMIT).await?;
                if let Verdict::Ends(refusal) = judge(held, record.as_ref()) {
                    tracing::info!(NODE = handle.node_id, code = refusal.code, "{}", refusal.reason);
                    handle.end(refusal, Ending::Gone);
                }
            }
        }
    }
    Ok(())
}
