//! What is measured over all grids, for monitoring: asked for every few seconds, so it costs little whatever there is.

use std::time::Duration;

use futures_util::try_join;
use mongodb::bson::{Bson, doc};

use crate::certificates::CERTIFICATES;
use crate::client::Store;
use crate::command::Failure;
use crate::deploys::{DEPLOYS, open_of};
use crate::document::Read;
use crate::table::{LIMIT, Table};

/// What is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Measures {
    /// Nodes, with an agent or without.
    pub nodes: u64,
    /// Deploys of services that have not ended.
    pub open_deploys: u64,
    /// How long ago the oldest of them was asked for, by the database's clock.
    pub oldest_open_deploy: Option<Duration>,
    /// When the first certificate ends, in milliseconds since 1970.
    pub first_expiry: Option<i64>,
}

impl Store {
    /// Measures all grids.
    pub async fn measures(&self) -> Result<Measures, Failure> {
        let table = |name| Table::new(self.database(), name);
        let (deploys, certificates, hosts) = (table(DEPLOYS), table(CERTIFICATES), self.host_nodes());
        let open = vec![
            doc! { "$match": open_of(doc! {}) },
            doc! { "$group": { "_id": Bson::Null, "count": { "$sum": 1 }, "first": { "$min": "$created_at" } } },
            doc! { "$project": { "count": 1, "age": { "$subtract": ["$$NOW", "$first"] } } },
        ];
        let ends = vec![doc! { "$group": { "_id": Bson::Null, "first_expiry": { "$min": "$valid_until" } } }];
        let (nodes, open, ends) =
            try_join!(hosts.count(LIMIT), deploys.aggregate(open), certificates.aggregate(ends))?;
        let age = open.first().and_then(|row| row.whole("age"));
        Ok(Measures {
            nodes,
            open_deploys: open
                .first()
                .and_then(|row| row.whole("count"))
                .map_or(0, |count| u64::try_from(count).unwrap_or(0)),
            oldest_open_deploy: age.map(|age| Duration::from_millis(u64::try_from(age).unwrap_or(0))),
            first_expiry: ends.first().and_then(|row| row.time("first_expiry")),
        })
    }
}
