//! What refers to something that is gone: places of volumes, instances, deploys and containers that were written while
//! what they belong to was being removed. A place without its volume would fail the lists of its whole node.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::Database;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, Document, doc};

use crate::claims::{CLAIMS, STACK_CLAIMS};
use crate::client::Store;
use crate::command::Failure;
use crate::containers::CONTAINERS;
use crate::deploys::DEPLOYS;
use crate::effect::{Effect, Statement};
use crate::grid_services::SERVICES;
use crate::host_nodes::HOST_NODES;
use crate::service_instances::INSTANCES;
use crate::stacks::{DEPLOYS as STACK_DEPLOYS, REVISIONS, STACKS};
use crate::volume_instances::VOLUME_INSTANCES;

/// What is to be removed, by collection and the field that leads nowhere. Ids are never given twice, so what is gone
/// does not come back.
const REMOVED: [(&str, &str, &str); 10] = [
    (VOLUME_INSTANCES, "volume_id", "volumes"),
    (VOLUME_INSTANCES, "host_node_id", HOST_NODES),
    // Reported by a node that was just removed.
    (CONTAINERS, "host_node_id", HOST_NODES),
    (INSTANCES, "grid_service_id", SERVICES),
    (DEPLOYS, "grid_service_id", SERVICES),
    (CLAIMS, "_id", SERVICES),
    ("frozen_pods", "grid_service_id", SERVICES),
    (STACK_CLAIMS, "_id", STACKS),
    (REVISIONS, "stack_id", STACKS),
    (STACK_DEPLOYS, "stack_id", STACKS),
];

/// What is this young is left alone: whoever writes owner and belongings one by one, as an original's master does, may
/// be at it.
const YOUNG: Duration = Duration::from_secs(60);

/// Documents whose owner is gone.
#[derive(Clone, Debug, Default)]
pub struct Leftovers {
    removed: Vec<(&'static str, Vec<ObjectId>)>,
    displaced: Vec<(ObjectId, ObjectId)>,
}

impl Leftovers {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.removed.iter().map(|(_, ids)| ids.len()).sum::<usize>() + self.displaced.len()
    }

    /// Removes them; instances of nodes that are gone lose their place.
    #[must_use]
    pub fn clear(&self) -> Vec<Effect> {
        let removed = self.removed.iter().filter(|(_, ids)| !ids.is_empty()).map(|(collection, ids)| {
            Effect { collection, statement: Statement::Delete { filter: doc! { "_id": { "$in": ids } } } }
        });
        let displaced = self.displaced.iter().map(|(instance, node)| Effect {
            collection: INSTANCES,
            statement: Statement::UpdateMany {
                filter: doc! { "_id": instance, "host_node_id": node },
                change: doc! { "$set": { "host_node_id": Bson::Null } },
            },
        });
        removed.chain(displaced).collect()
    }
}

impl Store {
    /// At most `count` of each kind.
    pub async fn leftovers(&self, count: i64, limit: Duration) -> Result<Leftovers, Failure> {
        let database = self.database();
        let mut found = Leftovers::default();
        for (collection, field, of) in REMOVED {
            let rows = orphans(database, (collection, field, of), count, limit).await?;
            found.removed.push((collection, rows.iter().filter_map(own).collect()));
        }
        let rows = orphans(database, (INSTANCES, "host_node_id", HOST_NODES), count, limit).await?;
        let displaced = |row: &Document| Some((own(row)?, row.get_object_id("field").ok()?));
        found.displaced = rows.iter().filter_map(displaced).collect();
        Ok(found)
    }
}

fn own(row: &Document) -> Option<ObjectId> {
    row.get_object_id("_id").ok()
}

/// The documents of a collection whose field names what is not there.
async fn orphans(
    database: &Database,
    (collection, field, of): (&str, &str, &str),
    count: i64,
    limit: Duration,
) -> Result<Vec<Document>, Failure> {
    let age = i64::try_from(YOUNG.as_millis()).unwrap_or(i64::MAX);
    let settled = doc! { "$lt": [{ "$toDate": "$_id" }, { "$subtract": ["$$NOW", age] }] };
    let pipeline = [
        doc! { "$match": { field: { "$type": "objectId" }, "_id": { "$type": "objectId" } } },
        doc! { "$match": { "$expr": settled } },
        // Many have the same owner.
        doc! { "$group": { "_id": format!("${field}"), "own": { "$push": "$_id" } } },
        doc! { "$lookup": { "from": of, "localField": "_id", "foreignField": "_id", "as": "owner",
        "pipeline": [{ "$project": { "_id": 1 } }] } },
        doc! { "$match": { "owner": [] } },
        doc! { "$unwind": "$own" },
        doc! { "$limit": count },
        doc! { "$project": { "_id": "$own", "field": "$_id" } },
    ];
    let rows = database.collection::<Document>(collection).aggregate(pipeline).max_time(limit).await?;
    Ok(rows.try_collect().await?)
}
