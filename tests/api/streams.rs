//! Logs, also those that are followed, as the command line reads them; and who may administer without a token of the original.

use std::time::Duration;

use anyhow::{Context, Result};
use mongodb::bson::{DateTime, doc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::routes::Scene;
use crate::world::{Request, World};

const PATIENCE: Duration = Duration::from_secs(10);

/// The chunks of an endless answer.
struct Chunks {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Chunks {
    async fn open(world: &World, path: &str, token: &str) -> Result<Self> {
        let mut stream = TcpStream::connect(world.masters[0].url().replace("http://", "")).await?;
        let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        let mut chunks = Self { stream, buffer: Vec::new() };
        let head = chunks.line().await?.context("no answer")?;
        assert!(head.contains("200"), "{head}");
        while chunks.line().await?.is_some_and(|line| !line.is_empty()) {}
        Ok(chunks)
    }

    /// None: the connection ended.
    async fn line(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).take(end).collect();
                return Ok(Some(String::from_utf8(line)?));
            }
            if timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await.context("silence")?? == 0 {
                return Ok(None);
            }
        }
    }

    /// None: the body ended in the middle.
    async fn chunk(&mut self) -> Result<Option<String>> {
        let Some(size) = self.line().await? else { return Ok(None) };
        assert_ne!(size, "0", "the body must have no proper end");
        let text = self.line().await?.context("half a chunk")?;
        assert_eq!(text.len(), usize::from_str_radix(&size, 16)?);
        Ok(Some(text))
    }

    /// The next chunk that is no sign of life.
    async fn entry(&mut self) -> Result<Value> {
        let entry = async {
            loop {
                let chunk = self.chunk().await?.context("the end")?;
                if chunk != " " {
                    return Ok(serde_json::from_str(&chunk)?);
                }
            }
        };
        timeout(PATIENCE, entry).await.context("nothing but signs of life")?
    }
}

#[tokio::test]
async fn a_followed_log_has_one_object_a_chunk_signs_of_life_and_no_proper_end() -> Result<()> {
    let mut world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let mut chunks =
        Chunks::open(&world, "/v1/grids/main/event_logs?follow=1&limit=100", &scene.admin).await?;
    assert_eq!(chunks.entry().await?["message"], "something");
    assert_eq!(chunks.chunk().await?.as_deref(), Some(" "), "a sign of life after the batch");
    let grid = world.collection("grids").find_one(doc! { "name": "main" }).await?.context("a grid")?;
    for number in 0..5 {
        let event = doc! {
            "grid_id": grid.get_object_id("_id")?, "severity": 1, "type": "t", "msg": format!("event {number}"),
            "created_at": DateTime::now(),
        };
        world.collection("event_logs").insert_one(event).await?;
    }
    for number in 0..5 {
        assert_eq!(chunks.entry().await?["message"], format!("event {number}"));
    }
    assert!(world.masters[0].stop(PATIENCE).await?.success());
    while chunks.chunk().await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn a_followed_log_with_nothing_to_find_shows_signs_of_life() -> Result<()> {
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    for log in ["event_logs", "container_logs"] {
        for asked in ["since=yesterday", "from=xyz"] {
            let path = format!("/v1/grids/main/{log}?follow=1&{asked}");
            let mut chunks = Chunks::open(&world, &path, &scene.admin).await?;
            for _ in 0..3 {
                assert_eq!(chunks.chunk().await?.as_deref(), Some(" "), "{path}");
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn lines_of_a_service_are_found_by_its_name_alone_in_any_stack_and_events_are_not() -> Result<()> {
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let now = DateTime::now();
    // Two stacks of the scene have a service of this name, and `shop` has another one beside it.
    for (stack, name) in [("shop", "web"), ("user", "web"), ("shop", "linked")] {
        let row = world.collection("stacks").find_one(doc! { "name": stack }).await?.context("a stack")?;
        let of = doc! { "stack_id": row.get_object_id("_id")?, "name": name };
        let service = world.collection("grid_services").find_one(of).await?.context("a service")?;
        let (grid, service) = (service.get_object_id("grid_id")?, service.get_object_id("_id")?);
        let line = doc! {
            "grid_id": grid, "grid_service_id": service, "name": format!("{stack}.{name}-1"), "type": "stdout",
            "data": "hello", "created_at": now,
        };
        world.collection("container_logs").insert_one(line).await?;
        let event = doc! {
            "grid_id": grid, "grid_service_id": service, "severity": 1, "type": "t", "msg": "hello",
            "created_at": now,
        };
        world.collection("event_logs").insert_one(event).await?;
    }
    let found = async |log: &str, services: &str| -> Result<Vec<Value>> {
        let path = format!("/v1/grids/main/{log}?services={services}");
        let answer = world.ask(Request::new(Method::GET, path).token(&scene.admin)).await?;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        let logs = answer.json()["logs"].as_array().context("no logs")?.clone();
        Ok(logs.into_iter().map(|entry| entry["name"].clone()).collect())
    };
    for (services, names) in [
        ("web", vec!["shop.web-1", "user.web-1"]),
        ("linked", vec!["shop.linked-1"]),
        ("shop/web", vec!["shop.web-1"]),
        ("linked,user/web", vec!["user.web-1", "shop.linked-1"]),
        ("base/web,nothing", vec![]),
    ] {
        assert_eq!(found("container_logs", services).await?, names, "{services}");
    }
    // Events are asked for by the whole path only.
    assert_eq!(found("event_logs", "linked").await?.len(), 0);
    assert_eq!(found("event_logs", "shop/linked").await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn master_administrators_may_look_at_the_cluster_and_others_may_not() -> Result<()> {
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let cluster = |token: &str| world.ask(Request::new(Method::GET, "/v1/cluster").token(token));
    assert_eq!(cluster(&scene.admin).await?.status, StatusCode::OK);
    assert_eq!(cluster(&scene.member).await?.status, StatusCode::FORBIDDEN);
    assert_eq!(cluster(&"0".repeat(64)).await?.status, StatusCode::FORBIDDEN);
    // Whoever can connect to the socket needs no token.
    let local = kontena_testkit::http::client().unix_socket(world.masters[0].admin_socket()).build()?;
    let user: Value = local.get("http://local/v1/user").send().await?.json().await?;
    assert_eq!(user["email"], json!("admin"));
    Ok(())
}
