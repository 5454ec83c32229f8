//! Ends sessions that stand in the database and that this master does not hold: of those whose end could not be
//! written, since the database was away just then.

use std::time::Duration;

use kontena_core::agents::Refusal;
use kontena_store::{Ended, Ending, Failure};

use super::{Agents, LIMIT};

/// From one look to the next.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Who was heard of since then has a session, or is about to have one. More than two pings.
const UNSEEN_FOR: Duration = Duration::from_secs(75);
/// How many are looked at together.
const TOGETHER: i64 = 1000;

pub(super) async fn work(agents: Agents) {
    let mut interval = tokio::time::interval(LOOK_EVERY);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        interval.tick().await;
        if let Err(failure) = look(&agents).await {
            tracing::debug!(%failure, "it was not looked for sessions without an end");
        }
    }
}

async fn look(agents: &Agents) -> Result<(), Failure> {
    let unseen = agents.0.nodes.unseen(agents.0.me, UNSEEN_FOR, TOGETHER, LIMIT).await?;
    for session in unseen {
        if agents.0.registry.get(session.node).is_some() {
            continue;
        }
        let close = Refusal::new(1006, "its end could not be noted in time");
        agents.0.endings.ask(Ended { session, ending: Ending::Gone, close }).await?;
        tracing::info!(node = %session.node, "ended a session that had no connection any more");
    }
    Ok(())
}
