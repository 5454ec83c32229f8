//! The life of stacks, from the API as the command line calls it.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{PATIENCE, Town};
use crate::world::{Answer, Request};

/// A service as the command line sends it from a stack file.
pub(super) fn service(name: &str, links: &[&str]) -> Value {
    let links: Vec<Value> = links
        .iter()
        .map(|link| json!({ "name": link, "alias": link.rsplit('/').next().unwrap_or_default() }))
        .collect();
    json!({
        "name": name, "image": "redis:3.0", "instances": null, "env": [], "links": links, "external_links": [],
        "ports": [], "volumes": [], "volumes_from": [], "affinity": [], "stateful": false,
        "deploy_opts": { "wait_for_port": null, "min_health": null, "interval": null }, "hooks": {},
        "health_check": {
            "port": null, "protocol": null, "uri": null, "timeout": null, "interval": null, "initial_delay": null,
        },
        "read_only": false, "log_driver": null, "log_opts": null,
    })
}

pub(super) fn stack(name: &str, version: &str, services: &[Value]) -> Value {
    json!({
        "name": name, "stack": format!("acme/{name}"), "version": version, "labels": [], "registry": "file://",
        "expose": null, "services": services, "volumes": [], "dependencies": null, "metadata": {}, "parent": null,
        "source": format!("stack: acme/{name}\nversion: {version}\n"), "variables": { "version": version },
    })
}

impl Town {
    async fn answer(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        let request = Request::new(method, path).token(&self.token).json(body);
        self.world.ask(request).await
    }

    pub(super) async fn install(&self, body: &Value) -> Result<Value> {
        self.ask(Method::POST, "/v1/grids/main/stacks", body).await
    }

    async fn stack(&self, name: &str) -> Result<Value> {
        self.ask(Method::GET, &format!("/v1/stacks/main/{name}"), &Value::Null).await
    }

    /// Asks for a deploy through the first master.
    pub(super) async fn ask_for_deploy(&self, name: &str) -> Result<String> {
        let path = format!("/v1/stacks/main/{name}/deploy");
        let deploy = self.ask(Method::POST, &path, &json!({})).await?;
        ensure!(deploy["state"] == "created" && deploy["service_deploys"] == json!([]), "{deploy:#}");
        Ok(deploy["id"].as_str().context("no id")?.to_owned())
    }

    /// Waits for the end of a deploy as the command line does, through the master of this number.
    pub(super) async fn deployed(&self, master: usize, name: &str, deploy: &str) -> Result<Value> {
        let path = format!("/v1/stacks/main/{name}/deploys/{deploy}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let deploy = self.ask_of(master, Method::GET, &path, &Value::Null).await?;
            if matches!(deploy["state"].as_str(), Some("success" | "error")) {
                return Ok(deploy);
            }
            ensure!(Instant::now() < deadline, "not finished: {deploy:#}");
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Waits until a stack is gone, as the command line does, through the master of this number.
    pub(super) async fn gone(&self, master: usize, name: &str) -> Result<()> {
        let path = format!("/v1/stacks/main/{name}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            let request = Request::new(Method::GET, &path).token(&self.token);
            let answer = self.world.ask_of(master, request).await?;
            if answer.status == 404 {
                ensure!(answer.text == "{}", "{}", answer.text);
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "not gone: {}", answer.text);
            sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    /// Of what stacks consist of nothing is left.
    pub(super) async fn nothing_left(&self) -> Result<()> {
        let stacks = self.rows("stacks").await?;
        ensure!(stacks.iter().all(|row| row.get_str("name").is_ok_and(|name| name == "null")), "{stacks:#?}");
        for collection in [
            "stack_revisions",
            "stack_deploys",
            "grid_services",
            "grid_service_instances",
            "grid_service_deploys",
            "frozen_pods",
            "deploy_claims",
            "stack_claims",
        ] {
            let left = self.rows(collection).await?;
            ensure!(left.is_empty(), "left in {collection}: {left:#?}");
        }
        Ok(())
    }

    async fn events(&self, stack: &str, kind: &str) -> Result<Vec<String>> {
        let path = format!("/v1/stacks/main/{stack}/event_logs?limit=100");
        let events = self.ask(Method::GET, &path, &Value::Null).await?;
        let events = events["logs"].as_array().context("no events")?.iter();
        let of_kind = events.filter(|event| event["type"] == kind);
        Ok(of_kind.filter_map(|event| event["message"].as_str()).map(str::to_owned).collect())
    }
}

fn deployed_services(deploy: &Value) -> Vec<&str> {
    let all = deploy["service_deploys"].as_array().map(Vec::as_slice).unwrap_or_default();
    all.iter()
        .filter(|deploy| deploy["state"] == "success")
        .filter_map(|deploy| deploy["service_id"].as_str()?.strip_prefix("main/shop/"))
        .collect()
}

/// The services of a stack: name, revision and the revision of the stack.
fn revisions(stack: &Value) -> Vec<(String, i64, i64)> {
    let services = stack["services"].as_array().map(Vec::as_slice).unwrap_or_default();
    let number = |value: &Value| value.as_i64().unwrap_or(-1);
    let revision = |service: &Value| {
        let name = service["name"].as_str().unwrap_or_default().to_owned();
        (name, number(&service["revision"]), number(&service["stack_revision"]))
    };
    services.iter().map(revision).collect()
}

/// As `stack install` does: children first.
async fn make_a_family(town: &Town) -> Result<()> {
    let mut child = stack("shop-kid", "1.0", &[service("only", &["shop/db"])]);
    child["parent"] = json!({ "name": "parent" });
    let made = town.install(&child).await?;
    ensure!(made["parent"] == json!({ "id": null, "name": "parent" }), "{made:#}");
    let parent = town.install(&stack("parent", "1.0", &[service("main", &[])])).await?;
    ensure!(parent["children"] == json!([{ "id": "main/shop-kid", "name": "shop-kid" }]), "{parent:#}");
    let listed = town.ask(Method::GET, "/v1/grids/main/stacks", &Value::Null).await?;
    let names: Vec<&str> = listed["stacks"]
        .as_array()
        .context("no list")?
        .iter()
        .filter_map(|one| one["name"].as_str())
        .collect();
    ensure!(names == ["shop", "shop-kid", "parent"], "{names:?}");
    ensure!(listed["stacks"][1]["parent"] == json!({ "id": "main/parent", "name": "parent" }), "{listed:#}");
    Ok(())
}

#[tokio::test]
async fn a_stack_of_linked_services_is_installed_upgraded_stopped_and_removed() -> Result<()> {
    let town = Town::new(1, 2).await?;
    let volume = json!({ "name": "kept", "scope": "grid", "driver": "local" });
    town.ask(Method::POST, "/v1/volumes/main", &volume).await?;
    let mut db = service("db", &[]);
    db["volumes"] = json!(["data:/data"]);
    let mut first = stack(
        "shop",
        "1.0",
        &[
            service("web", &["api"]),
            service("api", &["db", "cache"]),
            service("worker", &["db"]),
            db.clone(),
            service("cache", &[]),
        ],
    );
    first["expose"] = json!("web");
    first["volumes"] = json!([{ "name": "data", "external": "kept" }]);
    first["labels"] = json!(["team=x"]);
    let made = town.install(&first).await?;
    ensure!(made["state"] == "initialized" && made["labels"] == json!(["team=x"]), "{made:#}");
    ensure!(made["source"] == "stack: acme/shop\nversion: 1.0", "{}", made["source"]);
    let fresh: Vec<_> = revisions(&made);
    let expected = ["db", "cache", "worker", "api", "web"].map(|name| (name.to_owned(), 1, -1));
    ensure!(fresh == expected, "{fresh:?}");
    ensure!(made["services"][0]["volumes"] == json!(["kept:/data"]), "{made:#}");

    let deploy = town.ask_for_deploy("shop").await?;
    let deploy = town.deployed(0, "shop", &deploy).await?;
    ensure!(deploy["state"] == "success", "{deploy:#}");
    ensure!(deployed_services(&deploy) == ["db", "cache", "worker", "api", "web"], "{deploy:#}");
    let shown = town.stack("shop").await?;
    ensure!(shown["state"] == "running", "{shown:#}");
    ensure!(revisions(&shown).iter().all(|(_, own, stack)| (*own, *stack) == (1, 1)), "{shown:#}");
    ensure!(
        shown["services"][3]["links"]
            == json!([
                { "id": "main/shop/db", "alias": "db", "name": "shop/db" },
                { "id": "main/shop/cache", "alias": "cache", "name": "shop/cache" },
            ]),
        "{shown:#}"
    );
    // What the command line shows of each service.
    town.ask(Method::GET, "/v1/services/main/shop/web", &Value::Null).await?;
    let find =
        |name: &str| (1..=2).find_map(|at| town.pod(&format!("node-{at}"), &format!("shop.{name}"), 1));
    let (web, api) = (find("web").context("no pod")?, find("api").context("no pod")?);
    ensure!(web["exposed"] == true && api["exposed"] == false, "{web:#} {api:#}");
    ensure!(web["labels"]["io.kontena.stack.name"] == "shop", "{web:#}");
    ensure!(web["hostname"] == "web-1" && web["domainname"] == "shop.main.kontena.local", "{web:#}");

    // A service is added, one is changed, one is left out.
    let mut second = first.clone();
    second["version"] = json!("2.0");
    let mut changed = service("api", &["db", "cache"]);
    changed["env"] = json!(["MODE=2"]);
    second["services"] =
        json!([service("web", &["api"]), changed, db, service("cache", &[]), service("search", &["db"])]);
    let upgraded = town.ask(Method::PUT, "/v1/stacks/main/shop", &second).await?;
    ensure!(upgraded["revision"] == 2 && upgraded["version"] == "2.0", "{upgraded:#}");
    ensure!(upgraded["state"] == "partially_running", "{upgraded:#}");
    ensure!(revisions(&upgraded).len() == 6, "the one that is left out goes with the deploy: {upgraded:#}");
    let same = town.ask(Method::PUT, "/v1/stacks/main/shop", &second).await?;
    ensure!(same["revision"] == 2, "nothing is new: {same:#}");
    let deploy = town.ask_for_deploy("shop").await?;
    let deploy = town.deployed(0, "shop", &deploy).await?;
    ensure!(deploy["state"] == "success", "{deploy:#}");
    ensure!(deployed_services(&deploy) == ["db", "cache", "search", "api", "web"], "{deploy:#}");
    let shown = town.stack("shop").await?;
    let mut now = revisions(&shown);
    now.sort();
    let expected = [("api", 2), ("cache", 1), ("db", 1), ("search", 1), ("web", 1)];
    ensure!(now == expected.map(|(name, own)| (name.to_owned(), own, 2)), "{now:?}");
    let worker = Request::new(Method::GET, "/v1/services/main/shop/worker").token(&town.token);
    ensure!(town.world.ask(worker).await?.status == 404);

    // Labels, stop and restart.
    let labels = json!({ "labels": ["team=y"] });
    let patched = town.ask(Method::PATCH, "/v1/stacks/main/shop", &labels).await?;
    ensure!(patched["labels"] == json!(["team=y"]) && patched["revision"] == 2, "{patched:#}");
    town.ask(Method::POST, "/v1/stacks/main/shop/restart", &json!({})).await?;
    town.ask(Method::POST, "/v1/stacks/main/shop/stop", &json!({})).await?;
    ensure!(town.stack("shop").await?["state"] == "stopped");

    make_a_family(&town).await?;

    // What others link to stays, the last to go is what all linked to.
    let refused = town.answer(Method::DELETE, "/v1/stacks/main/shop", &json!({})).await?;
    let message = "Cannot delete service that is linked from another stack (shop-kid/only)";
    ensure!(refused.json() == json!({ "error": { "service": message } }), "{}", refused.text);
    for name in ["shop-kid", "parent", "shop"] {
        town.ask(Method::DELETE, &format!("/v1/stacks/main/{name}"), &Value::Null).await?;
        town.gone(0, name).await?;
    }
    town.nothing_left().await?;
    town.eventually("no pods", async |town| {
        Ok(town.agents.iter().map(|agent| agent.record().pods().len()).sum::<usize>() == 0)
    })
    .await?;
    let entries = town.rows("audit_logs").await?;
    let is = |row: &Document, key: &str, value: &str| row.get_str(key).is_ok_and(|found| found == value);
    let noted: Vec<&str> = entries
        .iter()
        .filter(|row| is(row, "resource_type", "Stack") && is(row, "resource_name", "shop"))
        .filter_map(|row| row.get_str("event_name").ok())
        .collect();
    let expected = ["create", "deploy", "update", "update", "deploy", "patch", "restart", "stop", "delete"];
    ensure!(noted == expected, "{noted:?}");
    town.no_faults()
}

#[tokio::test]
async fn what_fails_halts_the_rest_and_a_removal_that_is_held_up_says_why() -> Result<()> {
    let town = Town::new(1, 1).await?;
    let mut api = service("api", &["db"]);
    api["affinity"] = json!(["node==nowhere"]);
    let services = [service("web", &["api"]), api, service("db", &[])];
    town.install(&stack("shop", "1.0", &services)).await?;
    let deploy = town.ask_for_deploy("shop").await?;
    let deploy = town.deployed(0, "shop", &deploy).await?;
    ensure!(deploy["state"] == "error" && deployed_services(&deploy) == ["db"], "{deploy:#}");
    let failed = &deploy["service_deploys"][1];
    ensure!(failed["state"] == "error" && failed["service_id"] == "main/shop/api", "{deploy:#}");
    ensure!(deploy["service_deploys"].as_array().map(Vec::len) == Some(2), "{deploy:#}");
    let reason = failed["reason"].as_str().context("no reason")?;
    let expected =
        format!("deploy of stack main/shop errored: deploy of service main/shop/api failed: {reason}");
    // It is told once it has ended.
    town.eventually("why it ended", async |town| {
        Ok(town.events("shop", "stack:deploy").await? == [expected.as_str()])
    })
    .await?;
    ensure!(town.stack("shop").await?["state"] == "partially_running");

    // A link that was made while the removal was asked for.
    town.install(&stack("user", "1.0", &[service("app", &["shop/db"])])).await?;
    let asked = doc! { "$set": { "removal": { "asked_at": mongodb::bson::DateTime::now() } } };
    town.world.collection("stacks").update_one(doc! { "name": "shop" }, asked).await?;
    town.eventually("why it waits", async |town| {
        let told = town.events("shop", "stack:remove").await?;
        let why = "stack main/shop is not removed: user/app of another stack link to its service db";
        Ok(told == [why])
    })
    .await?;
    ensure!(town.stack("shop").await?["services"].as_array().map(Vec::len) == Some(3), "half removed");
    town.ask(Method::DELETE, "/v1/stacks/main/user", &Value::Null).await?;
    town.gone(0, "user").await?;
    town.gone(0, "shop").await?;
    town.nothing_left().await?;
    town.no_faults()
}

#[tokio::test]
async fn a_deploy_under_way_leaves_alone_what_the_next_revision_brings() -> Result<()> {
    let town = Town::new(1, 1).await?;
    town.install(&stack("shop", "1", &[service("web", &[])])).await?;
    town.agents[0].slow(Duration::from_secs(3));
    let first = town.ask_for_deploy("shop").await?;
    let upgraded = stack("shop", "2", &[service("web", &[]), service("worker", &[])]);
    town.ask(Method::PUT, "/v1/stacks/main/shop", &upgraded).await?;
    let path = format!("/v1/stacks/main/shop/deploys/{first}");
    let shown = town.ask(Method::GET, &path, &Value::Null).await?;
    ensure!(matches!(shown["state"].as_str(), Some("created" | "ongoing")), "it is over already: {shown:#}");
    // It looks several times in this while.
    let first = town.deployed(0, "shop", &first).await?;
    ensure!(first["state"] == "success" && deployed_services(&first) == ["web"], "{first:#}");
    ensure!(revisions(&town.stack("shop").await?).len() == 2, "what the upgrade made is gone");
    town.agents[0].heal();
    let second = town.ask_for_deploy("shop").await?;
    let second = town.deployed(0, "shop", &second).await?;
    ensure!(second["state"] == "success", "{second:#}");
    ensure!(deployed_services(&second) == ["web", "worker"], "{second:#}");
    ensure!(town.pod("node-1", "shop.worker", 1).is_some(), "its host was never told");
    ensure!(town.stack("shop").await?["state"] == "running");
    town.no_faults()
}

#[tokio::test]
async fn a_stack_that_grows_must_still_have_names_that_hosts_can_have() -> Result<()> {
    let town = Town::new(1, 1).await?;
    // With one instance its host's name has the 64 characters that are allowed.
    let name = "w".repeat(64 - "-1.shop.main.kontena.local".len());
    town.install(&stack("shop", "1", &[service(&name, &[])])).await?;
    let mut grown = service(&name, &[]);
    grown["instances"] = json!(10);
    let body = stack("shop", "2", &[grown]);
    let refused = town.answer(Method::PUT, "/v1/stacks/main/shop", &body).await?;
    ensure!(
        refused.status == 422 && refused.text.contains("length 65 is over limit (64)"),
        "{}",
        refused.text
    );
    town.no_faults()
}

#[tokio::test]
async fn of_two_changes_at_once_both_count() -> Result<()> {
    let town = Town::new(2, 1).await?;
    town.install(&stack("shop", "0", &[service("web", &[])])).await?;
    let change = async |master: usize, version: &str| {
        let body = stack("shop", version, &[service("web", &[]), service(&format!("s{version}"), &[])]);
        town.ask_of(master, Method::PUT, "/v1/stacks/main/shop", &body).await
    };
    let (one, other) = futures_util::join!(change(0, "1"), change(1, "2"));
    let mut revisions = [one?["revision"].as_i64(), other?["revision"].as_i64()];
    revisions.sort_unstable();
    let stored = town.rows("stack_revisions").await?;
    ensure!(stored.len() == 3, "{stored:#?}");
    let mut numbers: Vec<i32> = stored.iter().filter_map(|row| row.get_i32("revision").ok()).collect();
    numbers.sort_unstable();
    ensure!(numbers == [1, 2, 3], "{numbers:?} {revisions:?}");
    let made = async |master: usize| {
        let request = Request::new(Method::POST, "/v1/grids/main/stacks").token(&town.token);
        town.world.ask_of(master, request.json(&stack("twice", "1", &[service("a", &[])]))).await
    };
    let (one, other) = futures_util::join!(made(0), made(1));
    let (one, other) = (one?, other?);
    let statuses = [one.status.as_u16(), other.status.as_u16()];
    ensure!(statuses.contains(&201) && statuses.contains(&422), "{} {}", one.text, other.text);
    Ok(())
}
