//! Carries out what is wanted from the certificate authority. Orders that any master wrote down are carried on, several
//! at once, each as far as it goes; what is recorded of them lets the next leader go on.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use kontena_core::id::Id;
use kontena_store::{OrderRow, OrderSteps, WriteError};
use tokio::time::Instant;

use super::{Duty, DutyError, Leader, TIDY_AFTER};
use crate::acme::{Acme, Step, Trouble};

const NAME: &str = "acme";
/// How often it is looked whether another master has written something down.
const EVERY: Duration = Duration::from_secs(1);
/// How many orders are carried on at once.
const TOGETHER: usize = 8;
/// How often in a row what passes may come in the way of an order.
const TRIES: u32 = 5;
/// The pause after the first time; doubles.
const PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct AcmeOrders {
    acme: Arc<Acme>,
    /// What came in the way of which order: how often in a row, and when it is tried again.
    troubles: Mutex<HashMap<Id, (u32, Instant)>>,
}

impl AcmeOrders {
    pub(crate) fn new(acme: Arc<Acme>) -> Self {
        Self { acme, troubles: Mutex::default() }
    }

    fn is_due(&self, order: Id) -> bool {
        let troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        troubles.get(&order).is_none_or(|(_, at)| *at <= Instant::now())
    }

    /// How often in a row by now.
    fn trouble(&self, order: Id) -> u32 {
        let mut troubles = self.troubles.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, at) = troubles.entry(order).or_insert((0, Instant::now()));
        *at = Instant::now() + PAUSE * (1 << (*count).min(8));
        *count += 1;
        *count
    }

    fn no_trouble(&self, order: Id) {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner).remove(&order);
    }

    async fn carry_on(&self, leader: &Leader, row: OrderRow) -> Result<bool, DutyError> {
        let order = row.id;
        if !self.is_due(order) {
            return Ok(true);
        }
        let outcome = match self.acme.carry_on(leader, order).await {
            Err(Trouble::Passing(why)) if self.trouble(order) < TRIES => {
                tracing::info!(domains = row.domains.join(","), why, "an order is tried again");
                return Ok(true);
            }
            Err(Trouble::Passing(why)) => {
                self.acme.give_up(leader, order, &why).await.map(|()| Step::Overtaken)
            }
            Err(trouble @ (Trouble::NoVault | Trouble::Vault(_))) => {
                self.acme.give_up(leader, order, &trouble.to_string()).await.map(|()| Step::Overtaken)
            }
            outcome => outcome,
        };
        self.no_trouble(order);
        match outcome {
            Ok(Step::Waits(why)) => {
                tracing::debug!(domains = row.domains.join(","), why, "an order waits");
                Ok(true)
            }
            Ok(Step::Ended(_) | Step::Overtaken) | Err(Trouble::Write(WriteError::Stale)) => Ok(false),
            Err(Trouble::Database(failure)) => Err(failure.into()),
            Err(Trouble::Write(error)) => Err(error.into()),
            Err(trouble) => {
                tracing::warn!(%trouble, "an order cannot be carried on");
                Ok(true)
            }
        }
    }
}

impl Duty for AcmeOrders {
    fn name(&self) -> &'static str {
        NAME
    }

    fn after(&self) -> Duration {
        TIDY_AFTER
    }

    fn every(&self) -> Duration {
        EVERY
    }

    fn deadline(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn poked(&self) -> BoxFuture<'_, ()> {
        self.acme.wanted().boxed()
    }

    fn run<'a>(&'a self, leader: &'a Leader) -> BoxFuture<'a, Result<String, DutyError>> {
        async move {
            let orders = leader.store.acme_orders().under_way().await?;
            let ids: HashSet<Id> = orders.iter().map(|order| order.id).collect();
            self.acme.keep_told(&ids);
            self.troubles
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .retain(|order, _| ids.contains(order));
            let grids: Vec<Id> = orders.iter().map(|order| order.grid).collect();
            let there = leader.store.grids().by_ids(&grids).await?;
            let (orders, orphans): (Vec<OrderRow>, Vec<OrderRow>) =
                orders.into_iter().partition(|order| there.contains_key(&order.grid));
            if !orphans.is_empty() {
                let effects = orphans.iter().map(|order| OrderSteps(order).drop_it()).collect();
                leader.commit(NAME, effects).await?;
            }
            let carried = stream::iter(orders).map(|order| self.carry_on(leader, order));
            let outcomes: Vec<Result<bool, DutyError>> = carried.buffer_unordered(TOGETHER).collect().await;
            let open = outcomes.into_iter().collect::<Result<Vec<bool>, _>>()?;
            let open = open.into_iter().filter(|open| *open).count();
            Ok(if open == 0 { "no order under way".to_owned() } else { format!("{open} orders under way") })
        }
        .boxed()
    }
}
