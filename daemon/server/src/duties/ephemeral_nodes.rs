//! Removes nodes that were meant to go: those with the label `ephemeral` that were not seen for hours, are no
//! members of etcd and hold nothing that would be lost with them.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_store::{Effect, HostNodes};

use super::{Duty, DutyError, Leader, READ_LIMIT};

/// How long such a node may be away.
const AWAY: Duration = Duration::from_secs(6 * 3600);
/// How many are removed in one transaction.
const TOGETHER: usize = 20;

pub(crate) struct EphemeralNodes;

impl Duty for EphemeralNodes {
    fn name(&self) -> &'static str {
        "ephemeral_nodes"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(3600)
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let gone = leader.store.host_nodes().ephemeral(AWAY, READ_LIMIT).await?;
            for some in gone.chunks(TOGETHER) {
                let effects: Vec<Effect> = some.iter().flat_map(HostNodes::remove_ephemeral).collect();
                leader.commit(self.name(), effects).await?;
            }
            Ok(format!("{} nodes removed", gone.len()))
        }
        .boxed()
    }
}
