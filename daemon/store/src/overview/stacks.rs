//! Stacks: all of them at a glance, and one in full.

use std::collections::HashMap;

use futures_util::try_join;
use kontena_core::id::Id;
use mongodb::bson::{Document, doc};

use super::{DeployGlance, Overview, glance, names};
use crate::command::Failure;
use crate::deploys::DEPLOYS;
use crate::document::{Read, oid, oids};
use crate::grid_services::SERVICES;

const STACKS: &str = "stacks";
const REVISIONS: &str = "stack_revisions";
const STACK_DEPLOYS: &str = "stack_deploys";
/// The stack that holds the services without one.
const NO_STACK: &str = "null";
/// How many revisions and deploys of a stack are told.
const LATEST: i64 = 10;

/// A stack at a glance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackGlance {
    /// Its id.
    pub id: Id,
    /// The name of its grid.
    pub grid: String,
    /// Its name.
    pub name: String,
    /// The name of the stack that it belongs to.
    pub parent: Option<String>,
    /// `key=value`.
    pub labels: Vec<String>,
    /// The newest.
    pub revision: Option<RevisionGlance>,
    /// The latest.
    pub deploy: Option<DeployGlance>,
}

/// What a stack was at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionGlance {
    /// Counts from 1.
    pub revision: i64,
    /// Of its file.
    pub version: Option<String>,
    /// The name in its file.
    pub file: Option<String>,
    /// Where the file is from.
    pub registry: Option<String>,
    /// The service that represents the stack.
    pub expose: Option<String>,
    /// Milliseconds since 1970.
    pub created_at: Option<i64>,
}

/// One stack in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackSight {
    /// The latest, the newest first.
    pub revisions: Vec<RevisionGlance>,
    /// The latest, the newest first.
    pub deploys: Vec<StackDeploySight>,
}

/// A deploy of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackDeploySight {
    /// The whole.
    pub deploy: DeployGlance,
    /// Of its services.
    pub services: Vec<ServiceOfDeploy>,
}

/// The deploy of one service of a stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceOfDeploy {
    /// The service's name, while it is there.
    pub service: Option<String>,
    /// `created`, `ongoing`, `success` or `error`.
    pub state: String,
    /// What went wrong.
    pub reason: Option<String>,
}

impl Overview {
    /// All stacks but those that hold services without one, and not more than `most`.
    pub async fn stacks(&self, most: i64) -> Result<Vec<StackGlance>, Failure> {
        let fields = doc! { "grid_id": 1, "name": 1, "parent_name": 1, "labels": 1 };
        let (table, grids) = (self.table(STACKS), self.table("grids"));
        let rows = table.aggregate(vec![
            doc! { "$match": { "name": { "$ne": NO_STACK } } },
            doc! { "$limit": most },
            doc! { "$project": fields },
        ]);
        let (rows, grids, mut revisions, mut deploys) = try_join!(
            rows,
            names(&grids),
            self.newest_revisions(),
            self.latest_deploys(STACK_DEPLOYS, "stack_id"),
        )?;
        let glance = |row: &Document| {
            let id = row.id("_id")?;
            Some(StackGlance {
                id,
                grid: grids.get(&row.id("grid_id")?)?.clone(),
                name: row.text("name")?,
                parent: row.text("parent_name"),
                labels: row.texts("labels"),
                revision: revisions.remove(&id),
                deploy: deploys.remove(&id),
            })
        };
        Ok(rows.iter().filter_map(glance).collect())
    }

    async fn newest_revisions(&self) -> Result<HashMap<Id, RevisionGlance>, Failure> {
        let first = |field: &str| doc! { "$first": format!("${field}") };
        let pipeline = vec![
            doc! { "$sort": { "stack_id": -1, "revision": -1 } },
            doc! { "$group": {
                "_id": "$stack_id", "revision": first("revision"), "version": first("version"),
                "stack_name": first("stack_name"), "registry": first("registry"), "expose": first("expose"),
                "created_at": first("created_at"),
            } },
        ];
        let rows = self.table(REVISIONS).aggregate(pipeline).await?;
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, revision(row)))).collect())
    }

    /// One stack, by the names of its grid and its own. `None` if there is none.
    pub async fn stack(&self, grid: &str, name: &str) -> Result<Option<StackSight>, Failure> {
        let Some(grid) = self.store.grids().by_name(grid).await? else { return Ok(None) };
        let stacks = self.store.service_references().stacks_named(grid.id, &[name]).await?;
        let Some(stack) = stacks.get(name).copied() else { return Ok(None) };
        let fields = doc! {
            "revision": 1, "version": 1, "stack_name": 1, "registry": 1, "expose": 1, "created_at": 1,
        };
        let newest = |sort: Document| {
            vec![
                doc! { "$match": { "stack_id": oid(stack) } },
                doc! { "$sort": sort },
                doc! { "$limit": LATEST },
            ]
        };
        let mut revisions = newest(doc! { "stack_id": -1, "revision": -1 });
        revisions.push(doc! { "$project": fields });
        let (revision_table, deploy_table) = (self.table(REVISIONS), self.table(STACK_DEPLOYS));
        let services = self.services_of(grid.id, stack);
        let (revisions, deploys, services) = try_join!(
            revision_table.aggregate(revisions),
            deploy_table.aggregate(newest(doc! { "stack_id": -1, "_id": -1 })),
            services,
        )?;
        let ids: Vec<Id> = deploys.iter().filter_map(|row| row.id("_id")).collect();
        let mut parts = self.parts(&ids, &services).await?;
        let deploys = deploys.iter().filter_map(|row| {
            let id = row.id("_id")?;
            Some(StackDeploySight {
                deploy: glance(row, id),
                services: parts.remove(&id).unwrap_or_default(),
            })
        });
        Ok(Some(StackSight {
            revisions: revisions.iter().map(revision).collect(),
            deploys: deploys.collect(),
        }))
    }

    async fn services_of(&self, grid: Id, stack: Id) -> Result<HashMap<Id, String>, Failure> {
        let pipeline = vec![
            doc! { "$match": { "grid_id": oid(grid), "stack_id": oid(stack) } },
            doc! { "$project": { "name": 1 } },
        ];
        let rows = self.table(SERVICES).aggregate(pipeline).await?;
        Ok(rows.iter().filter_map(|row| Some((row.id("_id")?, row.text("name")?))).collect())
    }

    /// The deploys of these services that belong to these stack deploys.
    async fn parts(
        &self,
        deploys: &[Id],
        services: &HashMap<Id, String>,
    ) -> Result<HashMap<Id, Vec<ServiceOfDeploy>>, Failure> {
        let mut parts: HashMap<Id, Vec<ServiceOfDeploy>> = HashMap::new();
        if deploys.is_empty() {
            return Ok(parts);
        }
        let pipeline = vec![
            doc! { "$match": {
                "grid_service_id": { "$in": oids(services.keys().copied()) },
                "stack_deploy_id": { "$in": oids(deploys.iter().copied()) },
            } },
            doc! { "$sort": { "_id": 1 } },
            doc! { "$project": { "grid_service_id": 1, "stack_deploy_id": 1, "_deploy_state": 1, "reason": 1 } },
        ];
        for row in self.table(DEPLOYS).aggregate(pipeline).await? {
            let Some(of) = row.id("stack_deploy_id") else { continue };
            parts.entry(of).or_default().push(ServiceOfDeploy {
                service: row.id("grid_service_id").and_then(|id| services.get(&id).cloned()),
                state: row.text("_deploy_state").unwrap_or_else(|| "created".to_owned()),
                reason: row.text("reason"),
            });
        }
        Ok(parts)
    }
}

fn revision(row: &Document) -> RevisionGlance {
    RevisionGlance {
        revision: row.whole("revision").unwrap_or(1),
        version: row.text("version"),
        file: row.text("stack_name"),
        registry: row.text("registry"),
        expose: row.text("expose"),
        created_at: row.time("created_at"),
    }
}
