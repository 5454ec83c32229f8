//! What administrators do with masters and their configuration, and that it is noted; the way in when no other is left;
//! tokens of masters without a vault key.

use std::time::Duration;

use anyhow::{Context, Result};
use kontena_core::token::Digester;
use kontena_testkit::master::{Master, TOKEN};
use kontena_testkit::mongod::shared;
use mongodb::bson::{Document, doc};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::routes::Scene;
use crate::world::{Request, VAULT_KEY, World};

const PATIENCE: Duration = Duration::from_secs(20);

async fn noted(world: &World, event: &str) -> Result<Document> {
    let entry = world.collection("audit_logs").find_one(doc! { "event_name": event }).await?;
    entry.with_context(|| format!("{event} was not noted"))
}

#[tokio::test]
async fn who_sends_a_master_away_is_noted() -> Result<()> {
    let world = World::on(shared().await?.database(), 2).await?;
    world.seeded().await?;
    world.sees_masters(2).await?;
    let admin = world.login().await?;
    let begun = Instant::now();
    // Whichever leads.
    let stepped_down = loop {
        let mut done = None;
        for master in [0, 1] {
            let step_down = Request::new(Method::POST, "/v1/cluster/step-down").token(TOKEN);
            if world.ask_of(master, step_down).await?.status == StatusCode::NO_CONTENT {
                done = Some(master);
            }
        }
        match done {
            Some(master) => break master,
            None => anyhow::ensure!(begun.elapsed() < PATIENCE, "nobody stepped down"),
        }
        sleep(Duration::from_millis(100)).await;
    };
    let entry = noted(&world, "step down").await?;
    assert_eq!(entry.get_str("resource_type")?, "Master");
    assert_eq!(entry.get_str("resource_name")?, format!("master-{}", stepped_down + 1));
    assert_eq!(entry.get_str("event_description")?, "with the administration token");
    assert_eq!(entry.get_str("source_ip")?, "127.0.0.1");
    assert!(!entry.contains_key("user_identity"));

    let cluster = world.ask(Request::new(Method::GET, "/v1/cluster").token(&admin)).await?.json();
    let other =
        cluster["masters"].as_array().context("masters")?.iter().find(|row| row["name"] == "master-2");
    let id = other.context("the other")?["id"].as_str().context("an id")?.to_owned();
    let drain = Request::new(Method::POST, format!("/v1/cluster/masters/{id}/drain")).token(&admin);
    assert_eq!(world.ask(drain).await?.status, StatusCode::ACCEPTED);
    let entry = noted(&world, "drain").await?;
    assert_eq!(entry.get_document("user_identity")?.get_str("email")?, "admin");
    assert_eq!((entry.get_str("resource_id")?, entry.get_str("resource_name")?), (id.as_str(), "master-2"));
    // What is noted is shown.
    let shown = world.ask(Request::new(Method::GET, "/v1/audit_logs").token(&admin)).await?.json();
    let events = shown["logs"].as_array().context("logs")?.iter();
    assert!(events.filter(|entry| entry["resource_type"] == "Master").count() >= 2);
    Ok(())
}

/// How often a master has looked what a database lacks, and completed it.
async fn seedings(master: &Master) -> Result<u64> {
    let cluster = master.get("/v1/cluster").await?;
    let seeding = cluster["duties"].as_array().into_iter().flatten().find(|duty| duty["name"] == "seeding");
    let count = |key: &str| seeding.and_then(|duty| duty[key].as_u64()).unwrap_or(0);
    Ok(count("runs") - count("failures"))
}

/// Has one master leave the lead to another, until that has looked what is missing.
async fn hand_over(from: &Master, to: &Master) -> Result<()> {
    let (before, begun) = (seedings(to).await?, Instant::now());
    while from.ask(Method::POST, "/v1/cluster/step-down").await?.0 != StatusCode::NO_CONTENT {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{} does not lead:\n{}", from.name(), from.log_tail());
        sleep(Duration::from_millis(50)).await;
    }
    while seedings(to).await? == before {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{} does not lead:\n{}", to.name(), to.log_tail());
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

#[tokio::test]
async fn what_is_removed_from_the_configuration_comes_back_with_the_next_start_and_not_before() -> Result<()>
{
    let mut world = World::new().await?;
    world.acting().await?;
    let admin = world.login().await?;
    world.join("master-2").await?;
    world.sees_masters(2).await?;
    hand_over(&world.masters[0], &world.masters[1]).await?;
    let path = "/v1/config/server.telemetry_enabled";
    let shown = || world.ask(Request::new(Method::GET, path).token(&admin));
    assert_eq!(shown().await?.status, StatusCode::OK, "it is a default");
    let removed = world.ask(Request::new(Method::DELETE, path).token(&admin)).await?;
    assert_eq!(removed.status, StatusCode::CREATED, "{}", removed.text);
    hand_over(&world.masters[1], &world.masters[0]).await?;
    assert_eq!(shown().await?.status, StatusCode::NOT_FOUND, "it was removed");

    assert!(world.masters[0].stop(PATIENCE).await?.success());
    let begun = Instant::now();
    while world.masters[1].acting_term().await.is_none() {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "nobody leads:\n{}", world.masters[1].log_tail());
        sleep(Duration::from_millis(50)).await;
    }
    world.masters[0].launch().await?;
    hand_over(&world.masters[1], &world.masters[0]).await?;
    let shown = world.ask(Request::new(Method::GET, path).token(&admin)).await?;
    assert_eq!(shown.status, StatusCode::OK, "it is a default of each start");
    Ok(())
}

#[tokio::test]
async fn when_nobody_can_log_in_the_host_still_lets_its_administrator_in() -> Result<()> {
    let world = World::new().await?;
    let printed = world.masters[0].run(&["token", "create", "--admin", "--expires-in", "600"])?;
    assert!(printed.status.success(), "{printed:?}");
    let token = String::from_utf8(printed.stdout)?;
    let user = world.ask(Request::new(Method::GET, "/v1/user").token(token.trim())).await?;
    assert_eq!((user.status, &user.json()["email"]), (StatusCode::OK, &json!("admin")));
    let own = world.ask(Request::new(Method::GET, "/oauth2/tokens").token(token.trim())).await?.json();
    let made =
        own["tokens"].as_array().context("tokens")?.iter().find(|token| token["description"].is_string());
    let seconds = made.context("the token")?["expires_in"].as_i64();
    assert!(seconds.is_some_and(|seconds| (500..=600).contains(&seconds)), "{seconds:?}");
    let entry = noted(&world, "create admin token").await?;
    let way = entry.get_str("event_description")?;
    assert!(way.starts_with("over the administration socket by the user "), "{way}");
    assert!(!entry.to_string().contains(token.trim()));
    // Not over the network, whoever asks.
    for offered in [TOKEN, token.trim()] {
        let asked = Request::new(Method::POST, "/v1/cluster/admin-tokens").token(offered).json(&json!({}));
        let status = world.ask(asked).await?.status;
        assert!(matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND), "{status}");
    }
    assert!(!world.masters[0].run(&["token", "create"])?.status.success(), "--admin must be said");
    Ok(())
}

#[tokio::test]
async fn without_a_vault_key_tokens_have_a_key_of_their_own_which_outlives_the_change_to_one() -> Result<()> {
    let mut world = World::on(shared().await?.database(), 0).await?;
    world.join_bare("plain-1").await?;
    world.join_bare("plain-2").await?;
    world.seeded().await?;
    let token = world.login().await?;
    let user = |master, token: &str| world.ask_of(master, Request::new(Method::GET, "/v1/user").token(token));
    for master in [0, 1] {
        assert_eq!(user(master, &token).await?.status, StatusCode::OK);
    }
    let row = world.collection("access_tokens").find_one(doc! { "token_type": "bearer" }).await?;
    let stored = row.context("a token")?.get_str("token")?.to_owned();
    for everybody_knows in [b"".as_slice(), &[0; 32], VAULT_KEY.as_bytes()] {
        assert_ne!(Digester::new(everybody_knows).digest(&token).as_str(), stored);
    }
    let keys = world.collection("cluster").find(doc! { "_id": "token_key" }).await?;
    assert_eq!(futures_util::TryStreamExt::try_collect::<Vec<Document>>(keys).await?.len(), 1);
    // The key is no part of the configuration that clients see.
    let config = world.ask(Request::new(Method::GET, "/v1/config").token(&token)).await?.json();
    assert!(config.as_object().is_some_and(|config| config.keys().all(|key| !key.contains("token"))));

    world.join("with-a-vault").await?;
    let user = |token: &str| world.ask_of(2, Request::new(Method::GET, "/v1/user").token(token));
    assert_eq!(user(&token).await?.status, StatusCode::OK, "who was logged in stays so");
    let wish = json!({ "response_type": "token", "scope": "user", "expires_in": 600 });
    let authorize = Request::new(Method::POST, "/oauth2/authorize").token(&token).json(&wish);
    let made: Value = world.ask_of(2, authorize).await?.json();
    let made = made["access_token"].as_str().context("a token")?.to_owned();
    assert_eq!(user(&made).await?.status, StatusCode::OK);
    let digest = Digester::new(VAULT_KEY.as_bytes()).digest(&made);
    let kept = world.collection("access_tokens").count_documents(doc! { "token": digest.as_str() }).await?;
    assert_eq!(kept, 1, "new tokens are kept by the vault key");
    Ok(())
}

#[tokio::test]
async fn what_was_asked_for_is_done_though_its_client_has_left() -> Result<()> {
    use tokio::io::AsyncWriteExt;
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let address = world.masters[0].url().replace("http://", "");
    for number in 0..20 {
        let body = json!({ "name": format!("left-{number}"), "value": "x" }).to_string();
        let request = format!(
            "POST /v1/grids/main/secrets HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n{body}",
            scene.admin,
            body.len()
        );
        let mut stream = tokio::net::TcpStream::connect(&address).await?;
        stream.write_all(request.as_bytes()).await?;
        // Long enough for the request to be taken in, too short for its answer.
        sleep(Duration::from_millis(number % 5)).await;
    }
    let begun = Instant::now();
    loop {
        let left = doc! { "name": { "$regex": "^left-" } };
        let made = world.collection("grid_secrets").count_documents(left).await?;
        let left = doc! { "resource_name": { "$regex": "^left-" } };
        let noted = world.collection("audit_logs").count_documents(left).await?;
        if made == noted && begun.elapsed() > Duration::from_secs(1) {
            break;
        }
        anyhow::ensure!(begun.elapsed() < PATIENCE, "{made} were made and {noted} noted");
        sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}
