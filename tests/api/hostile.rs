//! What nobody should send: it is refused, it changes nothing, and it takes no memory.

use std::time::Duration;

use anyhow::{Context, Result};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Method;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::routes::Scene;
use crate::world::{Request, World};

const REQUESTS: usize = 10_000;
const SEED: u64 = 20_261_122;

/// Routes that change something, with fields of which none is right here.
const ROUTES: [(&str, &str, &[&str]); 17] = [
    ("POST", "/v1/grids", &["initial_size", "stats", "logs", "trusted_subnets"]),
    ("PUT", "/v1/grids/main", &["stats", "logs", "trusted_subnets", "default_affinity"]),
    ("POST", "/v1/grids/main/nodes", &["name", "token", "labels"]),
    ("PUT", "/v1/nodes/main/kept", &["labels", "availability"]),
    ("PUT", "/v1/nodes/main/kept/token", &["token", "reset_connection"]),
    ("POST", "/v1/grids/main/secrets", &["name", "value"]),
    ("PUT", "/v1/secrets/main/kept", &["value"]),
    ("POST", "/v1/volumes/main", &["name", "scope", "driver"]),
    ("POST", "/v1/grids/main/external_registries", &["url", "username"]),
    ("PUT", "/v1/certificates/main/shop.example.com", &["certificate", "private_key"]),
    ("POST", "/v1/grids/main/domain_authorizations", &["domain", "authorization_type"]),
    ("POST", "/v1/users/stranger@example.com/roles", &["role"]),
    ("POST", "/v1/grids/main/services", &["name", "image", "stateful", "env", "ports", "hooks", "strategy"]),
    ("PUT", "/v1/services/main/shop/web", &["image", "env", "cpus", "links", "volumes", "health_check"]),
    ("POST", "/v1/services/main/shop/web/scale", &["instances"]),
    ("POST", "/v1/services/main/shop/web/envs", &["env"]),
    ("POST", "/v1/grids/main/users", &["email"]),
];

/// Knows the contract well enough to break it in one place at a time.
struct Generator(StdRng);

impl Generator {
    /// A value of a type that no field takes.
    fn wrong(&mut self, depth: usize) -> Value {
        match self.0.random_range(0..6) {
            0 => json!({}),
            1 => json!([[], {}]),
            2 if depth < 4 => json!({ "deeper": self.wrong(depth + 1), "\u{202e}$set": 1 }),
            3 => json!({ "$gt": "" }),
            4 => json!([{ "$where": "sleep(1000)" }]),
            _ => json!({ "statsd": [], "forwarder": {}, "a.b": null }),
        }
    }

    fn word(&mut self) -> String {
        let length = self.0.random_range(1..20);
        (0..length)
            .map(|_| {
                *b"abz09-_.~:%25%00%ff%2f@*$"[..].get(self.0.random_range(0..24)).unwrap_or(&b'x') as char
            })
            .collect()
    }

    fn request(&mut self, scene: &Scene) -> Request {
        let method = |name: &str| name.parse::<Method>().unwrap_or(Method::GET);
        let token = [&scene.admin, &scene.member, &scene.stranger][self.0.random_range(0..3)].clone();
        let (verb, path, fields) = ROUTES[self.0.random_range(0..ROUTES.len())];
        match self.0.random_range(0..7) {
            // Fields of wrong types.
            0..3 => {
                let mut body = Map::new();
                for field in fields {
                    body.insert((*field).to_owned(), self.wrong(0));
                }
                Request::new(method(verb), path).token(&token).json(&Value::Object(body))
            }
            // Bytes that are no JSON.
            3 => {
                let text = json!({ fields[0]: self.word() }).to_string();
                let cut = self.0.random_range(0..text.len() - 1);
                let body = text.get(..cut).filter(|cut| !cut.is_empty()).unwrap_or("{").to_owned();
                Request::new(method(verb), path).token(&token).raw(&body)
            }
            // Paths that nobody has.
            4 => {
                let path = format!("/v1/{}/{}/{}", self.word(), self.word(), self.word());
                let verb = ["GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"][self.0.random_range(0..6)];
                Request::new(method(verb), path).token(&token)
            }
            // Resources that nobody has.
            5 => {
                let area = [
                    "secrets",
                    "volumes",
                    "certificates",
                    "nodes",
                    "domain_authorizations",
                    "external_registries",
                ][self.0.random_range(0..6)];
                let verb = ["GET", "DELETE"][self.0.random_range(0..2)];
                Request::new(method(verb), format!("/v1/{area}/main/nope{}", self.word())).token(&token)
            }
            // Tokens and queries that are none.
            _ => {
                let path = format!(
                    "{path}?limit={}&since={}&from={}&filter={}",
                    self.word(),
                    self.word(),
                    self.word(),
                    self.word()
                );
                let token = self.word().replace(|character: char| character.is_control(), "");
                Request::new(method(verb), path).token(&token).raw("{}")
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_random_requests_are_refused_and_change_nothing() -> Result<()> {
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let before = world.fingerprint().await?;
    let memory = world.masters[0].pid().map(rss).context("a process")??;
    let mut generator = Generator(StdRng::seed_from_u64(SEED));
    let mut statuses = std::collections::BTreeMap::new();
    for number in 0..REQUESTS {
        let request = generator.request(&scene);
        let told = format!("{number}: {} {} {}", request.method, request.path, request.body);
        let answer = world.ask(request).await.with_context(|| told.clone())?;
        assert!(!answer.status.is_server_error(), "{told}: {} {}", answer.status, answer.text);
        assert!(!answer.status.is_success(), "{told}: {} {}", answer.status, answer.text);
        *statuses.entry(answer.status.as_u16()).or_insert(0_usize) += 1;
    }
    println!("seed {SEED}: {statuses:?}");
    assert_eq!(world.fingerprint().await?, before, "something has changed");
    let grown = world.masters[0].pid().map(rss).context("a process")??.saturating_sub(memory);
    assert!(grown < 64 << 10, "{grown} KiB more than before");
    Ok(())
}

#[tokio::test]
async fn large_deep_and_slow_bodies_are_refused_early() -> Result<()> {
    let world = World::new().await?;
    let scene = Scene::set(&world).await?;
    let put = |body: &str| Request::new(Method::PUT, "/v1/secrets/main/kept").token(&scene.admin).raw(body);
    let deep = format!("{{\"value\": {}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(world.ask(put(&deep)).await?.status, 400);
    let driver = format!("{}1{}", "{\"a\":".repeat(80), "}".repeat(80));
    let volume =
        format!("{{\"name\": \"x\", \"scope\": \"grid\", \"driver\": \"local\", \"driver_opts\": {driver}}}");
    let deep = Request::new(Method::POST, "/v1/volumes/main").token(&scene.admin).raw(&volume);
    assert_eq!(world.ask(deep).await?.status, 400);
    let null = volume.replace(&driver, "{\"a\\u0000b\": 1}");
    let null = Request::new(Method::POST, "/v1/volumes/main").token(&scene.admin).raw(&null);
    assert_eq!(world.ask(null).await?.status, 400);

    // What is small as text and large as a document, so that the database would not take it.
    let large = volume.replace(&driver, &format!("{{\"a\": [{}0]}}", "0,".repeat(2_000_000)));
    let large = Request::new(Method::POST, "/v1/volumes/main").token(&scene.admin).raw(&large);
    let refused = world.ask(large).await?;
    assert_eq!(refused.status, 413, "{}", refused.text);

    // A body that is announced larger than any, and one that goes on for ever.
    let address = world.masters[0].url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).await?;
    let head = format!(
        "PUT /v1/secrets/main/kept HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        scene.admin
    );
    stream.write_all(head.as_bytes()).await?;
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let mut sent = 0;
    // The master stops reading long before this.
    while sent < 64 << 20 && stream.write_all(chunk.as_bytes()).await.is_ok() {
        sent += 0x10000;
        let mut answer = [0; 32];
        if let Ok(Ok(read)) = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut answer)).await
            && read > 0
        {
            assert!(answer.starts_with(b"HTTP/1.1 413"), "{}", String::from_utf8_lossy(&answer));
            break;
        }
    }
    assert!(sent < 32 << 20, "{sent} bytes were taken");
    assert_eq!(world.ask(Request::new(Method::GET, "/v1/ping")).await?.status, 200);
    Ok(())
}

/// KiB of memory of a process.
fn rss(pid: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    Ok(line.split_whitespace().nth(1).context("no value")?.parse()?)
}
