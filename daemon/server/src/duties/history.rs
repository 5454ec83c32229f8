//! Writes down how the leader's own term began.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use kontena_store::LeaderHistory;

use super::{Duty, DutyError, Leader, READ_LIMIT};

pub(crate) struct History;

impl Duty for History {
    fn name(&self) -> &'static str {
        "history"
    }

    fn every(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let history = leader.store.leader_history();
            let term = leader.term;
            if history.has(term, READ_LIMIT).await? {
                return Ok(format!("term {term} is recorded"));
            }
            match history.reign(READ_LIMIT).await? {
                Some(reign) if reign.term == term => {
                    leader.commit(self.name(), LeaderHistory::record(&reign)).await?;
                    Ok(format!("recorded term {term}"))
                }
                Some(_) | None => Ok(format!("the lease is not of term {term} any more")),
            }
        }
        .boxed()
    }
}
