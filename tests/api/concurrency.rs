//! Two masters at once: what may happen once happens once, and what one ended is ended on the other.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::Result;
use kontena_testkit::mongod::shared;
use mongodb::bson::doc;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::world::{Answer, CODE, Request, World};

const TIMES: usize = 1_000;
const AT_ONCE: usize = 50;

async fn two() -> Result<Arc<World>> {
    let world = World::on(shared().await?.database(), 2).await?;
    world.seeded().await?;
    Ok(Arc::new(world))
}

/// Sends the same request so many times, to both masters in turn; returns the answers.
async fn repeat(world: &Arc<World>, times: usize, request: impl Fn(usize) -> Request) -> Result<Vec<Answer>> {
    let (mut running, mut answers) = (JoinSet::new(), Vec::with_capacity(times));
    for number in 0..times {
        if running.len() >= AT_ONCE
            && let Some(ended) = running.join_next().await
        {
            answers.push(ended??);
        }
        let (world, request) = (Arc::clone(world), request(number));
        running.spawn(async move { world.ask_of(number % 2, request).await });
    }
    while let Some(ended) = running.join_next().await {
        answers.push(ended??);
    }
    Ok(answers)
}

fn won(answers: &[Answer]) -> Vec<Value> {
    let won = |answer: &&Answer| answer.status == StatusCode::CREATED;
    for lost in answers.iter().filter(|answer| !won(answer)) {
        assert_eq!(lost.status, StatusCode::NOT_FOUND, "{}", lost.text);
    }
    answers.iter().filter(won).map(Answer::json).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_and_a_refresh_token_are_good_for_one_token_each() -> Result<()> {
    let world = two().await?;
    let exchange = json!({ "grant_type": "authorization_code", "code": CODE });
    let answers =
        repeat(&world, TIMES, |_| Request::new(Method::POST, "/oauth2/token").json(&exchange)).await?;
    let won_by = won(&answers);
    assert_eq!(won_by.len(), 1, "one of {TIMES} exchanges wins");
    let admin = won_by[0]["access_token"].as_str().unwrap_or_default().to_owned();
    assert_eq!(
        world.ask_of(1, Request::new(Method::GET, "/v1/user").token(&admin)).await?.status,
        StatusCode::OK
    );

    let wish = json!({ "response_type": "token", "scope": "user", "expires_in": "600" });
    let made =
        world.ask(Request::new(Method::POST, "/oauth2/authorize").token(&admin).json(&wish)).await?.json();
    let refresh = json!({ "grant_type": "refresh_token", "refresh_token": made["refresh_token"] });
    let answers =
        repeat(&world, TIMES, |_| Request::new(Method::POST, "/oauth2/token").json(&refresh)).await?;
    let won_by = won(&answers);
    assert_eq!(won_by.len(), 1, "one of {TIMES} refreshes wins");
    let old = made["access_token"].as_str().unwrap_or_default();
    for master in 0..2 {
        let answer = world.ask_of(master, Request::new(Method::GET, "/v1/user").token(old)).await?;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "the refreshed token is worth nothing");
    }
    assert_eq!(world.collection("access_tokens").count_documents(doc! {}).await?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_stay_unique_and_numbers_too() -> Result<()> {
    let world = two().await?;
    let admin = world.login().await?;
    let post = |path: &str, body: Value| Request::new(Method::POST, path).token(&admin).json(&body);
    let count = |answers: &[Answer]| {
        for answer in answers {
            let known = matches!(answer.status, StatusCode::CREATED | StatusCode::UNPROCESSABLE_ENTITY);
            assert!(known, "{} {}", answer.status, answer.text);
        }
        answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count()
    };
    let grid = repeat(&world, 40, |_| post("/v1/grids", json!({ "name": "only" }))).await?;
    assert_eq!(count(&grid), 1);
    for name in ["networks", "stacks"] {
        assert_eq!(world.collection(name).count_documents(doc! {}).await?, 1, "{name}");
    }
    let secret = json!({ "name": "s", "value": "v" });
    assert_eq!(count(&repeat(&world, 40, |_| post("/v1/grids/only/secrets", secret.clone())).await?), 1);
    let volume = json!({ "name": "v", "scope": "grid", "driver": "local" });
    assert_eq!(count(&repeat(&world, 40, |_| post("/v1/volumes/only", volume.clone())).await?), 1);
    let registry = json!({ "url": "http://r", "username": "u", "password": "p" });
    assert_eq!(
        count(&repeat(&world, 40, |_| post("/v1/grids/only/external_registries", registry.clone())).await?),
        1
    );
    let nodes =
        repeat(&world, 40, |number| post("/v1/grids/only/nodes", json!({ "name": format!("n{number}") })))
            .await?;
    assert_eq!(count(&nodes), 40);
    let numbers: HashSet<i64> = nodes.iter().filter_map(|node| node.json()["node_number"].as_i64()).collect();
    assert_eq!(numbers, (1..=40).collect());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_left_of_a_grid_that_goes_while_something_is_made_in_it() -> Result<()> {
    let world = two().await?;
    let admin = world.login().await?;
    let post = |path: &str, body: Value| Request::new(Method::POST, path).token(&admin).json(&body);
    let mut removed = 0;
    for _ in 0..40 {
        let made = world.ask(post("/v1/grids", json!({ "name": "brief" }))).await?;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let service = json!({ "name": "s", "image": "i", "stateful": false });
        let (service, node, gone) = tokio::join!(
            world.ask_of(0, post("/v1/grids/brief/services", service)),
            world.ask_of(0, post("/v1/grids/brief/nodes", json!({ "name": "n" }))),
            world.ask_of(1, Request::new(Method::DELETE, "/v1/grids/brief").token(&admin)),
        );
        for answer in [service?, node?] {
            let known = matches!(answer.status, StatusCode::CREATED | StatusCode::NOT_FOUND);
            assert!(known, "{} {}", answer.status, answer.text);
        }
        let gone = gone?;
        if gone.status == StatusCode::OK {
            removed += 1;
            for name in ["grids", "grid_services", "host_nodes", "stacks"] {
                assert_eq!(world.collection(name).count_documents(doc! {}).await?, 0, "{name}");
            }
            continue;
        }
        assert_eq!(gone.status, StatusCode::UNPROCESSABLE_ENTITY, "{}", gone.text);
        for path in ["/v1/services/brief/null/s", "/v1/nodes/brief/n", "/v1/grids/brief"] {
            let tidied = world.ask(Request::new(Method::DELETE, path).token(&admin)).await?;
            assert_eq!(tidied.status, StatusCode::OK, "{path}: {}", tidied.text);
        }
    }
    println!("{removed} of 40 grids went first");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_ended_on_one_master_fails_on_the_other_at_its_next_request() -> Result<()> {
    let world = two().await?;
    let admin = world.login().await?;
    let wish = json!({ "response_type": "token", "scope": "user" });
    for _ in 0..50 {
        let made = world
            .ask(Request::new(Method::POST, "/oauth2/authorize").token(&admin).json(&wish))
            .await?
            .json();
        let token = made["access_token"].as_str().unwrap_or_default().to_owned();
        let own = || Request::new(Method::GET, "/v1/user").token(&token);
        assert_eq!(world.ask_of(0, own()).await?.status, StatusCode::OK);
        let path = format!("/oauth2/tokens/{}", made["id"].as_str().unwrap_or_default());
        let ended = world.ask_of(1, Request::new(Method::DELETE, path).token(&admin)).await?;
        assert_eq!(ended.status, StatusCode::CREATED);
        assert_eq!(world.ask_of(0, own()).await?.status, StatusCode::FORBIDDEN);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_routes_are_limited_per_client_over_all_masters() -> Result<()> {
    let mut world = World::on(shared().await?.database(), 0).await?;
    for name in ["one", "two"] {
        world.join_behind(name, "127.0.0.1").await?;
    }
    world.seeded().await?;
    world.sees_masters(2).await?;
    let world = Arc::new(world);
    let wrong = json!({ "grant_type": "authorization_code", "code": "wrong" });
    let from = |client: &str| {
        let mut request = Request::new(Method::POST, "/oauth2/token").json(&wrong);
        request.headers.push(("X-Forwarded-For".to_owned(), client.to_owned()));
        request
    };
    let answers = repeat(&world, 200, |_| from("203.0.113.7")).await?;
    let admitted = answers.iter().filter(|answer| answer.status == StatusCode::NOT_FOUND).count();
    let refused = answers.iter().filter(|answer| answer.status == StatusCode::TOO_MANY_REQUESTS).count();
    assert_eq!(admitted + refused, 200);
    assert!((60..=75).contains(&admitted), "{admitted} of 200 within the first seconds");
    assert_eq!(world.ask(from("203.0.113.8")).await?.status, StatusCode::NOT_FOUND, "another client is not");
    // What a client claims before the trusted proxy's own entry counts for nothing.
    assert_eq!(world.ask(from("203.0.113.9, 203.0.113.7")).await?.status, StatusCode::TOO_MANY_REQUESTS);
    let unforwarded = world.ask(Request::new(Method::POST, "/oauth2/token").json(&wrong)).await?;
    assert_eq!(unforwarded.status, StatusCode::NOT_FOUND, "the host itself is not limited");
    Ok(())
}
