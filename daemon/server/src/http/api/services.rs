//! Services.

mod body;
mod deploys;
mod instances;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use kontena_core::form::{Form, Invalid, text};
use kontena_core::id::Id;
use kontena_core::input::{NewService, ServiceChange};
use kontena_core::stack::NO_STACK;
use kontena_store::{EventFilter, Failure, GridRow, Inside, LineFilter, Resolved, ServiceRow, Unlinked};
use kontena_wire::agent::outbound;
use kontena_wire::api;
use serde::Deserialize;
use serde_json::Value;

use super::answer::{Answer, Nothing, created, ok};
use super::caller::{Caller, Deed};
use super::containers::Surroundings;
use super::grids::InGrid;
use super::refused::{Refused, Reply};
use super::submitted::{At, Query, Submitted};
use super::{container_logs, logs, notices};
use crate::http::Api;
pub(super) use body::Shown;
pub(super) use deploys::{body as deploy_body, cancel, deploy, scale, show as show_deploy};
pub(super) use instances::{list as instances, show as show_instance, unschedule};

#[derive(Deserialize)]
pub(super) struct ServiceAt {
    grid: String,
    stack: String,
    service: String,
}

#[derive(Deserialize)]
pub(super) struct PartOfService {
    grid: String,
    stack: String,
    service: String,
    part: String,
}

/// A service with where it is.
pub(super) struct Found {
    grid: GridRow,
    stack: String,
    row: ServiceRow,
}

impl Found {
    pub(super) fn id(&self) -> Id {
        self.row.definition.id
    }

    fn name(&self) -> &str {
        &self.row.definition.name
    }

    async fn show(&self, api: &Api) -> Result<api::Service, Refused> {
        let rows = std::slice::from_ref(&self.row);
        let around = api.resources.store.services().surroundings(rows).await?;
        Ok(Shown { grid: &self.grid, around: &around }.service(&self.row))
    }

    async fn note(&self, api: &Api, caller: &Caller, event: &'static str, body: &str) {
        let deed = Deed::new(event, "GridService", self.id(), &self.grid).named(self.name()).said(body);
        caller.did(api, deed).await;
    }

    /// The nodes that have instances of it.
    async fn nodes(&self, api: &Api) -> Result<Vec<Id>, Refused> {
        let instances = api.resources.store.service_instances().of_services(&[self.id()]).await?;
        let mut nodes: Vec<Id> = instances.iter().filter_map(|instance| instance.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        Ok(nodes)
    }
}

pub(super) async fn find(api: &Api, caller: &Caller, at: &ServiceAt) -> Result<Found, Refused> {
    let grid = api.resources.grid(caller, &at.grid).await?;
    let stack = stack(api, &grid, &at.stack).await?.ok_or_else(Refused::not_found)?;
    let row = api.resources.store.services().named(grid.id, stack, &at.service).await?;
    Ok(Found { grid, stack: at.stack.clone(), row: row.ok_or_else(Refused::not_found)? })
}

async fn find_of(api: &Api, caller: &Caller, at: PartOfService) -> Result<(Found, String), Refused> {
    let PartOfService { grid, stack, service, part } = at;
    Ok((find(api, caller, &ServiceAt { grid, stack, service }).await?, part))
}

async fn stack(api: &Api, grid: &GridRow, name: &str) -> Result<Option<Id>, Refused> {
    Ok(api.resources.store.service_references().stacks_named(grid.id, &[name]).await?.remove(name))
}

pub(super) async fn list(State(api): State<Api>, caller: Caller, At(at): At<InGrid>, query: Query) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let stack = match query.text("stack") {
        None => None,
        Some(name) => {
            let missing = || Refused::Missing("Stack not found".to_owned());
            Some(stack(&api, &grid, name).await?.ok_or_else(missing)?)
        }
    };
    let services = api.resources.store.services();
    let rows = services.of_grid(grid.id, stack).await?;
    let around = services.surroundings(&rows).await?;
    let shown = Shown { grid: &grid, around: &around };
    Ok(ok(api::Services { services: rows.iter().map(|row| shown.service(row)).collect() }))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    let wanted = NewService::read(&submitted.fields, NO_STACK, &grid.name)?;
    let stack = stack(&api, &grid, NO_STACK).await?.ok_or_else(Refused::not_found)?;
    let services = api.resources.store.services();
    let resolved = services.resolve(grid.id, NO_STACK, &Inside::default(), &wanted.fields).await??;
    let row = match services.create(grid.id, stack, &wanted, &resolved).await {
        Err(Failure::Duplicate) => return Err(Refused::field("name", "is already taken")),
        made => made?,
    };
    let found = Found { grid, stack: NO_STACK.to_owned(), row };
    found.note(&api, &caller, "create", &submitted.raw).await;
    Ok(created(found.show(&api).await?))
}

pub(super) async fn show(State(api): State<Api>, caller: Caller, At(at): At<ServiceAt>) -> Reply {
    Ok(ok(find(&api, &caller, &at).await?.show(&api).await?))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<ServiceAt>,
    submitted: Submitted,
) -> Reply {
    let Found { grid, stack, row } = find(&api, &caller, &at).await?;
    let change = ServiceChange::read(&submitted.fields, row.definition.stateful)?;
    let services = api.resources.store.services();
    let inside = inside(&api, row.definition.stack).await?;
    let resolved = services.resolve(grid.id, &stack, &inside, &change.fields).await??;
    no_new_anonymous(&row, &resolved)?;
    let row = services.update(row.definition.id, &change, &resolved).await?.ok_or_else(Refused::not_found)?;
    let found = Found { grid, stack, row };
    found.note(&api, &caller, "update", &submitted.raw).await;
    Ok(ok(found.show(&api).await?))
}

/// What the names of volumes mean in a stack.
async fn inside(api: &Api, stack: Id) -> Result<Inside, Refused> {
    let Some(latest) = api.resources.store.stacks().latest(&[stack]).await?.remove(&stack) else {
        return Ok(Inside::default());
    };
    let declared = latest.definition.volumes.into_iter();
    let volumes = declared.filter_map(|volume| Some((volume.name, volume.external?))).collect();
    Ok(Inside { volumes: Some(volumes), ..Inside::default() })
}

/// A service that keeps data would not find it again.
pub(super) fn no_new_anonymous(row: &ServiceRow, resolved: &Resolved) -> Result<(), Invalid> {
    let known = |path: &str| row.definition.volumes.iter().any(|volume| volume.path.as_deref() == Some(path));
    let added = |path: &str| row.definition.stateful && !known(path);
    let messages: Vec<Value> = resolved
        .volumes
        .iter()
        .filter(|(mount, _)| mount.source.is_none() && added(&mount.path))
        .map(|(mount, _)| {
            let path = &mount.path;
            Value::String(format!(
                "Adding a new anonymous volume ({path}) to a stateful service is not supported"
            ))
        })
        .collect();
    if messages.is_empty() {
        return Ok(());
    }
    let mut faults = Invalid::default();
    faults.0.insert("volumes".to_owned(), Value::Array(messages));
    Err(faults)
}

pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<ServiceAt>,
    submitted: Submitted,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let nodes = found.nodes(&api).await?;
    // It is asked for while the instances are still known.
    let farewell = if found.row.links.is_empty() {
        None
    } else {
        api.agents.pod_behind_balancer(found.id(), &nodes).await
    };
    match api.resources.store.services().remove(found.id()).await? {
        Unlinked::Removed => {}
        Unlinked::Missing => return Err(Refused::not_found()),
        Unlinked::Linked(mut names) => {
            names.sort();
            let names = names.join(", ");
            let message = format!("Cannot delete service that is linked to another service ({names})");
            return Err(Refused::field("service", message));
        }
    }
    notices::pods_changed(&api, nodes);
    if let Some((node, pod)) = farewell {
        notices::tell(&api, vec![node], outbound::remove_from_load_balancer(pod));
    }
    found.note(&api, &caller, "delete", &submitted.raw).await;
    Ok(ok(Nothing {}))
}

pub(super) async fn stop(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<ServiceAt>,
    submitted: Submitted,
) -> Reply {
    turn(&api, &caller, &at, &submitted, ("stop", "stopped")).await
}

pub(super) async fn start(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<ServiceAt>,
    submitted: Submitted,
) -> Reply {
    turn(&api, &caller, &at, &submitted, ("start", "running")).await
}

async fn turn(
    api: &Api,
    caller: &Caller,
    at: &ServiceAt,
    submitted: &Submitted,
    (event, state): (&'static str, &'static str),
) -> Result<Response, Refused> {
    let found = find(api, caller, at).await?;
    if !api.resources.store.services().set_state(found.id(), state).await? {
        return Err(Refused::not_found());
    }
    notices::pods_changed(api, found.nodes(api).await?);
    api.deployer.wake(found.id());
    found.note(api, caller, event, &submitted.raw).await;
    Ok(ok(Nothing {}))
}

pub(super) async fn restart(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<ServiceAt>,
    submitted: Submitted,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let id = found.id().to_string();
    for instance in api.resources.store.service_instances().of_services(&[found.id()]).await? {
        if let Some(node) = instance.node {
            notices::tell(&api, vec![node], outbound::restart_pod(&id, instance.number));
        }
    }
    found.note(&api, &caller, "restart", &submitted.raw).await;
    Ok(ok(Nothing {}))
}

pub(super) async fn add_env(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<ServiceAt>,
    submitted: Submitted,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let mut form = Form::new(&submitted.fields);
    let entry = form.required("env", &text());
    let entry = match form.conclude(entry) {
        Ok(entry) => entry,
        // As the original has it, not wrapped.
        Err(Invalid(faults)) => {
            return Ok(axum::response::IntoResponse::into_response(Answer(
                StatusCode::UNPROCESSABLE_ENTITY,
                faults,
            )));
        }
    };
    if !api.resources.store.services().add_env(found.id(), &entry).await? {
        return Err(Refused::not_found());
    }
    found.note(&api, &caller, "add_env", &submitted.raw).await;
    Ok(ok(Nothing {}))
}

pub(super) async fn remove_env(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<PartOfService>,
    submitted: Submitted,
) -> Reply {
    let (found, key) = find_of(&api, &caller, at).await?;
    api.resources.store.services().remove_env(found.id(), &key).await?;
    found.note(&api, &caller, "remove_env", &submitted.raw).await;
    Ok(ok(Nothing {}))
}

pub(super) async fn containers(State(api): State<Api>, caller: Caller, At(at): At<ServiceAt>) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let store = &api.resources.store;
    let (containers, host_nodes, references) =
        (store.containers(), store.host_nodes(), store.service_references());
    let (containers, nodes, services) = futures_util::try_join!(
        containers.of_service(found.id()),
        host_nodes.of_grid(found.grid.id),
        references.service_paths([found.id()]),
    )?;
    let around = Surroundings::new(&found.grid, &nodes, services);
    Ok(ok(api::Containers { containers: containers.iter().map(|row| around.show(row)).collect() }))
}

pub(super) async fn lines(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<ServiceAt>,
    query: Query,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let filter = LineFilter {
        services: Some(vec![found.id()]),
        names: query.text("container").map(|name| vec![name.to_owned()]),
        instance: query.text("instance").and_then(|instance| instance.parse().ok()),
        ..LineFilter::default()
    };
    container_logs::answer(&api, filter, &query).await
}

pub(super) async fn events(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<ServiceAt>,
    query: Query,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let services = Some(vec![found.id()]);
    let filter = EventFilter { grid: found.grid.id, nodes: None, stacks: None, services };
    logs::answer(&api, filter, &query).await
}
