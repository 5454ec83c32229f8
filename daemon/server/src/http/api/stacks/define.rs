//! What the definition of a stack means in its grid: which services are to be made and changed, and what is wrong
//! with it.

use std::collections::{HashMap, HashSet};

use kontena_core::form::Invalid;
use kontena_core::input::{NewService, NewStack, ServiceChange, StackDefinition, StackVolume};
use kontena_core::stack::order;
use kontena_store::{ChangedMember, GridRow, Inside, NewMember, ServiceRow, Stacks};
use serde_json::{Map, Value};

use super::Found;
use crate::http::Api;
use crate::http::api::refused::Refused;
use crate::http::api::services::no_new_anonymous;

/// What a definition comes to.
pub(super) struct Judged {
    /// Its services as they were given, each after those that it links to.
    pub(super) services: Vec<Map<String, Value>>,
    pub(super) new: Vec<NewMember>,
    pub(super) changed: Vec<ChangedMember>,
}

/// A definition in its place.
struct Place<'a> {
    grid: &'a GridRow,
    stack: &'a str,
    definition: &'a StackDefinition,
    /// The services that the stack has.
    present: &'a [ServiceRow],
}

pub(super) async fn judge_new(api: &Api, grid: &GridRow, stack: &NewStack) -> Result<Judged, Refused> {
    let NewStack { name, definition, .. } = stack;
    let mut faults = Invalid::default();
    if let Err(Invalid(fault)) = definition.judge_exposed() {
        faults.0.extend(fault);
    }
    let place = Place { grid, stack: name, definition, present: &[] };
    place.judge(api, faults, Invalid::default(), true).await
}

pub(super) async fn judge_change(
    api: &Api,
    found: &Found,
    definition: &StackDefinition,
    present: &[ServiceRow],
) -> Result<Judged, Refused> {
    let place = Place { grid: &found.grid, stack: &found.row.name, definition, present };
    let mut faults = Invalid::default();
    let wanted: HashSet<String> = definition.linked().into_iter().map(|service| service.name).collect();
    let removed = present.iter().any(|service| !wanted.contains(&service.definition.name));
    if removed {
        let members = api.resources.store.stacks().members(found.grid.id, found.row.id).await?;
        for member in members.iter().filter(|member| !wanted.contains(&member.name)) {
            let names: Vec<&str> = member
                .users
                .iter()
                .map(|(_, path)| path.split_once('/').map_or(path.as_str(), |(_, name)| name))
                .collect();
            if !names.is_empty() {
                let names = names.join(", ");
                let message = format!("Cannot delete service that is linked to another service ({names})");
                nest(&mut faults, &[&member.name, "service"], Value::String(message));
            }
        }
    }
    place.judge(api, Invalid::default(), faults, true).await
}

pub(super) async fn judge_deploy(
    api: &Api,
    found: &Found,
    definition: &StackDefinition,
    present: &[ServiceRow],
) -> Result<Judged, Refused> {
    let place = Place { grid: &found.grid, stack: &found.row.name, definition, present };
    place.judge(api, Invalid::default(), Invalid::default(), false).await
}

impl Place<'_> {
    /// `first` is what is wrong so far, `last` what is only told of services that have an order. Volumes are looked at
    /// when a definition is given, not when it is deployed.
    async fn judge(
        &self,
        api: &Api,
        first: Invalid,
        last: Invalid,
        volumes: bool,
    ) -> Result<Judged, Refused> {
        let Self { grid, stack, definition, present } = self;
        let mut faults = Invalid::default();
        let unusable = self.unusable_volumes(api).await?;
        if volumes {
            for Unusable { name, external } in &unusable {
                match external {
                    None => {
                        let message = "Only external volumes supported".to_owned();
                        nest(&mut faults, &["volumes", name], Value::String(message));
                    }
                    Some(external) => {
                        let message = format!("External volume {external} not found");
                        nest(&mut faults, &["volumes", name, "external"], Value::String(message));
                    }
                }
            }
        }
        faults.0.extend(first.0);
        let order = match order(&definition.linked()) {
            Ok(order) => order,
            Err(fault) => {
                let message = Value::String(fault.to_string());
                nest(&mut faults, &["services", fault.service(), "links"], message);
                return Err(faults.into());
            }
        };
        let mut inside = self.inside();
        let mut judged = Judged { services: Vec::new(), new: Vec::new(), changed: Vec::new() };
        let mut seen = HashSet::new();
        let services = api.resources.store.services();
        for given in order.into_iter().filter_map(|at| definition.services.get(at)) {
            judged.services.push(given.clone());
            let known =
                |row: &&ServiceRow| given.get("name").and_then(Value::as_str) == Some(&row.definition.name);
            let before = present.iter().find(known);
            let read = match before {
                Some(row) => ServiceChange::read(given, row.definition.stateful).and_then(|change| {
                    change.judge(&row.definition.name, stack, &grid.name)?;
                    Ok(Member::Changed(change))
                }),
                None => NewService::read(given, stack, &grid.name).map(Member::New),
            };
            let name = given.get("name").and_then(Value::as_str).unwrap_or_default().trim().to_owned();
            let mut member = match read {
                Ok(member) => member,
                Err(Invalid(fault)) => {
                    blame(&mut faults, &name, fault);
                    continue;
                }
            };
            if !seen.insert(name.clone()) {
                blame(&mut faults, &name, Invalid::of("name", "is already taken").0);
                continue;
            }
            // Of a volume that is missing in the grid is told once.
            member.forget(&unusable, volumes);
            let fields = match &member {
                Member::New(new) => &new.fields,
                Member::Changed(change) => &change.fields,
            };
            let resolved = match services.resolve(grid.id, stack, &inside, fields).await? {
                Ok(resolved) => resolved,
                Err(Invalid(fault)) => {
                    blame(&mut faults, &name, fault);
                    continue;
                }
            };
            match (member, before) {
                (Member::Changed(change), Some(row)) => {
                    if let Err(Invalid(fault)) = no_new_anonymous(row, &resolved) {
                        blame(&mut faults, &name, fault);
                    }
                    judged.changed.push(ChangedMember { id: row.definition.id, change, resolved });
                }
                (Member::New(service), _) => {
                    let id = Stacks::fresh_id();
                    inside.services.insert(service.name.clone(), id);
                    judged.new.push(NewMember { id, service, resolved });
                }
                (Member::Changed(_), None) => {}
            }
        }
        for (service, fault) in last.0 {
            nest(&mut faults, &["services", &service], fault);
        }
        faults.check()?;
        Ok(judged)
    }

    fn inside(&self) -> Inside {
        let present = self.present.iter().map(|row| (row.definition.name.clone(), row.definition.id));
        let declared = self.definition.volumes.iter();
        let volumes: HashMap<String, String> =
            declared.filter_map(|volume| Some((volume.name.clone(), volume.external.clone()?))).collect();
        Inside { services: present.collect(), volumes: Some(volumes), declared_only: true }
    }

    /// The declared volumes that cannot be used.
    async fn unusable_volumes(&self, api: &Api) -> Result<Vec<Unusable>, Refused> {
        let declared = &self.definition.volumes;
        if declared.is_empty() {
            return Ok(Vec::new());
        }
        let known = api.resources.store.volumes().of_grid(self.grid.id).await?;
        let is_there = |external: &String| known.iter().any(|row| row.name == *external);
        let unusable = declared.iter().filter(|volume| !volume.external.as_ref().is_some_and(is_there));
        let told =
            |volume: &StackVolume| Unusable { name: volume.name.clone(), external: volume.external.clone() };
        Ok(unusable.map(told).collect())
    }
}

/// A declared volume that is not in the grid, or would be one of the stack's own.
struct Unusable {
    name: String,
    external: Option<String>,
}

/// A service of a definition.
enum Member {
    New(NewService),
    Changed(ServiceChange),
}

impl Member {
    fn forget(&mut self, unusable: &[Unusable], told: bool) {
        let fields = match self {
            Self::New(new) => &mut new.fields,
            Self::Changed(change) => &mut change.fields,
        };
        if let Some(volumes) = fields.volumes.as_mut().filter(|_| told) {
            volumes.retain(|volume| {
                let name = volume.split(':').next().unwrap_or_default();
                unusable.iter().all(|unusable| unusable.name != name)
            });
        }
    }
}

/// Tells what is wrong with a service; of one without a name in the place of its name.
fn blame(faults: &mut Invalid, service: &str, fault: Map<String, Value>) {
    for (field, message) in fault {
        if service.is_empty() {
            nest(faults, &["services", &field], message);
        } else {
            nest(faults, &["services", service, &field], message);
        }
    }
}

fn nest(faults: &mut Invalid, path: &[&str], message: Value) {
    let Some((last, path)) = path.split_last() else { return };
    let mut at = &mut faults.0;
    for part in path {
        let inner = at.entry(*part).or_insert_with(|| Value::Object(Map::new()));
        let Value::Object(inner) = inner else { return };
        at = inner;
    }
    at.entry(*last).or_insert(message);
}
