//! What the fields of a service refer to: secrets, certificates, other services and volumes by name.

use std::collections::{HashMap, HashSet};

use kontena_core::form::Invalid;
use kontena_core::id::Id;
use kontena_core::input::{LinkInput, MountInput, ServiceFields};
use mongodb::bson::{Document, doc};
use serde_json::Value;

use super::Services;
use crate::command::Failure;
use crate::document::{Read, oid};
use crate::table::Table;

/// What names stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolved {
    /// Alias and service.
    pub links: Vec<(String, Id)>,
    /// What is mounted, with the named volume that it is.
    pub volumes: Vec<(MountInput, Option<Id>)>,
}

/// What names mean inside of a stack.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inside {
    /// The services of the stack, those among them that are yet to be made.
    pub services: HashMap<String, Id>,
    /// The volumes that the stack declares, each with its name in the grid. `None`: names are those of the grid.
    pub volumes: Option<HashMap<String, String>>,
    /// Whether only volumes that are declared may be named.
    pub declared_only: bool,
}

impl Inside {
    /// The volume of the grid that a service of the stack means; an error says what is wrong.
    fn volume<'a>(&'a self, name: &'a str) -> Result<&'a str, String> {
        let Some(volumes) = &self.volumes else { return Ok(name) };
        match volumes.get(name) {
            Some(external) => Ok(external),
            None if self.declared_only => Err(format!("Volume {name} is not declared in the stack")),
            None => Ok(name),
        }
    }
}

impl Services {
    /// Looks up what the fields of a service of this stack refer to. The inner error is what does not exist.
    pub async fn resolve(
        &self,
        grid: Id,
        stack: &str,
        inside: &Inside,
        fields: &ServiceFields,
    ) -> Result<Result<Resolved, Invalid>, Failure> {
        let mut faults = Invalid::default();
        let mut add = |field: &str, messages: Vec<String>| {
            if !messages.is_empty() {
                let messages = messages.into_iter().map(Value::String).collect();
                faults.0.insert(field.to_owned(), Value::Array(messages));
            }
        };
        let mut resolved = Resolved::default();
        if let Some(secrets) = fields.secrets.as_ref().filter(|secrets| !secrets.is_empty()) {
            let names = secrets.iter().map(|secret| secret.secret.as_str()).collect();
            let known = self.known("grid_secrets", "name", grid, names).await?;
            let missing = secrets.iter().filter(|secret| !known.contains_key(&secret.secret));
            add(
                "secrets",
                missing.map(|secret| format!("Secret {} does not exist", secret.secret)).collect(),
            );
        }
        if let Some(uses) = fields.certificates.as_ref().filter(|uses| !uses.is_empty()) {
            let subjects = uses.iter().map(|certificate| certificate.subject.as_str()).collect();
            let known = self.known("certificates", "subject", grid, subjects).await?;
            let missing = uses.iter().filter(|certificate| !known.contains_key(&certificate.subject));
            let message = |certificate: &kontena_core::input::CertificateUse| {
                format!("Certificate {} does not exist", certificate.subject)
            };
            add("certificates", missing.map(message).collect());
        }
        if fields.links.as_ref().is_some_and(|links| !links.is_empty()) {
            let mut missing = Vec::new();
            self.links(grid, (stack, inside), fields, &mut resolved, &mut missing).await?;
            add("links", missing);
        }
        if let Some(volumes) = &fields.volumes {
            let mounts: Vec<MountInput> = volumes.iter().filter_map(|text| MountInput::read(text)).collect();
            let volume_of = |mount: &MountInput| mount.source.clone().filter(|name| !name.starts_with('/'));
            let wanted: Vec<String> = mounts.iter().filter_map(volume_of).collect();
            let names: HashSet<&str> = wanted.iter().filter_map(|name| inside.volume(name).ok()).collect();
            let known = if names.is_empty() {
                HashMap::new()
            } else {
                self.known("volumes", "name", grid, names).await?
            };
            let mut missing = Vec::new();
            for mount in mounts {
                let mut volume = None;
                if let Some(name) = volume_of(&mount) {
                    match inside.volume(&name) {
                        Ok(name) => {
                            volume = known.get(name).copied();
                            if volume.is_none() {
                                missing.push(format!("Volume {name} does not exist"));
                            }
                        }
                        Err(why) => missing.push(why),
                    }
                }
                resolved.volumes.push((mount, volume));
            }
            add("volumes", missing);
        }
        Ok(faults.check().map(|()| resolved))
    }

    async fn links(
        &self,
        grid: Id,
        (stack, inside): (&str, &Inside),
        fields: &ServiceFields,
        resolved: &mut Resolved,
        missing: &mut Vec<String>,
    ) -> Result<(), Failure> {
        // Those within the stack need no look, and may not be there yet.
        let own =
            |link: &LinkInput| if link.name.contains('/') { None } else { inside.services.get(&link.name) };
        let targets: Vec<(&str, (&str, &str), Option<Id>)> = fields
            .links
            .iter()
            .flatten()
            .map(|link| (link.alias.as_str(), link.target(stack), own(link).copied()))
            .collect();
        let names = targets.iter().map(|(_, (stack, _), _)| *stack).collect();
        let stacks = self.known("stacks", "name", grid, names).await?;
        let either: Vec<Document> = targets
            .iter()
            .filter_map(|(_, (stack, name), _)| {
                Some(doc! { "stack_id": oid(*stacks.get(*stack)?), "name": *name })
            })
            .collect();
        let mut services: HashMap<(Id, String), Id> = HashMap::new();
        if !either.is_empty() {
            let filter = doc! { "grid_id": oid(grid), "$or": either };
            for row in self.rows().all(filter, doc! {}).await? {
                if let (Some(stack), Some(name), Some(id)) =
                    (row.id("stack_id"), row.text("name"), row.id("_id"))
                {
                    services.insert((stack, name), id);
                }
            }
        }
        for (alias, (stack, name), own) in targets {
            if let Some(service) = own {
                resolved.links.push((alias.to_owned(), service));
                continue;
            }
            let Some(id) = stacks.get(stack) else {
                missing.push(format!("Link {stack}/{name} points to non-existing stack"));
                continue;
            };
            match services.get(&(*id, name.to_owned())) {
                Some(service) => resolved.links.push((alias.to_owned(), *service)),
                None => missing.push(format!("Service {stack}/{name} does not exist")),
            }
        }
        Ok(())
    }

    async fn known(
        &self,
        collection: &str,
        key: &str,
        grid: Id,
        names: HashSet<&str>,
    ) -> Result<HashMap<String, Id>, Failure> {
        let names: Vec<&str> = names.into_iter().collect();
        let filter = doc! { "grid_id": oid(grid), key: { "$in": names } };
        let rows = Table::new(self.store.database(), collection).all(filter, doc! {}).await?;
        Ok(rows.iter().filter_map(|row| Some((row.text(key)?, row.id("_id")?))).collect())
    }
}
