//! What was recorded of the original master, asked again: each answer must be the same, but for what is made anew
//! each time (ids, tokens, times), which must at least be consistent.

mod allowed;
mod story;
mod unify;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kontena_testkit::agent::{Agent, Settings, Token};
use mongodb::bson::{DateTime, doc};
use reqwest::Method;
use serde_json::json;

use crate::host::{Host, Reports};
use crate::takeover;
use crate::way_back;
use crate::world::{Request, World};
use story::{Part, Story};

/// The token under which the administrator's calls were recorded.
const ADMIN_TOKEN: &str = "eda6402ffba41c40b496f9c25dc89d3e871b23c1a140edaeaaa095fd8c66eb5a";
pub(crate) const GRID_TOKEN: &str = "maingridtoken00";
const RECONNECT: &str = "13-after-reconnect";
/// What was recorded before the first host came.
const BEFORE: [&str; 5] = ["01-login", "02-grids", "03-nodes", "04-vault", "05-registry-volume-certificate"];
/// What came after this was not there yet when logs were read, in milliseconds since 1970.
const LOGS_READ: i64 = 1_795_371_990_000;

/// Moments of the story of the reconnect, in its seconds.
mod at {
    pub(super) const TOKEN_CLEARED: f64 = 81.7;
    pub(super) const DATABASE_SAVED: f64 = 82.5;
    pub(super) const STACK_REMOVED: f64 = 87.0;
    pub(super) const SERVICE_REMOVED: f64 = 88.9;
    pub(super) const AGENT_STOPPED: f64 = 93.0;
}

/// A world in which everything happened that was recorded before the first host came.
async fn begun() -> Result<(World, Story)> {
    let world = World::new().await?;
    let mut story = Story::new();
    for name in BEFORE {
        story.play(&world, name, Part::PLAIN).await?;
    }
    Ok((world, story))
}

#[tokio::test]
async fn the_recorded_calls_are_answered_as_the_original_answered_them() -> Result<()> {
    const ONLINE: [&str; 3] = ["06-node-online", "07-etcd", "11-config-users-tokens"];
    let (world, mut story) = begun().await?;
    let _host = Host::connect(&world, 0, GRID_TOKEN, Reports::All).await?;
    for name in ONLINE {
        story.play(&world, name, Part::PLAIN).await?;
    }
    let written = ["users", "access_tokens", "grids", "host_nodes", "registries", "volumes", "grid_secrets"];
    way_back::check(&world, &written).await?;
    story.conclude(&[BEFORE.as_slice(), &ONLINE].concat())
}

/// The recorded database with its host, as it was when it was saved.
async fn inherited() -> Result<(World, Host)> {
    let world = takeover::recorded().await?;
    let host = Host::connect(&world, 0, GRID_TOKEN, Reports::Host).await?;
    // The node was given up with the master that held it, and its containers with it. A real agent reports them all
    // when it is back.
    let seen = doc! { "$set": { "deleted_at": null } };
    world.collection("containers").update_many(doc! {}, seen).await?;
    Ok((world, host))
}

#[tokio::test]
async fn the_recorded_database_is_shown_as_the_original_showed_it() -> Result<()> {
    let mut story = Story::new();
    what_led_to_it(&mut story).await?;
    what_followed(&mut story).await?;
    story.conclude(&["12-removal", RECONNECT])
}

async fn what_led_to_it(story: &mut Story) -> Result<()> {
    let (world, host) = inherited().await?;
    lost_things(&world).await?;
    story.play(&world, "12-removal", Part::FORM).await?;
    placed_anew(&world).await?;
    story.play(&world, RECONNECT, Part::FORM.until(at::TOKEN_CLEARED)).await?;
    drop(host);
    let _host = Host::connect(&world, 0, GRID_TOKEN, Reports::Host).await?;
    story.play(&world, RECONNECT, Part::FORM.from(at::TOKEN_CLEARED).until(at::DATABASE_SAVED)).await
}

async fn what_followed(story: &mut Story) -> Result<()> {
    let (world, host) = inherited().await?;
    story.play(&world, RECONNECT, Part::EXACT.from(at::DATABASE_SAVED).until(at::STACK_REMOVED)).await?;
    // How long a removal takes is a matter of luck.
    let stack = |method| world.ask(Request::new(method, "/v1/stacks/main/shop").token(ADMIN_TOKEN));
    let removed = stack(Method::DELETE).await?;
    ensure!(removed.status == 200 && removed.text == "{}", "{removed:?}");
    let deadline = Instant::now() + Duration::from_secs(30);
    while stack(Method::GET).await?.status != 404 {
        ensure!(Instant::now() < deadline, "the stack is not removed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The agent destroys what is not listed any more, and tells it.
    let pods = doc! { "grid_service_id": { "$ne": null } };
    let gone = doc! { "$currentDate": { "deleted_at": true } };
    world.collection("containers").update_many(pods, gone).await?;
    story.play(&world, RECONNECT, Part::EXACT.from(at::SERVICE_REMOVED).until(at::AGENT_STOPPED)).await?;
    drop(host);
    status_of_core_1(&world, ADMIN_TOKEN, "offline").await?;
    story.play(&world, RECONNECT, Part::EXACT.from(at::AGENT_STOPPED)).await
}

/// Gives each instance its node, as the next deploy of its service does.
async fn placed_anew(world: &World) -> Result<()> {
    let node = world.collection("host_nodes").find_one(doc! { "name": "core-1" }).await?.context("a node")?;
    let placed = doc! { "$set": { "host_node_id": node.get_object_id("_id")? } };
    world.collection("grid_service_instances").update_many(doc! { "host_node_id": null }, placed).await?;
    Ok(())
}

/// Makes anew what was removed before the database was saved.
async fn lost_things(world: &World) -> Result<()> {
    let post = |path: &str, body: serde_json::Value| {
        world.ask(Request::new(Method::POST, path).token(ADMIN_TOKEN).json(&body))
    };
    let grid = post("/v1/grids", json!({ "name": "tokless" })).await?;
    let fancy = json!({ "name": "fancy", "image": "busybox:latest", "stateful": true });
    let service = post("/v1/grids/main/services", fancy).await?;
    ensure!(grid.status == 201 && service.status == 201, "{grid:?} {service:?}");
    let user = doc! { "email": "dev@example.com", "name": "dev", "grid_ids": [], "role_ids": [] };
    world.collection("users").insert_one(user).await?;
    let dev = json!({ "email": "dev@example.com" });
    let member = post("/v1/grids/side/users", dev).await?;
    let role = post("/v1/users/dev@example.com/roles", json!({ "role": "grid_admin" })).await?;
    ensure!(member.status == 201 && role.status == 201, "{member:?} {role:?}");
    Ok(())
}

#[tokio::test]
async fn recorded_logs_and_commands_are_answered_as_the_original_answered_them() -> Result<()> {
    let (world, _host) = inherited().await?;
    let later = doc! { "created_at": { "$gt": DateTime::from_millis(LOGS_READ) } };
    for log in ["container_logs", "event_logs", "audit_logs"] {
        world.collection(log).delete_many(later.clone()).await?;
    }
    let mut story = Story::new();
    story.play(&world, "10-container-exec-logs", Part::FORM).await?;
    story.conclude(&["10-container-exec-logs"])
}

#[tokio::test]
async fn the_recorded_calls_of_services_are_answered_as_the_original_answered_them() -> Result<()> {
    let (world, mut story) = begun().await?;
    let _agent = core_1(&world, &story).await?;
    story.play(&world, "09-service", Part::SERVICES).await?;
    way_back::check(&world, &["grid_services", "grid_service_deploys", "grid_service_instances"]).await?;
    story.conclude(&["09-service"])
}

#[tokio::test]
async fn the_recorded_calls_of_stacks_are_answered_as_the_original_answered_them() -> Result<()> {
    let (world, mut story) = begun().await?;
    let _agent = core_1(&world, &story).await?;
    story.play(&world, "08-stack", Part::STACKS).await?;
    way_back::check(&world, &["stacks", "stack_revisions", "stack_deploys", "grid_services"]).await?;
    story.conclude(&["08-stack"])
}

/// The recorded node, as far as deploys need it.
async fn core_1(world: &World, story: &Story) -> Result<Agent> {
    let token = story.stands_for(ADMIN_TOKEN);
    let address = world.masters[0].url().trim_start_matches("http://").to_owned();
    let mut settings = Settings::new(vec![address], Token::Grid(GRID_TOKEN.to_owned()), 0);
    settings.name = "core-1".into();
    settings.labels = vec!["zone=a".to_owned()];
    let agent = Agent::start(settings);
    status_of_core_1(world, &token, "online").await?;
    Ok(agent)
}

async fn status_of_core_1(world: &World, token: &str, status: &str) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let node = Request::new(Method::GET, "/v1/nodes/main/core-1").token(token);
        if world.ask(node).await?.json()["status"] == status {
            return Ok(());
        }
        ensure!(Instant::now() < deadline, "the node does not become {status}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
