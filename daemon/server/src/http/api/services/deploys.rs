//! Deploys of services.

use std::collections::HashMap;

use axum::extract::State;
use kontena_core::deploy::{DeployState, StepState};
use kontena_core::form::{Form, boolean};
use kontena_core::id::Id;
use kontena_core::input::Scale;
use kontena_store::{DeployRow, StepRow};
use kontena_wire::api;

use super::{Found, PartOfService, ServiceAt, find, find_of};
use crate::http::Api;
use crate::http::api::answer::{Nothing, offset_time, ok, time};
use crate::http::api::caller::Caller;
use crate::http::api::refused::{Refused, Reply};
use crate::http::api::submitted::{At, Submitted};

pub(in crate::http::api) async fn deploy(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<ServiceAt>,
    submitted: Submitted,
) -> Reply {
    let found = find(&api, &caller, &at).await?;
    let mut form = Form::new(&submitted.fields);
    let force = form.optional("force", &boolean()).unwrap_or_default();
    let force = form.conclude(Some(force))?;
    request(&api, &caller, &found, (force, None), ("deploy", &submitted)).await
}

pub(in crate::http::api) async fn scale(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<ServiceAt>,
    submitted: Submitted,
) -> Reply {
    let mut found = find(&api, &caller, &at).await?;
    let Scale { instances } = Scale::read(&submitted.fields)?;
    found.row.instances = instances;
    request(&api, &caller, &found, (false, Some(instances)), ("scale", &submitted)).await
}

async fn request(
    api: &Api,
    caller: &Caller,
    found: &Found,
    (force, instances): (bool, Option<i64>),
    (event, submitted): (&'static str, &Submitted),
) -> Reply {
    let asked = api.resources.store.deploys().request(found.id(), force, instances).await?;
    let row = asked.ok_or_else(Refused::not_found)?;
    api.deployer.wake(found.id());
    found.note(api, caller, event, &submitted.raw).await;
    Ok(ok(body(place(found), row, &HashMap::new())))
}

pub(in crate::http::api) async fn show(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<PartOfService>,
) -> Reply {
    let (found, id) = find_of(&api, &caller, at).await?;
    let row = one(&api, &found, &id).await?;
    let nodes: Vec<Id> = row.steps.iter().map(|step| step.node).collect();
    let names = api.resources.store.host_nodes().names(&nodes).await?;
    Ok(ok(body(place(&found), row, &names)))
}

/// Calls a deploy off, which the original could not.
pub(in crate::http::api) async fn cancel(
    State(api): State<Api>,
    caller: Caller,
    At(at): At<PartOfService>,
    submitted: Submitted,
) -> Reply {
    let (found, id) = find_of(&api, &caller, at).await?;
    let row = one(&api, &found, &id).await?;
    let why = format!("called off by {}", caller.actor().email);
    if !api.resources.store.deploys().cancel(found.id(), row.id, &why).await? {
        return Err(Refused::field("deploy", "Deploy is finished"));
    }
    api.deployer.wake(found.id());
    found.note(&api, &caller, "cancel deploy", &submitted.raw).await;
    Ok(ok(Nothing {}))
}

async fn one(api: &Api, found: &Found, id: &str) -> Result<DeployRow, Refused> {
    let id: Id = id.parse().map_err(|_| Refused::not_found())?;
    api.resources.store.deploys().by_id(found.id(), id).await?.ok_or_else(Refused::not_found)
}

/// The path of a service and how many instances it shall have.
fn place(found: &Found) -> (String, i64) {
    (format!("{}/{}/{}", found.grid.name, found.stack, found.name()), found.row.instances)
}

pub(in crate::http::api) fn body(
    (service_id, instance_count): (String, i64),
    row: DeployRow,
    names: &HashMap<Id, String>,
) -> api::ServiceDeploy {
    let instance = |step: StepRow| api::InstanceDeploy {
        instance_number: step.number,
        node: names.get(&step.node).cloned(),
        state: match step.state {
            StepState::Stopping { .. } | StepState::Applying => DeployState::Ongoing,
            StepState::Settled(state) => state,
        }
        .name()
        .to_owned(),
        error: step.error,
    };
    api::ServiceDeploy {
        id: row.id.to_string(),
        created_at: time(row.created_at),
        queued_at: row.queued_at.map(offset_time),
        started_at: row.started_at.map(offset_time),
        finished_at: row.finished_at.map(offset_time),
        service_id,
        state: row.state.name().to_owned(),
        reason: row.reason,
        instance_count,
        instance_deploys: row.steps.into_iter().map(instance).collect(),
        report: row.report,
    }
}
