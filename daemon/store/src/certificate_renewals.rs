//! Certificates that the master renews by itself: those that end soon, and of which each domain is proven by a service
//! that answers for it. The fields `renewal_failures` and `renewal_failed_at` are ours.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use futures_util::TryStreamExt;
use kontena_core::acme::{Goal, Method, renewal_pause};
use kontena_core::id::Id;
use mongodb::bson::{Bson, Document, doc};

use crate::acme_orders::{ORDERS, Wish, asked_now, new_one, retire, slot, wished};
use crate::certificates::{AUTHORIZATIONS, CERTIFICATES};
use crate::client::Store;
use crate::command::{Failure, millis};
use crate::document::{Read, oids};
use crate::effect::{Effect, Statement};
use crate::table::inserting;

/// A certificate that the master can renew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewal {
    /// Its id.
    pub certificate: Id,
    /// Whose.
    pub grid: Id,
    /// The first is the subject.
    pub domains: Vec<String>,
    /// How often it failed since the last success.
    pub failures: u32,
    /// Whether it is time, and nobody is at it.
    pub due: bool,
}

impl Renewal {
    /// Asks for it. What was offered or proven by hand for the same domains since is of no use any more.
    #[must_use]
    pub fn begin(&self, directory: &str) -> [Effect; 2] {
        let wish = Wish {
            grid: self.grid,
            domains: &self.domains,
            goal: Goal::Issue,
            directory,
            method: None,
            service: None,
            after: &[],
        };
        let pipeline = inserting(wished(&wish, true), asked_now());
        let statement = Statement::Compute { filter: new_one(), pipeline };
        [retire(&slot(self.grid, &self.domains)), Effect { collection: ORDERS, statement }]
    }
}

/// The collections.
#[derive(Clone, Debug)]
pub struct CertificateRenewals {
    store: Store,
}

impl Store {
    /// Certificates that the master renews by itself.
    #[must_use]
    pub fn certificate_renewals(&self) -> CertificateRenewals {
        CertificateRenewals { store: self.clone() }
    }
}

impl CertificateRenewals {
    /// At most `count` that end within `ahead`, the first to end first.
    pub async fn soon(&self, ahead: Duration, count: i64, limit: Duration) -> Result<Vec<Renewal>, Failure> {
        let pipeline = [
            doc! { "$match": {
                "valid_until": { "$type": "date" },
                "$expr": { "$lt": ["$valid_until", { "$add": ["$$NOW", millis(ahead)] }] },
            } },
            doc! { "$sort": { "valid_until": 1 } },
            doc! { "$limit": count },
            doc! { "$project": {
                "grid_id": 1, "subject": 1, "alt_names": 1, "renewal_failures": 1,
                "since_failed": { "$subtract": ["$$NOW", "$renewal_failed_at"] },
            } },
        ];
        let database = self.store.database();
        let certificates = database.collection::<Document>(CERTIFICATES);
        let rows: Vec<Document> =
            certificates.aggregate(pipeline).max_time(limit).await?.try_collect().await?;
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let filter = doc! {
            "grid_id": { "$in": oids(rows.iter().filter_map(|row| row.id("grid_id"))) },
            "authorization_type": Method::Http.name(), "grid_service_id": { "$ne": Bson::Null },
        };
        let authorizations = database.collection::<Document>(AUTHORIZATIONS);
        let found =
            authorizations.find(filter).projection(doc! { "grid_id": 1, "domain": 1 }).max_time(limit);
        let found: Vec<Document> = found.await?.try_collect().await?;
        let mut answered: HashMap<Id, HashSet<String>> = HashMap::new();
        for row in &found {
            if let (Some(grid), Some(domain)) = (row.id("grid_id"), row.text("domain")) {
                answered.entry(grid).or_default().insert(domain);
            }
        }
        let mut renewals: Vec<Renewal> = rows.iter().filter_map(|row| renewal(row, &answered)).collect();
        let slots: Vec<String> = renewals.iter().map(|one| slot(one.grid, &one.domains)).collect();
        let taken = self.store.acme_orders().slots_in_use(&slots).await?;
        for (renewal, slot) in renewals.iter_mut().zip(&slots) {
            renewal.due &= !taken.contains(slot);
        }
        Ok(renewals)
    }
}

fn renewal(row: &Document, answered: &HashMap<Id, HashSet<String>>) -> Option<Renewal> {
    let grid = row.id("grid_id")?;
    let subject = row.text("subject")?;
    let others = row.texts("alt_names").into_iter().filter(|name| *name != subject);
    let domains: Vec<String> = std::iter::once(subject.clone()).chain(others).collect();
    let of_grid = answered.get(&grid)?;
    if !domains.iter().all(|domain| of_grid.contains(domain)) {
        return None;
    }
    let failures = row.whole("renewal_failures").and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    let since = row.whole("since_failed").and_then(|since| u64::try_from(since).ok());
    let due = since.is_none_or(|since| Duration::from_millis(since) >= renewal_pause(failures));
    Some(Renewal { certificate: row.id("_id")?, grid, domains, failures, due })
}
