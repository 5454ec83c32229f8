//! Every field of a service reaches the agent's pod document.

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::Town;

/// A field as it is asked for, and what of the pod document it becomes.
fn cases() -> Vec<(Value, Value)> {
    vec![
        (json!({ "image": "nginx:1" }), json!({ "image_name": "nginx:1" })),
        (json!({ "stateful": true }), json!({ "stateful": true })),
        (json!({ "user": "root" }), json!({ "user": "root" })),
        (json!({ "cmd": ["sleep", "1"] }), json!({ "cmd": ["sleep", "1"] })),
        (json!({ "entrypoint": "/bin/x" }), json!({ "entrypoint": "/bin/x" })),
        (
            json!({ "memory": 1000, "memory_swap": -1, "shm_size": 2000 }),
            json!({ "memory": 1000, "memory_swap": -1, "shm_size": 2000 }),
        ),
        (json!({ "cpu_shares": "128", "cpus": 1.5 }), json!({ "cpu_shares": 128, "cpus": 1.5 })),
        (json!({ "privileged": true, "read_only": true }), json!({ "privileged": true, "read_only": true })),
        (
            json!({ "cap_add": ["NET_ADMIN"], "cap_drop": ["MKNOD"], "devices": ["/dev/fuse"] }),
            json!({ "cap_add": ["NET_ADMIN"], "cap_drop": ["MKNOD"], "devices": ["/dev/fuse"] }),
        ),
        (
            json!({ "ports": [{ "node_port": "8080", "container_port": 80 }] }),
            json!({ "ports": [{ "ip": "0.0.0.0", "protocol": "tcp", "node_port": 8080, "container_port": 80 }] }),
        ),
        (
            json!({ "volumes": ["/tmp/x:/x:ro", "/anon"] }),
            json!({ "volumes": [
                { "bind_mount": "/tmp/x", "path": "/x", "flags": "ro" },
                { "bind_mount": null, "path": "/anon", "flags": null },
            ] }),
        ),
        (
            json!({ "volumes": ["shared:/data"] }),
            json!({ "volumes": [{
                "name": "shared", "path": "/data", "flags": "", "driver": "local", "driver_opts": { "type": "nfs" },
            }] }),
        ),
        (json!({ "net": "host", "pid": "host" }), json!({ "net": "host", "pid": "host", "networks": [] })),
        (
            json!({ "net": "bridge" }),
            json!({ "net": "bridge", "networks": [
                { "name": "kontena", "subnet": "10.81.0.0/16", "multicast": true, "internal": false },
            ] }),
        ),
        (
            json!({ "log_driver": "json-file", "log_opts": { "max-size": "5m" } }),
            json!({ "log_driver": "json-file", "log_opts": { "max-size": "5m" } }),
        ),
        (json!({ "deploy_opts": { "wait_for_port": 80 } }), json!({ "wait_for_port": 80 })),
        (
            json!({ "stop_signal": "SIGTERM", "stop_grace_period": "1m1s" }),
            json!({ "stop_signal": "SIGTERM", "stop_grace_period": 61 }),
        ),
        (
            json!({ "secrets": [{ "secret": "password", "name": "PASSWORD" }] }),
            json!({ "secrets": [{ "name": "PASSWORD", "type": "env", "value": "hush" }] }),
        ),
        (
            json!({ "hooks": {
                "pre_start": [{ "name": "a", "cmd": "echo a", "instances": "*", "oneshot": true }],
                "post_start": [{ "name": "b", "cmd": "echo b", "instances": "2" }],
            } }),
            json!({ "hooks": [{ "type": "pre_start", "cmd": "echo a", "oneshot": true }] }),
        ),
        (
            json!({ "image": "registry.example.com:5000/shop/web:1" }),
            json!({ "image_credentials": { "username": "u", "password": "p", "email": null } }),
        ),
    ]
}

/// Ids are made anew each time.
fn without_ids(value: &mut Value) {
    for item in value.as_array_mut().into_iter().flatten() {
        if let Some(item) = item.as_object_mut() {
            item.remove("id");
        }
    }
}

#[tokio::test]
async fn every_field_reaches_the_pod() -> Result<()> {
    let town = Town::new(1, 1).await?;
    let ask = async |path: &str, body: Value| town.ask(Method::POST, path, &body).await;
    ask("/v1/grids/main/secrets", json!({ "name": "password", "value": "hush" })).await?;
    let volume =
        json!({ "name": "shared", "scope": "grid", "driver": "local", "driver_opts": { "type": "nfs" } });
    ask("/v1/volumes/main", volume).await?;
    let registry = json!({ "url": "https://registry.example.com:5000", "username": "u", "password": "p" });
    ask("/v1/grids/main/external_registries", registry).await?;
    for (index, (asked, expected)) in cases().into_iter().enumerate() {
        let name = format!("case{index}");
        town.make(&name, &asked).await?;
        town.deploy(&name).await.with_context(|| asked.to_string())?;
        let pod = town.pod("node-1", &name, 1).context("no pod")?;
        for (field, expected) in expected.as_object().into_iter().flatten() {
            let mut found = pod[field].clone();
            without_ids(&mut found);
            ensure!(found == *expected, "{asked}: {field} is {found}");
        }
    }
    town.no_faults()
}

#[tokio::test]
async fn labels_and_environment_tell_where_an_instance_is() -> Result<()> {
    let town = Town::new(1, 1).await?;
    town.make("lb", &json!({ "image": "kontena/lb:latest" })).await?;
    let web = json!({
        "links": [{ "name": "lb", "alias": "lb" }], "env": ["KONTENA_LB_INTERNAL_PORT=8080", "A="],
        "health_check": { "protocol": "http", "port": 80, "uri": "/up", "interval": 30 },
    });
    let made = town.make("web", &web).await?;
    ensure!(made["health_status"] == json!({ "healthy": 0, "unhealthy": 0, "total": 0 }), "{made:#}");
    town.deploy("web").await?;
    let pod = town.pod("node-1", "web", 1).context("no pod")?;
    let id = pod["service_id"].as_str().context("no id")?;
    let env = json!([
        "KONTENA_LB_INTERNAL_PORT=8080",
        "A=",
        format!("KONTENA_SERVICE_ID={id}"),
        "KONTENA_SERVICE_NAME=web",
        "KONTENA_GRID_NAME=main",
        "KONTENA_PLATFORM_NAME=main",
        "KONTENA_STACK_NAME=null",
        "KONTENA_NODE_NAME=node-1",
        "KONTENA_SERVICE_INSTANCE_NUMBER=1",
    ]);
    ensure!(pod["env"] == env, "{:#}", pod["env"]);
    let labels = json!({
        "io.kontena.service.id": id, "io.kontena.service.name": "web", "io.kontena.stack.name": "null",
        "io.kontena.grid.name": "main", "io.kontena.platform.name": "main", "io.kontena.load_balancer.name": "lb",
        "io.kontena.load_balancer.internal_port": "8080", "io.kontena.load_balancer.mode": "http",
        "io.kontena.health_check.protocol": "http", "io.kontena.health_check.uri": "/up",
        "io.kontena.health_check.interval": "30", "io.kontena.health_check.timeout": "10",
        "io.kontena.health_check.initial_delay": "10", "io.kontena.health_check.port": "80",
    });
    ensure!(pod["labels"] == labels, "{:#}", pod["labels"]);
    ensure!(
        pod["hostname"] == "web-1" && pod["domainname"] == "main.kontena.local" && pod["exposed"] == false
    );
    town.no_faults()
}
