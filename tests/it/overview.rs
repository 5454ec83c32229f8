//! What administrators see of all grids, and do to services, with each of the ways in which they are let in.

use anyhow::{Context, Result, ensure};
use futures_util::TryStreamExt;
use kontena_testkit::administrator::Administrator;
use kontena_testkit::http;
use kontena_testkit::master::{Master, TOKEN};
use kontena_testkit::mongod::shared;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, Document, doc};
use reqwest::header::{ETAG, IF_NONE_MATCH};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::process::{acting, start};
use crate::store::Outside;

async fn world() -> Result<(Master, Administrator, Outside)> {
    let database = shared().await?.database();
    let master = start("only", &database).await?;
    acting(&[&master], 1).await?;
    let administrator = Administrator::of([&master])?;
    administrator.ask(Method::POST, "/v1/grids", &json!({ "name": "main", "initial_size": 1 })).await?;
    Ok((master, administrator, Outside::of(&database).await?))
}

#[tokio::test]
async fn services_are_listed_with_what_runs_and_how_their_deploys_stand() -> Result<()> {
    let (master, administrator, outside) = world().await?;
    administrator.make_service("main", "web", &json!({ "instances": 3 })).await?;
    let service = outside.one("grid_services", doc! { "name": "web" }).await?.get_object_id("_id")?;
    let grid = outside.one("grids", doc! { "name": "main" }).await?.get_object_id("_id")?;
    let node = ObjectId::new();
    let nodes = outside.collection("host_nodes");
    nodes
        .insert_one(
            doc! { "_id": node, "name": "core-1", "grid_id": grid, "node_id": "A:B", "node_number": 1 },
        )
        .await?;
    let instance = |number: i32, state: &str| {
        doc! {
            "grid_service_id": service, "host_node_id": node, "instance_number": number, "state": state,
            "desired_state": "running", "rev": "2", "deploy_rev": "2",
        }
    };
    let mut failing = instance(3, "restarting");
    failing.insert("error", "port is already allocated");
    outside
        .collection("grid_service_instances")
        .insert_many([instance(1, "running"), instance(2, "running"), failing])
        .await?;
    let container = doc! {
        "grid_service_id": service, "instance_number": 1, "health_status": "healthy", "deleted_at": null,
        "container_type": "container", "host_node_id": node, "container_id": "c",
    };
    outside.collection("containers").insert_one(container).await?;
    let deploys = outside.collection("grid_service_deploys");
    for (state, reason) in [("success", None), ("error", Some("no node"))] {
        let row = doc! {
            "_id": ObjectId::new(), "grid_service_id": service, "_deploy_state": state, "reason": reason,
            "created_at": DateTime::now(), "finished_at": DateTime::now(),
            "report": { "instances": [{ "instance_number": 3, "node": null, "error": "full", "refused": [] }],
                "refused": [{ "node": "core-2", "filter": "offline", "reason": "its agent is not connected" }] },
            "grid_service_instance_deploys": [{ "instance_number": 3, "host_node_id": node, "_deploy_state": state }],
        };
        deploys.insert_one(row).await?;
    }

    let list = master.get("/v1/cluster/services").await?;
    let row = &list["services"][0];
    assert_eq!(list["services"].as_array().map(Vec::len), Some(1));
    for (key, value) in [
        ("grid", json!("main")),
        ("stack", json!("null")),
        ("name", json!("web")),
        ("wanted", json!(3)),
        ("instances", json!(3)),
        ("running", json!(2)),
        ("failing", json!(1)),
    ] {
        assert_eq!(row[key], value, "{key}: {row:#}");
    }
    assert_eq!((&row["deploy"]["state"], &row["deploy"]["reason"]), (&json!("error"), &json!("no node")));

    let sight = master.get("/v1/cluster/services/main/null/web").await?;
    let first = &sight["instances"][0];
    assert_eq!((&first["node"], &first["health"]), (&json!("core-1"), &json!("healthy")), "{sight:#}");
    assert_eq!(sight["instances"][2]["error"], "port is already allocated");
    assert_eq!(sight["deploys"].as_array().map(Vec::len), Some(2));
    assert_eq!(sight["steps"][0]["state"], "error");
    assert_eq!(sight["report"]["refused"][0]["node"], "core-2");
    assert_eq!(sight["report_of"], sight["deploys"][0]["id"]);

    let on_node = master.get(&format!("/v1/cluster/agents/{node}/instances")).await?;
    assert_eq!(on_node["instances"].as_array().map(Vec::len), Some(3));
    assert_eq!(on_node["instances"][0]["service"], "null/web");
    for missing in ["/v1/cluster/services/main/null/none", "/v1/cluster/services/none/null/web"] {
        assert_eq!(master.ask(Method::GET, missing).await?.0, StatusCode::NOT_FOUND, "{missing}");
    }
    Ok(())
}

#[tokio::test]
async fn a_list_that_is_known_is_not_sent_again_and_each_newest_deploy_is_found_by_index() -> Result<()> {
    let (master, administrator, outside) = world().await?;
    administrator.make_service("main", "web", &json!({})).await?;
    let client = http::client().build()?;
    let ask = |tag: Option<String>| {
        let request = client.get(format!("{}/v1/cluster/services", master.url())).bearer_auth(TOKEN);
        match tag {
            Some(tag) => request.header(IF_NONE_MATCH, tag),
            None => request,
        }
        .send()
    };
    let answer = ask(None).await?;
    let tag = answer.headers().get(ETAG).context("a tag")?.to_str()?.to_owned();
    assert_eq!(ask(Some(tag.clone())).await?.status(), StatusCode::NOT_MODIFIED);
    administrator.make_service("main", "db", &json!({})).await?;
    assert_eq!(ask(Some(tag)).await?.status(), StatusCode::OK, "what has changed is sent at once");

    // A hundred old deploys of each service cost nothing.
    let services: Vec<ObjectId> = (0..20).map(|_| ObjectId::new()).collect();
    let rows = services.iter().flat_map(|service| {
        (0..100).map(
            move |_| doc! { "_id": ObjectId::new(), "grid_service_id": *service, "_deploy_state": "success" },
        )
    });
    outside.collection("grid_service_deploys").insert_many(rows).await?;
    outside.database().run_command(doc! { "profile": 2 }).await?;
    master.get("/v1/cluster/services").await?;
    master.get("/v1/cluster/services/main/null/web").await?;
    master.get("/v1/cluster/stacks").await?;
    master.get("/v1/cluster/grid-events").await?;
    outside.database().run_command(doc! { "profile": 0 }).await?;
    let profile = outside.collection("system.profile");
    let of = format!("{}.grid_service_deploys", outside.database().name());
    let rows: Vec<Document> = profile.find(doc! { "ns": &of }).await?.try_collect().await?;
    let groups =
        |row: &&Document| row.get_document("command").is_ok_and(|it| it.to_string().contains("$group"));
    let newest = rows.iter().find(groups).context("the newest deploys were asked for")?;
    let examined = newest.get("docsExamined").and_then(|count| match count {
        Bson::Int32(count) => Some(i64::from(*count)),
        Bson::Int64(count) => Some(*count),
        _ => None,
    });
    ensure!(examined.is_some_and(|count| count <= 25), "too many of 2000 deploys were read: {newest}");
    let log = format!("{}.event_logs", outside.database().name());
    let scans = doc! { "ns": log, "planSummary": "COLLSCAN" };
    let scanned: Option<Document> = profile.find_one(scans).await?;
    ensure!(scanned.is_none(), "events were looked for one by one: {scanned:?}");
    Ok(())
}

#[tokio::test]
async fn administrators_act_by_every_way_in_and_nobody_else_does() -> Result<()> {
    let (master, administrator, outside) = world().await?;
    administrator.make_service("main", "web", &json!({})).await?;
    let path = "/v1/cluster/services/main/null/web/scale";
    let client = http::client().build()?;
    let scale = |token: Option<&str>, instances: Value| {
        let request = client.post(format!("{}{path}", master.url())).json(&json!({ "instances": instances }));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
        .send()
    };
    assert_eq!(scale(None, json!(2)).await?.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(scale(Some("wrong"), json!(2)).await?.status(), StatusCode::FORBIDDEN);
    assert_eq!(outside.count("grid_service_deploys", doc! {}).await?, 0);
    // A fault is told in the original's words.
    let refused = scale(Some(TOKEN), json!("many")).await?;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.json::<Value>().await?["error"]["instances"].is_string());

    assert_eq!(scale(Some(TOKEN), json!(2)).await?.status(), StatusCode::OK);
    let (status, _) = administrator.try_ask(Method::POST, path, &json!({ "instances": 3 })).await?;
    assert_eq!(status, StatusCode::OK);
    let made = administrator.ask(Method::POST, "/v1/cluster/admin-tokens", &json!({})).await?;
    let token = made["access_token"].as_str().context("a token")?;
    assert_eq!(scale(Some(token), json!(4)).await?.status(), StatusCode::OK);
    assert_eq!(outside.one("grid_services", doc! { "name": "web" }).await?.get_i32("container_count")?, 4);
    // Each is in the audit log as the original would have written it, and says how it was known who that was.
    for way in ["with the administration token", "over the administration socket", "with an access token"] {
        let row = doc! {
            "event_name": "scale", "resource_type": "GridService", "resource_name": "web", "user_identity.email": "admin",
            "event_description": { "$regex": way },
        };
        assert_eq!(outside.count("audit_logs", row).await?, 1, "{way}");
    }
    // The token for administration is good for these routes, and opens nothing else.
    let (status, _) = master.ask(Method::GET, "/v1/grids/main/secrets").await?;
    assert_eq!(status, StatusCode::FORBIDDEN);
    Ok(())
}
