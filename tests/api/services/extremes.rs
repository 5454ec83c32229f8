//! Whatever is accepted can be shown, deployed and told to agents: no value of one service is another's trouble.

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};

use super::Town;

/// Fields that nobody sensible sends and that nothing forbids.
fn extremes() -> Vec<(&'static str, Value)> {
    vec![
        (
            "numbers",
            json!({
                "memory": i64::MAX, "memory_swap": i64::MIN, "shm_size": -1, "cpus": 1e308, "cpu_shares": 1024,
                "ports": [{ "node_port": i64::MAX, "container_port": i64::MIN }],
                "stop_grace_period": "277777h46m39s",
            }),
        ),
        (
            "deploys",
            json!({ "deploy_opts": { "min_health": -1e308, "interval": i64::MAX, "wait_for_port": -1 } }),
        ),
        ("often", json!({ "deploy_opts": { "min_health": 1e308, "interval": i64::MIN }, "instances": 3 })),
        (
            "checks",
            json!({ "health_check": {
                "port": 65535, "protocol": "http", "uri": "\u{202e}//?#", "timeout": i64::MIN,
                "interval": i64::MAX, "initial_delay": i64::MIN,
            } }),
        ),
        (
            "texts",
            json!({
                "env": ["A=\u{202e}=\u{1f980}=", "$where=1", "\u{e9}=$(id)"], "user": "$(id)", "entrypoint": "''",
                "cmd": ["x\ty", "a\nb", "%s-%d"], "log_driver": "../../x",
                "log_opts": { "$set": "1", "a.b": "2", "": "3" }, "cap_add": ["ALL"], "devices": ["/dev/x:y:z:w"],
                "volumes": ["/a:/b:ro,$x:y", "/\u{1f980}"], "stop_signal": "SIGRTMAX-99",
            }),
        ),
        (
            "conditions",
            json!({ "affinity": [
                "label!=x", "node==$", "weird", "label==~/(/", "a==b==c", "service!=~/[/", "==", "container==",
                "node!=~/.*/x", "label==zone=~",
            ] }),
        ),
        ("volumes-from", json!({ "volumes_from": ["%s-%d-%", "nobody-%s", "%n"] })),
        (
            "hooks",
            json!({ "hooks": { "pre_start": [
                { "name": "x", "cmd": "y", "instances": ",,*,99999999999999999999,-1", "oneshot": true },
                { "name": "x", "cmd": "y", "instances": "*" },
            ] } }),
        ),
        (
            "shares",
            json!({ "net": "container:\u{202e}%s", "pid": "host", "privileged": "1", "image": "a:b:c@d/e" }),
        ),
    ]
}

#[tokio::test]
async fn what_one_service_asks_for_is_no_trouble_for_another() -> Result<()> {
    let town = Town::new(1, 2).await?;
    for (name, fields) in extremes() {
        let made = town.make(name, &fields).await?;
        ensure!(made["name"] == name, "{made}");
    }
    let all = town.ask(Method::GET, "/v1/grids/main/services", &Value::Null).await?;
    ensure!(all["services"].as_array().map(Vec::len) == Some(extremes().len()), "{all}");
    for (name, fields) in extremes() {
        // Some of them cannot be placed: that is told, and the deploy ends.
        let deploy = town.deploy_of(0, name).await?;
        let (state, reason) = (&deploy["state"], &deploy["reason"]);
        ensure!(
            *state == "success" || reason.as_str().is_some_and(|why| !why.is_empty()),
            "{name}: {deploy}"
        );
        let path = format!("/v1/services/main/null/{name}");
        for below in ["", "/instances", "/containers", "/stats", "/metrics"] {
            town.ask(Method::GET, &format!("{path}{below}"), &Value::Null).await?;
        }
        town.ask(Method::PUT, &path, &fields).await?;
    }
    let odd = json!({ "log_opts": { "$inc": "1", "$a.b": "2" }, "env": ["$set={}"] });
    let changed = town.ask(Method::PUT, "/v1/services/main/null/texts", &odd).await?;
    ensure!(changed["log_opts"] == odd["log_opts"] && changed["env"] == odd["env"], "{changed}");
    town.make("plain", &json!({})).await?;
    let deploy = town.deploy_of(0, "plain").await?;
    ensure!(deploy["state"] == "success", "{deploy}");
    for (name, _) in extremes() {
        town.ask(Method::DELETE, &format!("/v1/services/main/null/{name}"), &Value::Null).await?;
    }
    town.eventually("one pod left", async |town| {
        let pods: usize = town.agents.iter().map(|agent| agent.record().pods().len()).sum();
        Ok(pods == 1)
    })
    .await?;
    town.no_faults()
}

#[tokio::test]
async fn many_change_one_service_on_two_masters_and_nothing_is_lost() -> Result<()> {
    const WRITERS: usize = 24;
    let town = Town::new(2, 0).await?;
    town.make("busy", &json!({ "env": ["A=1"] })).await?;
    let one = |number: usize| {
        let town = &town;
        async move {
            let (path, method, body) = match number % 3 {
                0 => ("/envs", Method::POST, json!({ "env": format!("N{number}=1") })),
                1 => ("", Method::PUT, json!({ "cmd": [format!("c{number}")] })),
                _ => ("", Method::PUT, json!({ "cpu_shares": number, "force": true })),
            };
            town.ask_of(number % 2, method, &format!("/v1/services/main/null/busy{path}"), &body).await
        }
    };
    futures_util::future::try_join_all((0..WRITERS).map(one)).await?;
    let service = town.ask(Method::GET, "/v1/services/main/null/busy", &Value::Null).await?;
    ensure!(service["revision"] == 1 + WRITERS, "each change is a revision: {service}");
    ensure!(service["env"].as_array().map(Vec::len) == Some(1 + WRITERS / 3), "{service}");
    let remove = |number: usize| {
        let town = &town;
        async move {
            let path = format!("/v1/services/main/null/busy/envs/N{number}");
            town.ask_of(number % 2, Method::DELETE, &path, &Value::Null).await
        }
    };
    futures_util::future::try_join_all((0..WRITERS).step_by(3).map(remove)).await?;
    let service = town.ask(Method::GET, "/v1/services/main/null/busy", &Value::Null).await?;
    ensure!(service["env"] == json!(["A=1"]), "{service}");
    Ok(())
}
