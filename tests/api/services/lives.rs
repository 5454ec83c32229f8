//! The life of services, from the API alone.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{DateTime, Document, doc};
use reqwest::Method;
use serde_json::{Value, json};

use super::Town;
use crate::world::Request;

#[tokio::test]
async fn linked_services_run_are_scaled_updated_lose_a_node_and_are_removed() -> Result<()> {
    let town = Town::new(1, 3).await?;
    town.ask(Method::POST, "/v1/grids/main/secrets", &json!({ "name": "password", "value": "hush" })).await?;
    let volume = json!({ "name": "data", "scope": "instance", "driver": "local" });
    town.ask(Method::POST, "/v1/volumes/main", &volume).await?;
    let db = json!({ "volumes": ["data:/data"], "secrets": [{ "secret": "password", "name": "PASSWORD" }] });
    town.make("db", &db).await?;
    let api = json!({
        "links": [{ "name": "db", "alias": "db" }], "instances": 2,
        "hooks": { "pre_start": [{ "name": "migrate", "cmd": "migrate", "instances": "*", "oneshot": true }] },
    });
    town.make("api", &api).await?;
    let web = json!({
        "links": [{ "name": "api", "alias": "api" }], "instances": 3,
        "health_check": { "protocol": "http", "port": 80, "interval": 20, "timeout": 5, "uri": "/health" },
    });
    town.make("web", &web).await?;
    for service in ["db", "api", "web"] {
        town.deploy(service).await?;
    }
    let at = town.placed("db").await?[&1].clone();
    let pod = town.pod(&at, "db", 1).context("no pod")?;
    ensure!(pod["secrets"] == json!([{ "name": "PASSWORD", "type": "env", "value": "hush" }]), "{pod:#}");
    ensure!(pod["volumes"][0]["name"] == "db.data-1", "{pod:#}");
    ensure!(town.placed("web").await?.values().collect::<BTreeSet<_>>().len() == 3, "not spread");

    let scaled =
        town.ask(Method::POST, "/v1/services/main/null/api/scale", &json!({ "instances": "3" })).await?;
    let scaled = town.finished(0, "api", scaled["id"].as_str().context("no id")?).await?;
    ensure!(
        scaled["state"] == "success" && scaled["instance_deploys"].as_array().map(Vec::len) == Some(3),
        "{scaled:#}"
    );

    // An edit reaches agents with the next deploy, and not before.
    town.ask(Method::PUT, "/v1/services/main/null/web", &json!({ "env": ["A=1"] })).await?;
    let at = town.placed("web").await?[&1].clone();
    let env = |pod: &Value| pod["env"][0].clone();
    let restarted = town.ask(Method::POST, "/v1/services/main/null/web/stop", &json!({})).await;
    restarted?;
    town.eventually("a stopped pod", async |town| {
        Ok(town.pod(&at, "web", 1).is_some_and(|pod| pod["desired_state"] == "stopped"))
    })
    .await?;
    ensure!(env(&town.pod(&at, "web", 1).context("no pod")?) != "A=1", "told before it was deployed");
    town.deploy("web").await?;
    let pod = town.pod(&at, "web", 1).context("no pod")?;
    ensure!(
        env(&pod) == "A=1" && pod["service_revision"] == 2 && pod["desired_state"] == "running",
        "{pod:#}"
    );

    // A node is lost, and a deploy places anew what was there.
    let lost = town.placed("web").await?[&2].clone();
    let before = town.placed("web").await?;
    town.ask(Method::PUT, &format!("/v1/nodes/main/{lost}"), &json!({ "availability": "drain" })).await?;
    let moved = town.deploy("web").await?;
    let after = town.placed("web").await?;
    ensure!(after.values().all(|node| *node != lost), "{after:?}");
    ensure!(
        before.iter().all(|(number, node)| *node == lost || after[number] == *node),
        "{before:?} {after:?}"
    );
    let refused = &moved["report"]["refused"];
    ensure!(refused[0]["node"] == lost.as_str() && refused[0]["filter"] == "availability", "{refused}");

    let linked = town
        .world
        .ask(crate::world::Request::new(Method::DELETE, "/v1/services/main/null/db").token(&town.token))
        .await?;
    ensure!(
        linked.json()["error"]["service"] == "Cannot delete service that is linked to another service (api)"
    );
    for service in ["web", "api", "db"] {
        town.ask(Method::DELETE, &format!("/v1/services/main/null/{service}"), &Value::Null).await?;
    }
    town.eventually("no pods", async |town| {
        let listed = town.agents.iter().map(|agent| agent.record().pods().len()).sum::<usize>();
        Ok(listed == 0)
    })
    .await?;
    for collection in ["grid_service_instances", "grid_service_deploys", "frozen_pods", "deploy_claims"] {
        ensure!(town.rows(collection).await?.is_empty(), "left in {collection}");
    }
    town.no_faults()
}

#[tokio::test]
async fn a_service_that_finds_no_node_says_why_of_each() -> Result<()> {
    let town = Town::new(1, 2).await?;
    town.make("web", &json!({ "ports": [{ "node_port": 80, "container_port": 80 }], "instances": 3 }))
        .await?;
    let deploy = town.deploy_of(0, "web").await?;
    let reason = "Cannot find applicable node for service instance main/null/web-3: Did not find any nodes with \
                  unused ports: [80]";
    ensure!(deploy["state"] == "error" && deploy["reason"] == reason, "{deploy:#}");
    let third = &deploy["report"]["instances"][2];
    ensure!(
        third["refused"].as_array().map(Vec::len) == Some(2) && third["refused"][0]["filter"] == "port",
        "{third}"
    );
    ensure!(town.placed("web").await?.len() == 2, "those before it run");
    // Events follow what they tell of.
    let wanted =
        ["service main/null/web deploy started", &format!("deploy of main/null/web errored: {reason}")];
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let events = town.ask(Method::GET, "/v1/services/main/null/web/event_logs", &Value::Null).await?;
        let told: Vec<&str> = events["logs"]
            .as_array()
            .context("no events")?
            .iter()
            .filter(|event| event["type"] == "service:deploy")
            .filter_map(|event| event["message"].as_str())
            .collect();
        if told == wanted {
            break;
        }
        ensure!(Instant::now() < deadline, "{told:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    town.no_faults()
}

#[tokio::test]
async fn deploys_of_one_service_follow_each_other_and_may_be_called_off() -> Result<()> {
    let town = Town::new(1, 2).await?;
    town.make("web", &json!({ "instances": 2 })).await?;
    let mut asked = Vec::new();
    for _ in 0..4 {
        let deploy = town.ask(Method::POST, "/v1/services/main/null/web/deploy", &json!({})).await?;
        asked.push(deploy["id"].as_str().context("no id")?.to_owned());
    }
    let last = format!("/v1/services/main/null/web/deploys/{}/cancel", asked[3]);
    town.ask(Method::POST, &last, &json!({})).await?;
    let mut revs = Vec::new();
    for (number, deploy) in asked.iter().enumerate() {
        let deploy = town.finished(0, "web", deploy).await?;
        ensure!(deploy["state"] == if number == 3 { "error" } else { "success" }, "{deploy:#}");
        // What was called off before its turn was never begun.
        revs.extend(deploy["started_at"].as_str().map(str::to_owned));
    }
    ensure!(revs.is_sorted() && revs.len() >= 3, "{revs:?}");
    town.no_faults()
}

#[tokio::test]
async fn a_deploy_that_an_original_had_begun_is_left_as_it_is_unless_it_is_called_off() -> Result<()> {
    let town = Town::new(1, 1).await?;
    town.make("db", &json!({ "instances": 1 })).await?;
    let service = town.rows("grid_services").await?.pop().context("no service")?.get_object_id("_id")?;
    let (begun, deploys) = (ObjectId::new(), town.world.collection("grid_service_deploys"));
    let long_ago = DateTime::from_millis(1_500_000_000_000);
    let row = doc! {
        "_id": begun, "_deploy_state": "ongoing", "grid_service_id": service, "created_at": long_ago,
        "queued_at": long_ago, "started_at": long_ago, "finished_at": null,
    };
    deploys.insert_one(row.clone()).await?;
    // It is the oldest, and keeps nobody waiting.
    town.deploy("db").await?;
    let left = deploys.find_one(doc! { "_id": begun }).await?.context("it is gone")?;
    ensure!(left == row, "{left:#?}");
    // Nor the scheduler, which deploys what was changed.
    town.ask(Method::PUT, "/v1/services/main/null/db", &json!({ "env": ["CHANGED=yes"] })).await?;
    town.eventually("deployed again", async |town| Ok(town.rows("grid_service_deploys").await?.len() == 3))
        .await?;
    let path = format!("/v1/services/main/null/db/deploys/{begun}/cancel");
    town.ask(Method::POST, &path, &json!({})).await?;
    let ended = town.finished(0, "db", &begun.to_hex()).await?;
    ensure!(ended["state"] == "error", "{ended:#}");
    town.no_faults()
}

#[tokio::test]
async fn a_hook_of_the_same_name_goes_on_being_the_same() -> Result<()> {
    let town = Town::new(1, 1).await?;
    let hooks = |cmd: &str| json!({ "hooks": { "pre_start": [{ "name": "migrate", "cmd": cmd, "instances": "*", "oneshot": true }] } });
    town.make("db", &hooks("migrate")).await?;
    let services = town.world.collection("grid_services");
    services.update_one(doc! {}, doc! { "$set": { "hooks.0.done": ["1"] } }).await?;
    let hook = async || {
        let row = services.find_one(doc! {}).await?.context("no service")?;
        let hook = row.get_array("hooks")?.first().and_then(|hook| hook.as_document()).cloned();
        hook.context("no hook")
    };
    let before = hook().await?;
    town.ask(Method::PUT, "/v1/services/main/null/db", &hooks("migrate --all")).await?;
    let after = hook().await?;
    ensure!(after.get("_id") == before.get("_id") && after.get("done") == before.get("done"), "{after:#?}");
    ensure!(after.get_str("cmd")? == "migrate --all", "{after:#?}");
    Ok(())
}

#[tokio::test]
async fn a_secret_does_not_change_without_its_services() -> Result<()> {
    let town = Town::new(1, 1).await?;
    let secret = |value: &str| json!({ "name": "password", "value": value });
    town.ask(Method::POST, "/v1/grids/main/secrets", &secret("old")).await?;
    town.make("db", &json!({ "secrets": [{ "secret": "password", "name": "PASSWORD" }] })).await?;
    let revision = async || {
        let row = town.rows("grid_services").await?.pop().context("no service")?;
        Ok::<_, anyhow::Error>(
            row.get_i32("revision").map_or_else(|_| row.get_i64("revision"), |low| Ok(low.into()))?,
        )
    };
    let before = revision().await?;
    // The database takes no new revision of a service for a while.
    let allow = async |validator: Document| {
        let command = doc! { "collMod": "grid_services", "validator": validator };
        town.world.outside().run_command(command).await
    };
    allow(doc! { "revision": { "$lte": before } }).await?;
    let path = "/v1/secrets/main/password";
    let refused =
        town.world.ask(Request::new(Method::PUT, path).token(&town.token).json(&secret("new"))).await?;
    ensure!(refused.status.is_server_error(), "{} {}", refused.status, refused.text);
    allow(doc! {}).await?;
    let shown = town.ask(Method::GET, path, &Value::Null).await?;
    ensure!(shown["value"] == "old" && revision().await? == before, "{shown}");
    town.ask(Method::PUT, path, &secret("new")).await?;
    ensure!(revision().await? == before + 1, "its services were not told");
    Ok(())
}

#[tokio::test]
async fn a_deploy_that_is_called_off_before_its_turn_changes_nothing() -> Result<()> {
    let town = Town::new(1, 2).await?;
    town.make("web", &json!({ "instances": 2 })).await?;
    town.deploy("web").await?;
    // It is not carried out while its service is another master's.
    let claims = town.world.collection("deploy_claims");
    let held = doc! { "$set": { "master": "f".repeat(32) }, "$inc": { "epoch": 1_i64 } };
    claims.update_many(doc! {}, held).await?;
    let wanted = json!({ "instances": 1 });
    let deploy = town.ask(Method::POST, "/v1/services/main/null/web/scale", &wanted).await?;
    let deploy = deploy["id"].as_str().context("no id")?.to_owned();
    let before = town.rows("grid_services").await?.pop().context("no service")?;
    // That takes the claim from whoever has it.
    let path = format!("/v1/services/main/null/web/deploys/{deploy}/cancel");
    town.ask(Method::POST, &path, &json!({})).await?;
    let deploy = town.finished(0, "web", &deploy).await?;
    ensure!(deploy["state"] == "error" && deploy["started_at"].is_null(), "{deploy:#}");
    ensure!(town.placed("web").await?.len() == 2, "an instance was removed");
    let after = town.rows("grid_services").await?.pop().context("no service")?;
    ensure!(before.get("deployed_at") == after.get("deployed_at"), "it counts as deployed");
    town.no_faults()
}

#[tokio::test]
async fn deploys_that_fail_leave_nothing_frozen_that_no_instance_is_made_of() -> Result<()> {
    let town = Town::new(1, 2).await?;
    let ports = json!([{ "node_port": 80, "container_port": 80 }]);
    town.make("web", &json!({ "ports": ports, "instances": 3 })).await?;
    town.make("hopeless", &json!({ "affinity": ["label==nowhere"] })).await?;
    for _ in 0..3 {
        for service in ["web", "hopeless"] {
            let deploy = town.deploy_of(0, service).await?;
            ensure!(deploy["state"] == "error", "{deploy:#}");
        }
    }
    // The scheduler deploys them again now and then.
    town.eventually("only what is used", async |town| {
        let instances = town.rows("grid_service_instances").await?;
        let used: BTreeSet<ObjectId> =
            instances.iter().map(|row| row.get_object_id("frozen_id")).collect::<Result<_, _>>()?;
        let frozen = town.rows("frozen_pods").await?;
        let frozen: BTreeSet<ObjectId> =
            frozen.iter().map(|row| row.get_object_id("_id")).collect::<Result<_, _>>()?;
        Ok(instances.len() == 2 && frozen == used)
    })
    .await?;
    ensure!(town.agents.iter().all(|agent| agent.record().pods().len() == 1), "a pod is missing");
    town.no_faults()
}

#[tokio::test]
async fn that_an_instance_leaves_its_node_or_lost_it_is_among_the_events() -> Result<()> {
    let mut town = Town::new(1, 2).await?;
    town.make("web", &json!({})).await?;
    town.deploy("web").await?;
    let first = town.placed("web").await?[&1].clone();
    let available = async |town: &Town, availability: &str| {
        let change = json!({ "availability": availability });
        town.ask(Method::PUT, &format!("/v1/nodes/main/{first}"), &change).await
    };
    available(&town, "drain").await?;
    town.tells("web", 1, &format!("stopping service main/null/web-1 on previous node {first}")).await?;
    let second = if first == "node-1" { "node-2" } else { "node-1" };
    town.eventually("it has moved", async |town| {
        let deploys = town.rows("grid_service_deploys").await?;
        Ok(town.placed("web").await?.get(&1).is_some_and(|node| node == second)
            && deploys.iter().all(|row| row.get_datetime("finished_at").is_ok()))
    })
    .await?;

    // Its node goes for good, and its agent with it: by the grid's token it would come as a new one.
    drop(town.agents.remove(usize::from(second == "node-2")));
    available(&town, "active").await?;
    town.ask(Method::DELETE, &format!("/v1/nodes/main/{second}"), &Value::Null).await?;
    town.tells("web", 2, "Replacing orphaned service main/null/web-1 on destroyed node").await?;
    town.no_faults()
}
