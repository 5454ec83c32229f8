//! The fields of a service as they are stored.

use std::collections::HashMap;

use kontena_core::input::{DeployOptions, HealthCheckInput, HookInput, PortInput, ServiceFields};
use mongodb::bson::{Bson, Document, doc};

use super::resolve::Resolved;
use crate::document::{Read, fresh, oid, whole};

/// What is given, as stored. `before` is the service as it was: what is left out of an entry of the environment stays
/// as it was, and hooks that stay remember where they ran.
pub(super) fn documents(fields: &ServiceFields, resolved: &Resolved, before: Option<&Document>) -> Document {
    let ServiceFields {
        image,
        instances,
        strategy,
        user,
        entrypoint,
        cmd,
        env,
        secrets,
        certificates,
        ports,
        links,
        affinity,
        volumes,
        volumes_from,
        cap_add,
        cap_drop,
        devices,
        cpus,
        cpu_shares,
        memory,
        memory_swap,
        shm_size,
        privileged,
        read_only,
        net,
        pid,
        log_driver,
        log_opts,
        deploy_opts,
        hooks,
        health_check,
        stop_signal,
        stop_grace_period,
    } = fields;
    let mut set = doc! {};
    let mut put = |key: &str, value: Option<Bson>| {
        if let Some(value) = value {
            set.insert(key, value);
        }
    };
    let text = |text: &Option<String>| text.as_deref().map(Bson::from);
    let number = |number: &Option<i64>| number.map(whole);
    let texts = |texts: &Option<Vec<String>>| texts.as_ref().map(Bson::from);
    put("image_name", text(image));
    put("container_count", number(instances));
    put("strategy", text(strategy));
    put("user", text(user));
    put("entrypoint", text(entrypoint));
    put("cmd", texts(cmd));
    put("env", env.as_ref().map(|env| environment(env, before)));
    let used = |what: &str, value: &str, name: &str| {
        Bson::from(doc! { "_id": fresh(), "type": "env", what: value, "name": name })
    };
    let secret = |secrets: &Vec<kontena_core::input::SecretUse>| {
        Bson::Array(secrets.iter().map(|secret| used("secret", &secret.secret, &secret.name)).collect())
    };
    put("secrets", secrets.as_ref().map(secret));
    let certificate = |uses: &Vec<kontena_core::input::CertificateUse>| {
        Bson::Array(
            uses.iter().map(|certificate| used("subject", &certificate.subject, &certificate.name)).collect(),
        )
    };
    put("certificates", certificates.as_ref().map(certificate));
    put("ports", ports.as_ref().map(|ports| Bson::Array(ports.iter().map(port).collect())));
    put("grid_service_links", links.as_ref().map(|_| links_of(resolved)));
    put("affinity", texts(affinity));
    put("service_volumes", volumes.as_ref().map(|_| mounts(resolved)));
    put("volumes_from", texts(volumes_from));
    put("cap_add", texts(cap_add));
    put("cap_drop", texts(cap_drop));
    put("devices", texts(devices));
    put("cpus", cpus.map(Bson::Double));
    put("cpu_shares", number(cpu_shares));
    put("memory", number(memory));
    put("memory_swap", number(memory_swap));
    put("shm_size", number(shm_size));
    put("privileged", privileged.map(Bson::Boolean));
    put("read_only", read_only.map(Bson::Boolean));
    put("net", text(net));
    put("pid", text(pid));
    put("log_driver", text(log_driver));
    let options = |options: &Vec<(String, String)>| -> Bson {
        let document: Document =
            options.iter().map(|(key, value)| (key.clone(), Bson::from(value.as_str()))).collect();
        document.into()
    };
    put("log_opts", log_opts.as_ref().map(options));
    put("deploy_opts", deploy_opts.as_ref().map(deploy));
    put("hooks", hooks.as_ref().map(|hooks| hooks_of(hooks, before)));
    put("health_check", health_check.as_ref().map(health));
    put("stop_signal", text(stop_signal));
    put("stop_grace_period", number(stop_grace_period));
    set
}

/// Whether a field would stay what it is, whatever ids its parts have.
pub(super) fn is_same(stored: Option<&Bson>, value: &Bson) -> bool {
    match (stored, value) {
        (None, Bson::Array(items)) => items.is_empty(),
        (None, _) => false,
        (Some(stored), value) => bare(stored) == bare(value),
    }
}

fn bare(value: &Bson) -> Bson {
    match value {
        Bson::Array(items) => Bson::Array(items.iter().map(bare).collect()),
        Bson::Document(document) => {
            let mut keys: Vec<(String, Bson)> = document
                .iter()
                .filter(|(key, _)| *key != "_id")
                .map(|(key, value)| (key.clone(), bare(value)))
                .collect();
            keys.sort_by(|(left, _), (right, _)| left.cmp(right));
            Bson::Document(keys.into_iter().collect())
        }
        Bson::Int32(number) => Bson::Int64(i64::from(*number)),
        other => other.clone(),
    }
}

fn environment(env: &[String], before: Option<&Document>) -> Bson {
    let before: Vec<String> = before.map(|row| row.texts("env")).unwrap_or_default();
    let known: HashMap<&str, &str> = before.iter().filter_map(|entry| entry.split_once('=')).collect();
    let entry = |entry: &String| match entry.strip_suffix('=').and_then(|key| Some((key, known.get(key)?))) {
        Some((key, value)) if !key.contains('=') => format!("{key}={value}"),
        _ => entry.clone(),
    };
    Bson::Array(env.iter().map(|text| entry(text).into()).collect())
}

fn port(port: &PortInput) -> Bson {
    let PortInput { ip, protocol, node_port, container_port } = port;
    doc! {
        "ip": ip, "protocol": protocol, "node_port": whole(*node_port), "container_port": whole(*container_port),
    }
    .into()
}

fn links_of(resolved: &Resolved) -> Bson {
    let link = |(alias, service): &(String, kontena_core::id::Id)| {
        Bson::from(doc! { "_id": fresh(), "alias": alias, "linked_grid_service_id": oid(*service) })
    };
    Bson::Array(resolved.links.iter().map(link).collect())
}

fn mounts(resolved: &Resolved) -> Bson {
    let mount = |(mount, volume): &(kontena_core::input::MountInput, Option<kontena_core::id::Id>)| {
        let mut row = doc! { "_id": fresh(), "path": &mount.path };
        match (volume, &mount.source) {
            (Some(volume), _) => {
                row.insert("volume_id", oid(*volume));
                row.insert("bind_mount", Bson::Null);
            }
            (None, Some(source)) => {
                row.insert("bind_mount", source);
            }
            (None, None) => {
                row.insert("bind_mount", Bson::Null);
            }
        }
        row.insert("flags", mount.flags.as_deref().map_or(Bson::Null, Bson::from));
        Bson::from(row)
    };
    Bson::Array(resolved.volumes.iter().map(mount).collect())
}

fn deploy(options: &DeployOptions) -> Bson {
    let DeployOptions { wait_for_port, min_health, interval } = options;
    let mut row = doc! { "_id": fresh() };
    row.insert("min_health", min_health.unwrap_or(Some(0.8)).map_or(Bson::Null, Bson::Double));
    for (key, value) in [("wait_for_port", wait_for_port), ("interval", interval)] {
        if let Some(value) = value {
            row.insert(key, value.map_or(Bson::Null, whole));
        }
    }
    row.into()
}

fn hooks_of(hooks: &[HookInput], before: Option<&Document>) -> Bson {
    let before: Vec<&Document> = before.map(|row| row.documents("hooks")).unwrap_or_default();
    let hook = |hook: &HookInput| {
        let HookInput { kind, name, cmd, instances, oneshot } = hook;
        let known = before.iter().find(|known| {
            let same = |key: &str, value: &str| known.text(key).as_deref() == Some(value);
            same("type", kind) && same("name", name)
        });
        let id = known.and_then(|known| known.id("_id")).map_or_else(fresh, oid);
        let done = known.map(|known| known.texts("done")).unwrap_or_default();
        Bson::from(doc! {
            "_id": id, "instances": instances, "done": done, "type": *kind, "name": name, "oneshot": *oneshot,
            "cmd": cmd,
        })
    };
    Bson::Array(hooks.iter().map(hook).collect())
}

fn health(check: &HealthCheckInput) -> Bson {
    let HealthCheckInput { port, protocol, uri, timeout, interval, initial_delay } = check;
    doc! {
        "_id": fresh(), "uri": uri, "timeout": whole(*timeout), "interval": whole(*interval),
        "initial_delay": whole(*initial_delay), "port": port.map_or(Bson::Null, whole),
        "protocol": protocol.as_deref().map_or(Bson::Null, Bson::from),
    }
    .into()
}
