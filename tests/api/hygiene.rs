//! What connections may cost, and how answers travel.

use std::io::Read;
use std::time::Duration;

use anyhow::{Context, Result};
use flate2::read::GzDecoder;
use mongodb::bson::{doc, oid::ObjectId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::routes::Scene;
use crate::world::World;

const PATIENCE: Duration = Duration::from_secs(40);

async fn connect(world: &World) -> Result<TcpStream> {
    Ok(TcpStream::connect(world.masters[0].url().replace("http://", "")).await?)
}

/// Everything until the master ends the connection.
async fn rest(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut read = Vec::new();
    // A reset is an end too.
    let _reset = timeout(PATIENCE, stream.read_to_end(&mut read)).await.context("it was not ended")?;
    Ok(read)
}

#[tokio::test]
async fn who_sends_its_request_drop_by_drop_is_not_waited_for() -> Result<()> {
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let begun = Instant::now();
    let head = async {
        let mut stream = connect(&world).await?;
        stream.write_all(b"GET /v1/ping HTTP/1.1\r\nHost: x\r\n").await?;
        // Each header in time, and their end never.
        let (mut reading, mut writing) = stream.split();
        let drops = async {
            loop {
                sleep(Duration::from_millis(500)).await;
                if writing.write_all(b"X-Drop: 1\r\n").await.is_err() {
                    return;
                }
            }
        };
        let mut read = Vec::new();
        tokio::select! {
            ended = timeout(PATIENCE, reading.read_to_end(&mut read)) => drop(ended.context("it was not ended")?),
            () = drops => {}
        }
        Ok::<_, anyhow::Error>(begun.elapsed())
    };
    let silent = async {
        let mut stream = connect(&world).await?;
        rest(&mut stream).await?;
        Ok::<_, anyhow::Error>(begun.elapsed())
    };
    let body = async {
        let mut stream = connect(&world).await?;
        let request = format!(
            "POST /v1/grids/main/secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 50\r\n\r\n{{",
            scene.admin
        );
        stream.write_all(request.as_bytes()).await?;
        let mut answer = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut answer)).await.context("no answer")??;
        assert_eq!(&answer, b"HTTP/1.1 408");
        Ok::<_, anyhow::Error>(begun.elapsed())
    };
    let (head, silent, body) = tokio::try_join!(head, silent, body)?;
    for (what, time, most) in [("head", head, 20), ("silence", silent, 20), ("body", body, 25)] {
        assert!(time < Duration::from_secs(most), "the {what} was waited for {time:?}");
    }
    // A head that is larger than any.
    let mut stream = connect(&world).await?;
    stream.write_all(b"GET /v1/ping HTTP/1.1\r\nHost: x\r\n").await?;
    let line = format!("X-Large: {}\r\n", "x".repeat(8_000));
    for _ in 0..40 {
        if stream.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    let answer = rest(&mut stream).await?;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{:?}", answer.get(..20));
    assert!(begun.elapsed() < PATIENCE);
    Ok(())
}

/// Head and body of an answer with a length.
async fn get(world: &World, path: &str, token: &str, accept: &str) -> Result<(String, Vec<u8>)> {
    let mut stream = connect(world).await?;
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nAccept-Encoding: {accept}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let answer = rest(&mut stream).await?;
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").context("no head")?;
    Ok((String::from_utf8_lossy(&answer[..end]).to_lowercase(), answer[end + 4..].to_vec()))
}

#[tokio::test]
async fn large_answers_are_compressed_for_those_who_ask() -> Result<()> {
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let grid = world.collection("grids").find_one(doc! { "name": "other" }).await?.context("a grid")?;
    let nodes = (1..=100).map(|number: i32| {
        doc! {
            "_id": ObjectId::new(), "grid_id": grid.get_object_id("_id").ok(), "name": format!("n{number}"),
            "node_number": number, "private_ip": format!("10.0.0.{number}"),
        }
    });
    world.collection("host_nodes").insert_many(nodes).await?;
    let path = "/v1/grids/other/nodes";
    let (plain_head, plain) = get(&world, path, &scene.admin, "identity").await?;
    assert!(!plain_head.contains("content-encoding"));
    let (head, gzipped) = get(&world, path, &scene.admin, "gzip").await?;
    assert!(head.contains("content-encoding: gzip") && head.contains("vary: accept-encoding"), "{head}");
    assert!(head.contains(&format!("content-length: {}", gzipped.len())), "{head}");
    let mut unpacked = Vec::new();
    GzDecoder::new(gzipped.as_slice()).read_to_end(&mut unpacked)?;
    assert!(unpacked == plain, "another body");
    assert!(gzipped.len() * 5 < plain.len(), "{} of {} bytes", gzipped.len(), plain.len());
    let (head, _) = get(&world, "/v1/user", &scene.admin, "gzip").await?;
    assert!(!head.contains("content-encoding"), "what is small stays as it is");
    // A followed log has its chunks as they are.
    let mut stream = connect(&world).await?;
    let request = format!(
        "GET /v1/grids/main/event_logs?follow=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Accept-Encoding: gzip\r\n\r\n",
        scene.admin
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 4096];
    let mut length = 0;
    while !String::from_utf8_lossy(&answer[..length]).contains("\"something\"") {
        let read = timeout(PATIENCE, stream.read(&mut answer[length..])).await.context("silence")??;
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer[..length]));
        length += read;
    }
    assert!(!String::from_utf8_lossy(&answer[..length]).to_lowercase().contains("content-encoding"));
    Ok(())
}
