//! Stacks.

mod body;
mod define;

use axum::extract::State;
use kontena_core::id::Id;
use kontena_core::input::{NewStack, StackChange, StackLabels};
use kontena_core::stack::{NO_STACK, RemovalAct, RemovalView, decide_removal};
use kontena_store::{EventFilter, Failure, GridRow, LineFilter, ServiceRow, StackRow};
use kontena_wire::agent::outbound;
use serde::Deserialize;

use super::answer::{Nothing, created, ok};
use super::caller::{Caller, Deed};
use super::grids::InGrid;
use super::refused::{Refused, Reply};
use super::submitted::{At, Query, Submitted};
use super::{container_logs, logs, notices};
use crate::http::Api;

/// A larger definition would not fit into a document of the database.
const DEFINITION_MAX: usize = 1 << 20;
/// How often a change is tried when others change the same stack.
const TRIES: usize = 6;

#[derive(Deserialize)]
pub(super) struct StackAt {
    grid: String,
    stack: String,
}

#[derive(Deserialize)]
pub(super) struct PartOfStack {
    grid: String,
    stack: String,
    part: String,
}

/// A stack with where it is.
struct Found {
    grid: GridRow,
    row: StackRow,
}

impl Found {
    /// Its services, the oldest first.
    async fn services(&self, api: &Api) -> Result<Vec<ServiceRow>, Refused> {
        let mut rows = api.resources.store.services().of_grid(self.grid.id, Some(self.row.id)).await?;
        rows.reverse();
        Ok(rows)
    }

    async fn service_ids(&self, api: &Api) -> Result<Vec<Id>, Refused> {
        Ok(self.services(api).await?.iter().map(|row| row.definition.id).collect())
    }

    fn path(&self) -> String {
        format!("{}/{}", self.grid.name, self.row.name)
    }

    async fn note(&self, api: &Api, caller: &Caller, event: &'static str, body: &str) {
        let deed = Deed::new(event, "Stack", self.row.id, &self.grid).named(&self.row.name).said(body);
        caller.did(api, deed).await;
    }

    /// What is done with the stack itself is not done with the services that have none.
    fn is_none(&self) -> bool {
        self.row.name == NO_STACK
    }
}

async fn find(api: &Api, caller: &Caller, at: &StackAt) -> Result<Found, Refused> {
    let grid = api.resources.grid(caller, &at.grid).await?;
    let row = api.resources.store.stacks().named(grid.id, &at.stack).await?;
    Ok(Found { grid, row: row.ok_or(Refused::Nothing)? })
}

/// The stack as it is now, after it was changed.
async fn again(api: &Api, found: Found) -> Result<Found, Refused> {
    let row = api.resources.store.stacks().named(found.grid.id, &found.row.name).await?;
    Ok(Found { row: row.ok_or(Refused::Nothing)?, ..found })
}

fn bounded(submitted: &Submitted) -> Result<(), Refused> {
    if submitted.raw.len() > DEFINITION_MAX { Err(Refused::TooLarge) } else { Ok(()) }
}

pub(super) async fn list(State(api): State<Api>, caller: Caller, At(at): At<InGrid>) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    Ok(ok(body::all(&api, &grid).await?))
}

pub(super) async fn create(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<InGrid>,
    submitted: Submitted,
) -> Reply {
    let grid = api.resources.grid(&caller, &at.grid).await?;
    bounded(&submitted)?;
    let mut wanted = NewStack::read(&submitted.fields)?;
    let stacks = api.resources.store.stacks();
    let name = wanted.name.clone();
    let taken = || Refused::field("name", format!("{name} already exists"));
    if stacks.named(grid.id, &wanted.name).await?.is_some() {
        return Err(taken());
    }
    wanted.definition.judge()?;
    let judged = define::judge_new(&api, &grid, &wanted).await?;
    wanted.judge_parent()?;
    wanted.definition.services = judged.services;
    let row = match stacks.create(grid.id, &wanted, &judged.new).await {
        Err(Failure::Duplicate) => return Err(taken()),
        made => made?,
    };
    let found = Found { grid, row };
    found.note(&api, &caller, "create", &submitted.raw).await;
    Ok(created(body::one(&api, &found).await?))
}

pub(super) async fn show(State(api): State<Api>, caller: Caller, At(at): At<StackAt>) -> Reply {
    Ok(ok(body::one(&api, &find(&api, &caller, &at).await?).await?))
}

pub(super) async fn update(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<StackAt>,
    submitted: Submitted,
) -> Reply {
    let mut found = find(&api, &caller, &at).await?;
    bounded(&submitted)?;
    let StackChange { labels, definition } = StackChange::read(&submitted.fields)?;
    if found.is_none() {
        return Err(Refused::field("stack", "Cannot update null stack"));
    }
    definition.judge()?;
    let stacks = api.resources.store.stacks();
    for _ in 0..TRIES {
        leaves(&found)?;
        let latest = stacks.latest(&[found.row.id]).await?.remove(&found.row.id);
        let services = found.services(&api).await?;
        let judged = define::judge_change(&api, &found, &definition, &services).await?;
        let mut ordered = definition.clone();
        ordered.services = judged.services;
        let change = (&ordered, labels.as_deref());
        if stacks.update(&found.row, latest.as_ref(), change, &judged.new).await? {
            found = again(&api, found).await?;
            found.note(&api, &caller, "update", &submitted.raw).await;
            return Ok(ok(body::one(&api, &found).await?));
        }
        found = again(&api, found).await?;
    }
    Err(Refused::Busy)
}

/// What is being removed is not changed, unless the removal cannot go on.
fn leaves(found: &Found) -> Result<(), Refused> {
    if found.row.removing && found.row.blocked.is_none() {
        return Err(Refused::field("stack", "Stack is being removed"));
    }
    Ok(())
}

pub(super) async fn patch(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<StackAt>,
    submitted: Submitted,
) -> Reply {
    let mut found = find(&api, &caller, &at).await?;
    let StackLabels { labels } = StackLabels::read(&submitted.fields)?;
    if found.is_none() {
        return Err(Refused::field("stack", "Cannot update null stack"));
    }
    if let Some(labels) = labels {
        if !api.resources.store.stacks().set_labels(found.row.id, &labels).await? {
            return Err(Refused::Nothing);
        }
        found = again(&api, found).await?;
    }
    found.note(&api, &caller, "patch", &submitted.raw).await;
    Ok(ok(body::one(&api, &found).await?))
}

pub(super) async fn remove(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<StackAt>,
    submitted: Submitted,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    if found.is_none() {
        return Err(Refused::field("stack", "Cannot delete default stack"));
    }
    let stacks = api.resources.store.stacks();
    let members = stacks.members(found.grid.id, found.row.id).await?;
    let own: Vec<Id> = members.iter().map(|member| member.id).collect();
    if let RemovalAct::Blocked(_) = decide_removal(&RemovalView { stopped: false, members: &members }) {
        let users = members.iter().flat_map(|member| &member.users);
        let mut users: Vec<&str> =
            users.filter(|(user, _)| !own.contains(user)).map(|(_, path)| path.as_str()).collect();
        users.sort_unstable();
        users.dedup();
        let users = users.join(", ");
        let message = format!("Cannot delete service that is linked from another stack ({users})");
        return Err(Refused::field("service", message));
    }
    if !stacks.request_removal(found.row.id).await? {
        return Err(Refused::Nothing);
    }
    api.deployer.wake_stack(found.row.id);
    found.note(&api, &caller, "delete", &submitted.raw).await;
    Ok(ok(Nothing {}))
}

pub(super) async fn deploy(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<StackAt>,
    submitted: Submitted,
) -> Reply {
    let mut found = find(&api, &caller, &at).await?;
    if found.is_none() {
        return Err(Refused::field("stack", "Cannot deploy null stack"));
    }
    let stacks = api.resources.store.stacks();
    for _ in 0..TRIES {
        leaves(&found)?;
        let Some(latest) = stacks.latest(&[found.row.id]).await?.remove(&found.row.id) else {
            return Err(Refused::field("stack", "Stack does not have any deployable revisions"));
        };
        let services = found.services(&api).await?;
        let judged = define::judge_deploy(&api, &found, &latest.definition, &services).await?;
        let asked = stacks.request_deploy(&found.row, latest.revision, &judged.changed, &judged.new).await?;
        if let Some(row) = asked {
            api.deployer.wake_stack(found.row.id);
            found.note(&api, &caller, "deploy", &submitted.raw).await;
            return Ok(ok(body::deploy(&found, row, Vec::new())));
        }
        found = again(&api, found).await?;
    }
    Err(Refused::Busy)
}

pub(super) async fn show_deploy(State(api): State<Api>, caller: Caller, At(at): At<PartOfStack>) -> Reply {
    let PartOfStack { grid, stack, part } = at;
    let found = find(&api, &caller, &StackAt { grid, stack }).await?;
    let id: Id = part.parse().map_err(|_| Refused::not_found())?;
    let row = api.resources.store.stacks().deploy(found.row.id, id).await?;
    let row = row.ok_or_else(Refused::not_found)?;
    let services = body::service_deploys(&api, &found, row.id).await?;
    Ok(ok(body::deploy(&found, row, services)))
}

pub(super) async fn stop(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<StackAt>,
    submitted: Submitted,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let services = found.service_ids(&api).await?;
    for service in &services {
        // One that has gone meanwhile has stopped.
        api.resources.store.services().set_state(*service, "stopped").await?;
        api.deployer.wake(*service);
    }
    let instances = api.resources.store.service_instances().of_services(&services).await?;
    let mut nodes: Vec<Id> = instances.iter().filter_map(|instance| instance.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    notices::pods_changed(&api, nodes);
    found.note(&api, &caller, "stop", &submitted.raw).await;
    Ok(ok(Nothing {}))
}

pub(super) async fn restart(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<StackAt>,
    submitted: Submitted,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let services = found.service_ids(&api).await?;
    for instance in api.resources.store.service_instances().of_services(&services).await? {
        if let Some(node) = instance.node {
            let call = outbound::restart_pod(&instance.service.to_string(), instance.number);
            notices::tell(&api, vec![node], call);
        }
    }
    found.note(&api, &caller, "restart", &submitted.raw).await;
    Ok(ok(Nothing {}))
}

pub(super) async fn lines(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<StackAt>,
    query: Query,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let services = found.service_ids(&api).await?;
    let filter = LineFilter {
        services: Some(services),
        names: query.text("container").map(|name| vec![name.to_owned()]),
        ..LineFilter::default()
    };
    container_logs::answer(&api, filter, &query).await
}

pub(super) async fn events(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<StackAt>,
    query: Query,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let stacks = Some(vec![found.row.id]);
    let filter = EventFilter { grid: found.grid.id, nodes: None, stacks, services: None };
    logs::answer(&api, filter, &query).await
}
