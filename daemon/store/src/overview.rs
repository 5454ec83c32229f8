//! Services, stacks and what is told of them over all grids, for administrators. Each list is a few queries whatever
//! its size: totals are computed by the database, names are read once.

mod services;
mod stacks;

use std::collections::HashMap;

use kontena_core::id::Id;
use mongodb::bson::{Document, doc};

use crate::client::Store;
use crate::command::Failure;
use crate::document::Read;
use crate::table::Table;

pub use services::{InstanceSight, ServiceGlance, ServiceSight};
pub use stacks::{RevisionGlance, ServiceOfDeploy, StackDeploySight, StackGlance, StackSight};

/// A deploy at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeployGlance {
    /// Its id.
    pub id: Id,
    /// `created`, `ongoing`, `success` or `error`.
    pub state: String,
    /// Milliseconds since 1970.
    pub created_at: i64,
    /// Milliseconds since 1970.
    pub started_at: Option<i64>,
    /// Milliseconds since 1970.
    pub finished_at: Option<i64>,
    /// What went wrong.
    pub reason: Option<String>,
}

/// All grids at once.
#[derive(Clone, Debug)]
pub struct Overview {
    store: Store,
}

impl Store {
    /// All grids at once.
    #[must_use]
    pub fn overview(&self) -> Overview {
        Overview { store: self.clone() }
    }
}

impl Overview {
    fn table(&self, name: &str) -> Table {
        Table::new(self.store.database(), name)
    }

    /// The newest of each group, by an index of `group` and `_id`: the database jumps from one to the next.
    async fn latest_deploys(&self, table: &str, group: &str) -> Result<HashMap<Id, DeployGlance>, Failure> {
        let pipeline = vec![
            doc! { "$sort": { group: -1, "_id": -1 } },
            doc! { "$group": {
                "_id": format!("${group}"), "deploy": { "$first": "$_id" },
                "_deploy_state": { "$first": "$_deploy_state" }, "created_at": { "$first": "$created_at" },
                "started_at": { "$first": "$started_at" }, "finished_at": { "$first": "$finished_at" },
                "reason": { "$first": "$reason" },
            } },
        ];
        let rows = self.table(table).aggregate(pipeline).await?;
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, glance(row, row.id("deploy")?)))).collect())
    }
}

fn glance(row: &Document, id: Id) -> DeployGlance {
    DeployGlance {
        id,
        state: row.text("_deploy_state").unwrap_or_else(|| "created".to_owned()),
        created_at: row.time("created_at").unwrap_or_default(),
        started_at: row.time("started_at"),
        finished_at: row.time("finished_at"),
        reason: row.text("reason"),
    }
}

/// The names that a collection holds, by id.
async fn names(table: &Table) -> Result<HashMap<Id, String>, Failure> {
    let rows = table.aggregate(vec![doc! { "$project": { "name": 1 } }]).await?;
    Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, row.text("name")?))).collect())
}
