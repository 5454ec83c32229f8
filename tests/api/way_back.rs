//! The way back: what our masters write into the original's collections has the form in which the original itself wrote
//! when it was recorded, so that an original master can go on with it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, ensure};
use mongodb::bson::spec::ElementType;
use mongodb::bson::{Bson, Document};

use crate::takeover::{dump, recorded_documents};
use crate::world::World;

const MORE: &str = "ours alone: the original passes over fields that it does not know";
const OPEN: &str = "not there before it happens, as in the original: all that was recorded had ended";
const TEXT: &str = "the original reads and finds a state that is a string like one that is a symbol";
const UNUSED: &str = "of the original, which nobody used when it was recorded";
const NOT_REPORTED: &str = "agents of tests do not tell it";

/// What differs on purpose: collection, path (and all below it), and why the original does not mind.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("event_logs", "term", MORE),
    ("event_logs", "updated_at", MORE),
    ("grid_service_deploys", "_deploy_state", TEXT),
    ("grid_service_deploys", "grid_service_instance_deploys[]._deploy_state", TEXT),
    ("grid_service_deploys", "grid_service_instance_deploys[].session_epoch", MORE),
    ("grid_service_deploys", "frozen_id", MORE),
    ("grid_service_deploys", "plan", MORE),
    ("grid_service_deploys", "report", MORE),
    ("grid_service_deploys", "rescheduled_for", MORE),
    ("grid_service_deploys", "queued_at", OPEN),
    ("grid_service_deploys", "started_at", OPEN),
    ("grid_service_deploys", "finished_at", OPEN),
    ("grid_service_instances", "claim_epoch", MORE),
    ("grid_service_instances", "frozen_id", MORE),
    ("grid_service_instances", "told_by", MORE),
    ("grid_service_instances", "rev", "null before its agent told it"),
    ("grid_services", "cpus", UNUSED),
    ("grid_services", "pid", UNUSED),
    ("grid_services", "rescheduled", MORE),
    ("host_nodes", "execution_driver", NOT_REPORTED),
    ("host_nodes", "master_id", MORE),
    ("host_nodes", "session_epoch", MORE),
    ("host_nodes", "session_lost_at", MORE),
    ("stack_deploys", "_deploy_state", TEXT),
    ("stack_deploys", "stack_revision", MORE),
    ("stack_revisions", "services[].health_check", "null where a stack has none, as in the answers"),
    ("stacks", "edits", MORE),
    ("users", "external_id", UNUSED),
    ("users", "invite_code", UNUSED),
    ("users", "name", "null until an invited user logs in"),
];

/// Whether this difference is one of [`ALLOWED`].
fn is_allowed(collection: &str, path: &str) -> bool {
    ALLOWED.iter().any(|(of, at, _)| {
        let below = path.strip_prefix(at).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']));
        *of == collection && below
    })
}

/// By path, the types that stand there. Items of an array share a path.
type Form = BTreeMap<String, BTreeSet<u8>>;

fn form(documents: &[Document]) -> Form {
    let mut form = Form::new();
    for document in documents {
        for (key, value) in document {
            describe(key, value, &mut form);
        }
    }
    form
}

fn describe(path: &str, value: &Bson, form: &mut Form) {
    form.entry(path.to_owned()).or_default().insert(value.element_type() as u8);
    match value {
        Bson::Array(items) => items.iter().for_each(|item| describe(&format!("{path}[]"), item, form)),
        Bson::Document(document) => {
            document.iter().for_each(|(key, value)| describe(&format!("{path}.{key}"), value, form));
        }
        _ => {}
    }
}

/// What of `ours` the original would not have written, in words.
pub(crate) fn differences(collection: &str, ours: &[Document], recorded: &[Document]) -> Vec<String> {
    let (found, known) = (form(ours), form(recorded));
    let mut differences = Vec::new();
    for (path, kinds) in &found {
        if is_allowed(collection, path) {
            continue;
        }
        match known.get(path) {
            None => differences.push(format!("{collection}.{path} is new ({})", names(kinds))),
            // Nothing is known of what is null in all that was recorded.
            Some(known) if known.len() == 1 && known.contains(&(ElementType::Null as u8)) => {}
            Some(known) => {
                let other: BTreeSet<u8> = kinds.difference(known).copied().collect();
                if !other.is_empty() {
                    differences.push(format!(
                        "{collection}.{path} is {}, and the original writes {}",
                        names(&other),
                        names(known)
                    ));
                }
            }
        }
    }
    for key in recorded.first().into_iter().flat_map(Document::keys) {
        let always = recorded.iter().all(|document| document.contains_key(key));
        let missing = ours.iter().filter(|document| !document.contains_key(key)).count();
        if always && missing > 0 && !is_allowed(collection, key) {
            differences.push(format!("{collection}.{key} is missing in {missing} of {}", ours.len()));
        }
    }
    differences
}

fn names(kinds: &BTreeSet<u8>) -> String {
    let names = kinds
        .iter()
        .map(|kind| ElementType::from(*kind).map_or_else(|| "?".to_owned(), |k| format!("{k:?}")));
    names.collect::<Vec<_>>().join(" or ")
}

/// Checks all that masters wrote into the database of this world.
pub(crate) async fn check(world: &World, written: &[&str]) -> Result<()> {
    let recorded = recorded_documents()?;
    let ours = dump(world.outside()).await?;
    let mut found = Vec::new();
    for (collection, recorded) in &recorded {
        let documents = ours.get(collection).map(Vec::as_slice).unwrap_or_default();
        ensure!(
            !written.contains(&collection.as_str()) || !documents.is_empty(),
            "nothing was written into {collection}"
        );
        found.extend(differences(collection, documents, recorded));
    }
    ensure!(found.is_empty(), "an original master would not understand:\n{}", found.join("\n"));
    Ok(())
}
