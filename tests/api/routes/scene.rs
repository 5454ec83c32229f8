//! Users, and a grid with something of everything in it.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use mongodb::bson::{Document, doc, oid::ObjectId};
use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::world::{Request, World};

/// What the requests of the routes are made from.
pub(crate) struct Scene {
    pub(crate) admin: String,
    /// A user without grids and roles.
    pub(crate) stranger: String,
    /// A member of the grid without roles.
    pub(crate) member: String,
    /// Tokens of the stranger, to be shown and ended.
    pub(crate) spare: Vec<Value>,
    /// A code that was not exchanged.
    pub(crate) code: String,
    /// A refresh token.
    pub(crate) refresh: String,
    /// The fields of a certificate's import.
    pub(crate) certificate: Value,
    /// A deploy of the service that is finished.
    pub(crate) deploy: String,
    /// A deploy of it that is in the hands of a master far away.
    pub(crate) open_deploy: String,
    /// An instance of it.
    pub(crate) instance: String,
    /// A deploy of its stack that is over.
    pub(crate) stack_deploy: String,
}

impl Scene {
    /// Logs in, and fills the grid `main`.
    pub(crate) async fn set(world: &World) -> Result<Self> {
        let admin = world.login().await?;
        let post = async |path: &str, body: Value| {
            let answer = world.ask(Request::new(Method::POST, path).token(&admin).json(&body)).await?;
            ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
            Ok(answer.json())
        };
        for name in ["main", "empty", "other"] {
            post("/v1/grids", json!({ "name": name, "token": format!("token-of-{name}") })).await?;
        }
        for email in ["stranger@example.com", "member@example.com", "leaver@example.com"] {
            let user = doc! { "_id": ObjectId::new(), "email": email, "role_ids": [], "grid_ids": [] };
            world.collection("users").insert_one(user).await?;
        }
        for email in ["member@example.com", "leaver@example.com"] {
            post("/v1/grids/main/users", json!({ "email": email })).await?;
        }
        let token = async |email: &str, kind: &str, seconds: i64| {
            let body =
                json!({ "response_type": kind, "scope": "user", "user": email, "expires_in": seconds });
            post("/oauth2/authorize", body).await
        };
        let text = |value: &Value, key: &str| value[key].as_str().map(str::to_owned).context("a text");
        let stranger = text(&token("stranger@example.com", "token", 0).await?, "access_token")?;
        let member = text(&token("member@example.com", "token", 0).await?, "access_token")?;
        let mut spare = Vec::new();
        for _ in 0..3 {
            spare.push(token("stranger@example.com", "token", 0).await?);
        }
        let code = text(&token("stranger@example.com", "code", 600).await?, "code")?;
        let refresh = text(&token("stranger@example.com", "token", 600).await?, "refresh_token")?;
        for name in ["kept", "removed"] {
            post("/v1/grids/main/secrets", json!({ "name": name, "value": "v" })).await?;
            post("/v1/volumes/main", json!({ "name": name, "scope": "grid", "driver": "local" })).await?;
            let registry = json!({ "url": format!("http://{name}:5000"), "username": "u", "password": "p" });
            post("/v1/grids/main/external_registries", registry).await?;
            post("/v1/grids/main/nodes", json!({ "name": name, "token": format!("token-of-node-{name}") }))
                .await?;
        }
        let grid = world.collection("grids").find_one(doc! { "name": "main" }).await?.context("a grid")?;
        let grid = grid.get_object_id("_id")?;
        for domain in ["kept.example.com", "removed.example.com"] {
            let row = doc! { "grid_id": grid, "domain": domain, "_state": "created", "authorization_type": "dns-01" };
            world.collection("grid_domain_authorizations").insert_one(row).await?;
        }
        world
            .collection("host_nodes")
            .update_one(doc! { "name": "kept" }, doc! { "$set": { "node_id": "AA:BB" } })
            .await?;
        let certificate = certificate()?;
        let import = Request::new(Method::PUT, "/v1/certificates/main/shop.example.com")
            .token(&admin)
            .json(&certificate);
        ensure!(world.ask(import).await?.status == 201, "the certificate was not imported");
        let [deploy, open_deploy, instance] = used(world, grid).await?.map(ObjectId::to_hex);
        let stack_deploy = stacks(world, grid, &deploy).await?.to_hex();
        let stack =
            world.collection("stacks").find_one(doc! { "grid_id": grid }).await?.context("a stack")?;
        let event = doc! {
            "grid_id": grid, "stack_id": stack.get_object_id("_id")?, "severity": 1, "type": "scheduler",
            "msg": "something", "created_at": mongodb::bson::DateTime::from_millis(1_700_000_000_000),
        };
        world.collection("event_logs").insert_one(event).await?;
        Ok(Self {
            admin,
            stranger,
            member,
            spare,
            code,
            refresh,
            certificate,
            deploy,
            open_deploy,
            instance,
            stack_deploy,
        })
    }
}

/// A service that uses a secret, a volume and a certificate of the grid, and another service; with two deploys and an
/// instance.
async fn used(world: &World, grid: ObjectId) -> Result<[ObjectId; 3]> {
    for (collection, row) in [
        ("volumes", doc! { "grid_id": grid, "name": "used", "scope": "grid", "driver": "local" }),
        ("certificates", doc! { "grid_id": grid, "subject": "used.example.com" }),
        ("grid_secrets", doc! { "grid_id": grid, "name": "used" }),
    ] {
        world.collection(collection).insert_one(row).await?;
    }
    let volume = world.collection("volumes").find_one(doc! { "name": "used" }).await?.context("a volume")?;
    let stack = doc! { "_id": ObjectId::new(), "grid_id": grid, "name": "shop" };
    let [id, linked, deploy, open_deploy, instance] = std::array::from_fn(|_| ObjectId::new());
    let service = |id: ObjectId, name: &str| -> Result<Document> {
        Ok(doc! {
            "_id": id, "grid_id": grid, "stack_id": stack.get_object_id("_id")?, "name": name, "revision": 1,
            "image_name": "redis:3.0", "state": "initialized", "created_at": mongodb::bson::DateTime::now(),
        })
    };
    let mut web = service(id, "web")?;
    web.extend(doc! {
        "secrets": [{ "secret": "used", "name": "X" }],
        "certificates": [{ "subject": "used.example.com" }],
        "service_volumes": [{ "volume_id": volume.get_object_id("_id")?, "path": "/data" }],
        "grid_service_links": [{ "alias": "l", "linked_grid_service_id": linked }],
    });
    world.collection("grid_services").insert_many([web, service(linked, "linked")?]).await?;
    world.collection("stacks").insert_one(stack).await?;
    let now = mongodb::bson::DateTime::now();
    let finished =
        doc! { "_id": deploy, "grid_service_id": id, "finished_at": now, "_deploy_state": "success" };
    let open =
        doc! { "_id": open_deploy, "grid_service_id": id, "created_at": now, "_deploy_state": "created" };
    world
        .collection("deploy_claims")
        .insert_one(doc! { "_id": id, "epoch": 1_i64, "master": "f".repeat(32) })
        .await?;
    world.collection("grid_service_deploys").insert_many([finished, open]).await?;
    let row =
        doc! { "_id": instance, "grid_service_id": id, "instance_number": 1, "desired_state": "running" };
    world.collection("grid_service_instances").insert_one(row).await?;
    Ok([deploy, open_deploy, instance])
}

/// Two stacks of which one links to the other, and a deploy of the one above to which this deploy of its service belongs.
async fn stacks(world: &World, grid: ObjectId, deploy: &str) -> Result<ObjectId> {
    let [base, user, db, stack_deploy] = std::array::from_fn(|_| ObjectId::new());
    let stack = |id: ObjectId, name: &str| doc! { "_id": id, "grid_id": grid, "name": name };
    world.collection("stacks").insert_many([stack(base, "base"), stack(user, "user")]).await?;
    let service = |stack: ObjectId, name: &str| {
        doc! {
            "grid_id": grid, "stack_id": stack, "name": name, "revision": 1, "image_name": "redis:3.0",
            "state": "initialized",
        }
    };
    let (mut linked, mut linking) = (service(base, "db"), service(user, "web"));
    linked.insert("_id", db);
    linking.insert("grid_service_links", vec![doc! { "alias": "db", "linked_grid_service_id": db }]);
    world.collection("grid_services").insert_many([linked, linking]).await?;
    let shop = world.collection("stacks").find_one(doc! { "name": "shop" }).await?.context("a stack")?;
    let row = doc! {
        "_id": stack_deploy, "stack_id": shop.get_object_id("_id")?, "_deploy_state": "success",
        "created_at": mongodb::bson::DateTime::now(),
    };
    world.collection("stack_deploys").insert_one(row).await?;
    let belongs = doc! { "$set": { "stack_deploy_id": stack_deploy } };
    let deploys = world.collection("grid_service_deploys");
    deploys.update_one(doc! { "_id": ObjectId::parse_str(deploy)? }, belongs).await?;
    Ok(stack_deploy)
}

/// The fields with which the recorded command line imported a certificate.
fn certificate() -> Result<Value> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/http/05-registry-volume-certificate.jsonl");
    for line in fs::read_to_string(path)?.lines() {
        let command: Map<String, Value> = serde_json::from_str(line)?;
        for call in command["calls"].as_array().into_iter().flatten() {
            let request = &call["request"];
            if request["method"] == "PUT" && request["path"] == "/v1/certificates/main/shop.example.com" {
                return Ok(serde_json::from_str(request["body"].as_str().unwrap_or_default())?);
            }
        }
    }
    anyhow::bail!("no import was recorded")
}
