//! What load balancers say of a request is believed if they are known, and never if a client says it.

use anyhow::{Context, Result};
use kontena_testkit::mongod::shared;
use mongodb::bson::doc;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::world::{Request, World};

/// The master that trusts nobody, and the one that trusts the proxies of this host.
const PLAIN: usize = 0;
const BEHIND: usize = 1;

/// Makes a grid with such a header; where the audit log says that it came from.
async fn told(world: &World, admin: &str, master: usize, headers: &[&str]) -> Result<String> {
    let name = format!("grid-{:08x}", rand::random::<u32>());
    let mut request =
        Request::new(Method::POST, "/v1/grids").token(admin).json(&json!({ "name": name.as_str() }));
    for value in headers {
        request.headers.push(("X-Forwarded-For".to_owned(), (*value).to_owned()));
    }
    assert_eq!(world.ask_of(master, request).await?.status, StatusCode::CREATED);
    let noted = doc! { "event_name": "create", "resource_type": "Grid", "resource_name": &name };
    let entry = world.collection("audit_logs").find_one(noted).await?.context("not in the audit log")?;
    Ok(entry.get_str("source_ip")?.to_owned())
}

#[tokio::test]
async fn only_a_trusted_proxy_says_where_a_request_came_from() -> Result<()> {
    let mut world = World::on(shared().await?.database(), 0).await?;
    world.join("plain").await?;
    world.join_behind("behind", "127.0.0.1").await?;
    world.seeded().await?;
    let admin = world.login().await?;
    let cases: [(usize, &[&str], &str); 8] = [
        (PLAIN, &[], "127.0.0.1"),
        (PLAIN, &["203.0.113.7"], "127.0.0.1"),
        (PLAIN, &["203.0.113.7, 127.0.0.1"], "127.0.0.1"),
        (BEHIND, &[], "127.0.0.1"),
        (BEHIND, &["203.0.113.7"], "203.0.113.7"),
        // The proxy adds its own entry behind what the client claims, in the same header or in one more.
        (BEHIND, &["198.51.100.1, 203.0.113.7"], "203.0.113.7"),
        (BEHIND, &["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        (BEHIND, &["127.0.0.1, no address"], "127.0.0.1"),
    ];
    for (master, headers, expected) in cases {
        let found = told(&world, &admin, master, headers).await?;
        assert_eq!(found, expected, "master {master}, {headers:?}");
    }
    Ok(())
}

#[tokio::test]
async fn links_are_those_of_the_configuration_whatever_a_request_says_of_itself() -> Result<()> {
    let mut world = World::on(shared().await?.database(), 0).await?;
    world.join("plain").await?;
    world.join_behind("behind", "127.0.0.1").await?;
    world.seeded().await?;
    let admin = world.login().await?;
    let settings = json!({
        "oauth2.client_id": "cid", "oauth2.client_secret": "csecret",
        "oauth2.authorize_endpoint": "https://provider.example.com/authorize",
        "oauth2.token_endpoint": "https://provider.example.com/token",
        "oauth2.userinfo_endpoint": "https://provider.example.com/user", "oauth2.userinfo_scope": "user",
        "server.root_url": "https://master.example.com",
    });
    let set = world.ask(Request::new(Method::PATCH, "/v1/config").token(&admin).json(&settings)).await?;
    assert_eq!(set.status, StatusCode::CREATED, "{}", set.text);
    for master in [PLAIN, BEHIND] {
        let wish = json!({ "response_type": "invite", "email": "jo@example.com" });
        let mut request = Request::new(Method::POST, "/oauth2/authorize").token(&admin).json(&wish);
        for (name, value) in [("X-Forwarded-Proto", "http"), ("X-Forwarded-Host", "evil.example.com")] {
            request.headers.push((name.to_owned(), value.to_owned()));
        }
        let answer = world.ask_of(master, request).await?;
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text);
        let invited = answer.json();
        let code = invited["invite_code"].as_str().context("no invitation")?;
        assert_eq!(invited["link"], format!("https://master.example.com/j/{code}"));
    }
    Ok(())
}
