//! What services are shown with: the names of what they refer to, and how their containers do.

use std::collections::HashMap;

use futures_util::try_join;
use kontena_core::id::Id;
use mongodb::bson::{Bson, doc};

use super::{ServiceRow, Services};
use crate::command::Failure;
use crate::document::{Read, oids};
use crate::service_references::named;
use crate::table::Table;

/// The containers of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerCounts {
    /// All.
    pub total: i64,
    /// That run.
    pub running: i64,
    /// That do well by their own check.
    pub healthy: i64,
    /// That do not.
    pub unhealthy: i64,
}

/// What services are shown with.
#[derive(Clone, Debug, Default)]
pub struct ServiceSurroundings {
    /// The names of stacks.
    pub stacks: HashMap<Id, String>,
    /// The paths of services that are linked to, `stack/service`.
    pub links: HashMap<Id, String>,
    /// The names of volumes.
    pub volumes: HashMap<Id, String>,
    /// By service.
    pub counts: HashMap<Id, ContainerCounts>,
}

impl Services {
    /// What these services are shown with.
    pub async fn surroundings(&self, rows: &[ServiceRow]) -> Result<ServiceSurroundings, Failure> {
        let distinct = |pick: fn(&ServiceRow) -> Vec<Id>| -> Vec<Id> {
            let mut ids: Vec<Id> = rows.iter().flat_map(pick).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let references = self.store.service_references();
        let stacks = distinct(|row| vec![row.definition.stack]);
        let links = distinct(|row| row.links.iter().map(|(_, service)| *service).collect());
        let used =
            |row: &ServiceRow| row.definition.volumes.iter().filter_map(|volume| volume.volume).collect();
        let volumes = distinct(used);
        let services: Vec<Id> = rows.iter().map(|row| row.definition.id).collect();
        let volume_rows = Table::new(self.store.database(), "volumes");
        let (stacks, links, volumes, counts) = try_join!(
            references.stack_names(stacks),
            references.service_paths(links),
            named(&volume_rows, volumes),
            self.counts(&services),
        )?;
        Ok(ServiceSurroundings { stacks, links, volumes, counts })
    }

    async fn counts(&self, services: &[Id]) -> Result<HashMap<Id, ContainerCounts>, Failure> {
        let when = |condition: mongodb::bson::Document| doc! { "$sum": { "$cond": [condition, 1, 0] } };
        let health = |is: &str| when(doc! { "$eq": ["$health_status", is] });
        let pipeline = vec![
            doc! { "$match": {
                "grid_service_id": { "$in": oids(services.iter().copied()) }, "deleted_at": Bson::Null,
                "container_type": "container",
            } },
            doc! { "$group": {
                "_id": "$grid_service_id", "total": { "$sum": 1 },
                "running": when(doc! { "$eq": ["$state.running", true] }),
                "healthy": health("healthy"), "unhealthy": health("unhealthy"),
            } },
        ];
        let rows = Table::new(self.store.database(), "containers").aggregate(pipeline).await?;
        let counts = rows.iter().filter_map(|row| {
            let count = |key: &str| row.whole(key).unwrap_or_default();
            let counts = ContainerCounts {
                total: count("total"),
                running: count("running"),
                healthy: count("healthy"),
                unhealthy: count("unhealthy"),
            };
            Some((row.id("_id")?, counts))
        });
        Ok(counts.collect())
    }
}
