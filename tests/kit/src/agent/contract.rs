//! What every pod document must be, field by field: an agent that gets another would fail, or destroy what it has.

use kontena_wire::rpc::Value;
use kontena_wire::rpc::loose::{elements, entries, get, integer, text_at};

#[derive(Clone, Copy)]
enum Kind {
    Text,
    TextOrNil,
    Integer,
    IntegerOrNil,
    NumberOrNil,
    Flag,
    FlagOrNil,
    Texts,
    TextsOrNil,
    List,
    TextMap,
    MapOrNil,
}

use Kind::{
    Flag, FlagOrNil, Integer, IntegerOrNil, List, MapOrNil, NumberOrNil, Text, TextMap, TextOrNil, Texts,
    TextsOrNil,
};

const FIELDS: [(&str, Kind); 42] = [
    ("id", Text),
    ("desired_state", Text),
    ("service_id", Text),
    ("service_name", Text),
    ("service_revision", Integer),
    ("updated_at", Text),
    ("instance_number", Integer),
    ("image_name", Text),
    ("image_credentials", MapOrNil),
    ("deploy_rev", Text),
    ("stateful", Flag),
    ("user", TextOrNil),
    ("cmd", TextsOrNil),
    ("entrypoint", TextOrNil),
    ("memory", IntegerOrNil),
    ("memory_swap", IntegerOrNil),
    ("shm_size", IntegerOrNil),
    ("cpu_shares", IntegerOrNil),
    ("cpus", NumberOrNil),
    ("privileged", FlagOrNil),
    ("cap_add", Texts),
    ("cap_drop", Texts),
    ("devices", Texts),
    ("ports", List),
    ("volumes", List),
    ("volumes_from", Texts),
    ("net", Text),
    ("hostname", Text),
    ("domainname", Text),
    ("exposed", Flag),
    ("log_driver", TextOrNil),
    ("log_opts", TextMap),
    ("pid", TextOrNil),
    ("wait_for_port", IntegerOrNil),
    ("stop_signal", TextOrNil),
    ("stop_grace_period", Integer),
    ("env", Texts),
    ("secrets", List),
    ("labels", TextMap),
    ("hooks", List),
    ("networks", List),
    ("read_only", Flag),
];

/// What is wrong with a pod document.
pub(super) fn faults(pod: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (field, kind) in FIELDS {
        match get(pod, field) {
            None => faults.push(format!("a pod without {field}")),
            Some(value) if !is(kind, value) => faults.push(format!("a pod whose {field} is {value}")),
            Some(_) => {}
        }
    }
    if let Some(unknown) =
        entries(Some(pod)).map(|(key, _)| key).find(|key| FIELDS.iter().all(|(field, _)| field != key))
    {
        faults.push(format!("a pod with {unknown}"));
    }
    let text = |key: &str| text_at(pod, key).unwrap_or_default();
    let number = get(pod, "instance_number").and_then(integer).unwrap_or(0);
    if text("id") != format!("{}/{number}", text("service_id")) {
        faults.push(format!("a pod with the id {}", text("id")));
    }
    if !matches!(text("desired_state").as_str(), "running" | "stopped") {
        faults.push(format!("a pod that shall be {}", text("desired_state")));
    }
    if !text("hostname").ends_with(&format!("-{number}")) || !text("domainname").ends_with(".kontena.local") {
        faults.push(format!("a pod called {}.{}", text("hostname"), text("domainname")));
    }
    if !text("deploy_rev").ends_with(" UTC") || text("deploy_rev").len() < 23 {
        faults.push(format!("a pod of the deploy {}", text("deploy_rev")));
    }
    let env: Vec<String> = elements(get(pod, "env")).iter().filter_map(text_of).collect();
    for name in [
        "SERVICE_ID",
        "SERVICE_NAME",
        "GRID_NAME",
        "PLATFORM_NAME",
        "STACK_NAME",
        "NODE_NAME",
        "SERVICE_INSTANCE_NUMBER",
    ] {
        if !env.iter().any(|entry| entry.starts_with(&format!("KONTENA_{name}="))) {
            faults.push(format!("a pod without KONTENA_{name}"));
        }
    }
    for label in ["service.id", "service.name", "stack.name", "grid.name", "platform.name"] {
        if get(pod, "labels").and_then(|labels| text_at(labels, &format!("io.kontena.{label}"))).is_none() {
            faults.push(format!("a pod without the label {label}"));
        }
    }
    parts(pod, "ports", &["ip", "protocol", "node_port", "container_port"], &mut faults);
    parts(pod, "secrets", &["name", "type", "value"], &mut faults);
    parts(pod, "hooks", &["id", "type", "cmd", "oneshot"], &mut faults);
    parts(pod, "networks", &["name", "subnet", "multicast", "internal"], &mut faults);
    for volume in elements(get(pod, "volumes")) {
        let named = get(volume, "driver").is_some() && get(volume, "name").is_some();
        if (!named && get(volume, "bind_mount").is_none()) || text_at(volume, "path").is_none() {
            faults.push(format!("a pod with the volume {volume}"));
        }
    }
    faults
}

fn parts(pod: &Value, list: &str, keys: &[&str], faults: &mut Vec<String>) {
    for part in elements(get(pod, list)) {
        if let Some(key) = keys.iter().find(|key| get(part, key).is_none()) {
            faults.push(format!("a pod with {list} without {key}"));
        }
    }
}

fn text_of(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn is(kind: Kind, value: &Value) -> bool {
    let texts = || matches!(value, Value::Array(items) if items.iter().all(|item| item.as_str().is_some()));
    match kind {
        Text => value.as_str().is_some_and(|text| !text.is_empty()),
        TextOrNil => value.is_nil() || value.as_str().is_some(),
        Integer => value.as_i64().is_some(),
        IntegerOrNil => value.is_nil() || value.as_i64().is_some(),
        NumberOrNil => value.is_nil() || value.as_f64().is_some(),
        Flag => value.as_bool().is_some(),
        FlagOrNil => value.is_nil() || value.as_bool().is_some(),
        Texts => texts(),
        TextsOrNil => value.is_nil() || texts(),
        List => matches!(value, Value::Array(_)),
        TextMap => {
            matches!(value, Value::Map(pairs) if pairs.iter().all(|(_, value)| value.as_str().is_some()))
        }
        MapOrNil => value.is_nil() || matches!(value, Value::Map(_)),
    }
}
