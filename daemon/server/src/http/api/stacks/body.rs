//! Stacks and their deploys as clients see them.

use std::collections::{BTreeSet, HashMap};

use kontena_core::id::Id;
use kontena_core::stack::{NO_STACK, state};
use kontena_store::{GridRow, ServiceRow, ServiceSurroundings, StackRevision, StackRow, StackRun};
use kontena_wire::api;

use super::Found;
use crate::http::Api;
use crate::http::api::answer::time;
use crate::http::api::refused::Refused;
use crate::http::api::services::{Shown, deploy_body};

/// What stacks are shown with.
struct Around<'a> {
    grid: &'a GridRow,
    revisions: HashMap<Id, StackRevision>,
    services: Vec<ServiceRow>,
    details: ServiceSurroundings,
    deploying: BTreeSet<Id>,
    /// Stacks of the grid, as far as they may be of one family with those that are shown.
    others: Vec<StackRow>,
}

impl<'a> Around<'a> {
    async fn of(
        api: &Api,
        grid: &'a GridRow,
        (stacks, others): (&[Id], Vec<StackRow>),
        services: Vec<ServiceRow>,
    ) -> Result<Self, Refused> {
        let store = &api.resources.store;
        let ids: Vec<Id> = services.iter().map(|row| row.definition.id).collect();
        let (revisions, looks, deploys) = (store.stacks(), store.services(), store.deploys());
        let (revisions, details, deploying) = futures_util::try_join!(
            revisions.latest(stacks),
            looks.surroundings(&services),
            deploys.under_way(&ids),
        )?;
        Ok(Self { grid, revisions, services, details, deploying, others })
    }

    fn stack(&self, row: &StackRow) -> api::Stack {
        let own = self.services.iter().filter(|service| service.definition.stack == row.id);
        let shown = Shown { grid: self.grid, around: &self.details };
        let path = |name: &str| format!("{}/{name}", self.grid.name);
        let latest = self.revisions.get(&row.id);
        let definition = latest.map(|latest| &latest.definition);
        let is_there = |name: &String| self.others.iter().any(|other| other.name == *name);
        let parent = row
            .parent
            .as_ref()
            .map(|name| api::StackParent { id: is_there(name).then(|| path(name)), name: name.clone() });
        let children = self.others.iter().filter(|other| other.parent.as_ref() == Some(&row.name));
        let deploying = own.clone().any(|service| self.deploying.contains(&service.definition.id));
        api::Stack {
            id: path(&row.name),
            name: row.name.clone(),
            state: state(&own.clone().map(|service| service.state.as_str()), deploying).to_owned(),
            created_at: time(row.created_at),
            updated_at: latest.map(|latest| time(latest.created_at)),
            stack: definition.map(|definition| definition.stack.clone()),
            registry: definition.and_then(|definition| definition.registry.clone()),
            version: definition.map(|definition| definition.version.clone()),
            revision: latest.map_or(1, |latest| latest.revision),
            expose: definition.and_then(|definition| definition.expose.clone()),
            source: definition.map(|definition| definition.source.clone()),
            variables: definition.map(|definition| definition.variables.clone()).unwrap_or_default(),
            labels: row.labels.clone(),
            services: own.map(|service| shown.service(service)).collect(),
            metadata: definition.map(|definition| definition.metadata.clone()).unwrap_or_default(),
            parent,
            children: children
                .map(|child| api::Named { id: path(&child.name), name: child.name.clone() })
                .collect(),
        }
    }
}

pub(super) async fn one(api: &Api, found: &Found) -> Result<api::Stack, Refused> {
    let Found { grid, row } = found;
    let (services, others) = (found.services(api).await?, api.resources.store.stacks().family(row).await?);
    Ok(Around::of(api, grid, (&[row.id], others), services).await?.stack(row))
}

/// All of a grid but the one of services without a stack.
pub(super) async fn all(api: &Api, grid: &GridRow) -> Result<api::Stacks, Refused> {
    let stacks = api.resources.store.stacks().of_grid(grid.id).await?;
    let mut services = api.resources.store.services().of_grid(grid.id, None).await?;
    services.reverse();
    let shown: Vec<StackRow> = stacks.iter().filter(|row| row.name != NO_STACK).cloned().collect();
    let ids: Vec<Id> = shown.iter().map(|row| row.id).collect();
    services.retain(|service| ids.contains(&service.definition.stack));
    let around = Around::of(api, grid, (&ids, stacks), services).await?;
    Ok(api::Stacks { stacks: shown.iter().map(|row| around.stack(row)).collect() })
}

pub(super) fn deploy(
    found: &Found,
    row: StackRun,
    service_deploys: Vec<api::ServiceDeploy>,
) -> api::StackDeploy {
    let StackRun { id, created_at, state, reason } = row;
    api::StackDeploy {
        id: id.to_string(),
        stack_id: found.path(),
        created_at: time(created_at),
        state: state.name().to_owned(),
        service_deploys,
        reason,
    }
}

/// The deploys of services that belong to the deploy of a stack.
pub(super) async fn service_deploys(
    api: &Api,
    found: &Found,
    deploy: Id,
) -> Result<Vec<api::ServiceDeploy>, Refused> {
    let store = &api.resources.store;
    let rows = store.deploys().of_stack_deploy(deploy).await?;
    let nodes: Vec<Id> = rows.iter().flat_map(|row| &row.steps).map(|step| step.node).collect();
    let (names, services) =
        futures_util::try_join!(async { Ok(store.host_nodes().names(&nodes).await?) }, found.services(api))?;
    let body = |row: kontena_store::DeployRow| {
        let service = services.iter().find(|service| service.definition.id == row.service)?;
        let path = format!("{}/{}", found.path(), service.definition.name);
        Some(deploy_body((path, service.instances), row, &names))
    };
    Ok(rows.into_iter().filter_map(body).collect())
}
