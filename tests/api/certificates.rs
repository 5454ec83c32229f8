//! Certificates from a real authority: asked for as command lines ask, by a file and by a record, renewed, and brought to
//! their end by whoever leads next.

mod losses;
mod renewal;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use kontena_testkit::agent::{Agent, Settings, Token};
use kontena_testkit::authority::{self, Authority};
use kontena_testkit::master::Master;
use kontena_testkit::mongod::{Database, shared};
use kontena_wire::rpc;
use mongodb::bson::{Document, doc};
use reqwest::{Method, StatusCode as Status};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::world::{Answer, Request, World};

const PATIENCE: Duration = Duration::from_secs(60);
const GRID_TOKEN: &str = "a-grid-token-for-certificates";
const REGISTER: &str = "/v1/certificates/main/register";
const DOMAINS: &str = "/v1/grids/main/domain_authorizations";
const CERTIFICATES: &str = "/v1/grids/main/certificates";

/// The answers that a load balancer has been given, by token.
type Files = Arc<Mutex<BTreeMap<String, String>>>;

/// A load balancer in a container, as far as authorities see it: it serves what its agent was told to put into its
/// environment, and nothing else.
struct Balancer {
    files: Files,
    port: u16,
    server: JoinHandle<()>,
}

impl Balancer {
    async fn start() -> Result<Self> {
        let files = Files::default();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        let file = async |State(files): State<Files>, Path(token): Path<String>| {
            let files = files.lock().unwrap_or_else(PoisonError::into_inner);
            files.get(&token).cloned().ok_or(StatusCode::NOT_FOUND)
        };
        let router = Router::new()
            .route("/.well-known/acme-challenge/{token}", get(file))
            .with_state(Arc::clone(&files));
        let server = tokio::spawn(async move {
            let _ended = axum::serve(listener, router).await;
        });
        Ok(Self { files, port, server })
    }

    /// Takes over what its agent was told.
    fn told(&self, agent: &Agent) {
        let pods = agent.record().pods().into_values().map(|pod| rpc::json(&pod));
        let secrets = pods.filter_map(|pod| pod["secrets"].as_array().cloned()).flatten();
        let files = secrets.filter_map(|secret| {
            let token = secret["name"].as_str()?.strip_prefix("ACME_CHALLENGE_")?.to_owned();
            Some((token, secret["value"].as_str()?.to_owned()))
        });
        *self.files.lock().unwrap_or_else(PoisonError::into_inner) = files.collect();
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Masters, a grid with a load balancer in it, and an authority.
struct Scene {
    world: World,
    /// The master that is asked.
    asked: usize,
    token: String,
    agent: Agent,
    balancer: Balancer,
    authority: Authority,
}

impl Scene {
    async fn set(masters: usize, reuse: u8) -> Result<Self> {
        let database = shared().await?.database();
        Self::on(database.clone(), &vec![database.uri; masters], reuse).await
    }

    /// With masters at these addresses of the database.
    async fn on(database: Database, uris: &[String], reuse: u8) -> Result<Self> {
        let balancer = Balancer::start().await?;
        let settings = authority::Settings { http_port: balancer.port, reuse };
        let authority = Authority::start(settings).await?;
        let mut world = World::on(database, 0).await?;
        for (number, uri) in uris.iter().enumerate() {
            world.join_at(&format!("master-{number}"), uri, &authority.configuration()).await?;
        }
        world.seeded().await?;
        let token = world.login().await?;
        let grid = json!({ "name": "main", "token": GRID_TOKEN, "initial_size": 1 });
        let made = world.ask(Request::new(Method::POST, "/v1/grids").token(&token).json(&grid)).await?;
        ensure!(made.status.is_success(), "{made:?}");
        let addresses = world
            .masters
            .iter()
            .map(|master| master.url().trim_start_matches("http://").to_owned())
            .collect();
        let agent = Agent::start(Settings::new(addresses, Token::Grid(GRID_TOKEN.to_owned()), 1));
        let scene = Self { world, asked: 0, token, agent, balancer, authority };
        scene
            .eventually("the node online", async |scene| {
                let nodes = scene.get("/v1/grids/main/nodes").await?;
                Ok(nodes["nodes"][0]["status"] == "online")
            })
            .await?;
        let service = json!({
            "name": "lb", "image": "kontena/lb:latest", "stateful": false,
            "ports": [{ "ip": "0.0.0.0", "container_port": 80, "node_port": 80, "protocol": "tcp" }],
        });
        scene.good(Method::POST, "/v1/grids/main/services", &service).await?;
        Ok(scene)
    }

    async fn ask_of(&self, master: usize, method: Method, path: &str, body: &Value) -> Result<Answer> {
        let request = Request::new(method, path).token(&self.token);
        let request = if body.is_null() { request } else { request.json(body) };
        self.world.ask_of(master, request).await
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> Result<Answer> {
        self.ask_of(self.asked, method, path, body).await
    }

    async fn good(&self, method: Method, path: &str, body: &Value) -> Result<Value> {
        let answer = self.ask(method.clone(), path, body).await?;
        ensure!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.text);
        Ok(answer.json())
    }

    async fn get(&self, path: &str) -> Result<Value> {
        self.good(Method::GET, path, &Value::Null).await
    }

    /// Asks for what is refused, and with which faults.
    async fn refused(&self, path: &str, body: &Value) -> Result<Value> {
        let answer = self.ask(Method::POST, path, body).await?;
        ensure!(answer.status == Status::UNPROCESSABLE_ENTITY, "{path}: {} {}", answer.status, answer.text);
        Ok(answer.json()["error"].clone())
    }

    async fn register(&self) -> Result<()> {
        let made = self.good(Method::POST, REGISTER, &json!({ "email": "owner@example.com" })).await?;
        ensure!(made == json!({}), "{made}");
        Ok(())
    }

    /// Has a domain proven by the load balancer, and waits until that is deployed as the command line does.
    async fn authorize_by_file(&self, domain: &str) -> Result<Value> {
        let wish = json!({ "domain": domain, "authorization_type": "http-01", "linked_service": "null/lb" });
        self.good(Method::POST, DOMAINS, &wish).await?;
        self.deployed(domain).await
    }

    async fn deployed(&self, domain: &str) -> Result<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let shown = self.get(&format!("/v1/domain_authorizations/main/{domain}")).await?;
            if shown["status"] != "deploying" {
                self.balancer.told(&self.agent);
                return Ok(shown);
            }
            ensure!(Instant::now() < deadline, "{shown}");
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Has a domain proven by a record, and sets it.
    async fn authorize_by_record(&self, domain: &str) -> Result<Value> {
        let made = self.good(Method::POST, DOMAINS, &json!({ "domain": domain })).await?;
        self.set_record(&made).await?;
        Ok(made)
    }

    async fn set_record(&self, authorization: &Value) -> Result<()> {
        let text = |key: &str| authorization["challenge_opts"][key].as_str().context("no record");
        // As the command line tells people to.
        let domain = authorization["domain"].as_str().context("no domain")?.trim_start_matches("*.");
        let name = format!("{}.{domain}", text("record_name")?);
        self.authority.set_record(&name, text("record_content")?).await
    }

    async fn request(&self, domains: &[&str]) -> Result<Value> {
        let made = self.good(Method::POST, CERTIFICATES, &json!({ "domains": domains })).await;
        made.with_context(|| format!("{}\n{}", self.logs(), self.authority.log()))
    }

    fn logs(&self) -> String {
        let logs: Vec<String> = self.world.masters.iter().map(Master::log_tail).collect();
        logs.join("\n\n")
    }

    async fn eventually(&self, what: &str, wanted: impl AsyncFn(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let seen = wanted(self).await;
            if matches!(seen, Ok(true)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                anyhow::bail!("not seen: {what} ({seen:?})\n{}", self.logs());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    async fn rows(&self, collection: &str) -> Result<Vec<Document>> {
        let rows = self.world.collection(collection).find(doc! {}).await?;
        Ok(futures_util::TryStreamExt::try_collect(rows).await?)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_issued_for_a_domain_that_the_load_balancer_proves() -> Result<()> {
    let scene = Scene::set(2, 0).await?;
    // Without an account the command line is told to register one.
    let wish =
        json!({ "domain": "shop.example.com", "authorization_type": "http-01", "linked_service": "null/lb" });
    let fault = scene.refused(DOMAINS, &wish).await?;
    ensure!(fault == json!({ "le_registration": "Let's Encrypt registration missing" }), "{fault}");
    scene.register().await?;
    // Again with another address: it is the same account.
    scene.register().await?;
    let secrets = scene.get("/v1/grids/main/secrets").await?;
    ensure!(secrets["secrets"].as_array().map(Vec::len) == Some(1), "{secrets}");
    ensure!(secrets["secrets"][0]["name"] == "LE_PRIVATE_KEY", "{secrets}");

    let but = |key: &str, value: &str| {
        let mut wish = wish.clone();
        wish[key] = value.into();
        wish
    };
    let fault = scene.refused(DOMAINS, &but("authorization_type", "tls-sni-01")).await?;
    ensure!(fault["authorization_type"].as_str().is_some_and(|why| why.contains("tls-sni-01")), "{fault}");
    let fault = scene.refused(DOMAINS, &but("linked_service", "null/no")).await?;
    ensure!(
        fault == json!({ "linked_service": "Linked service needs to point to existing service" }),
        "{fault}"
    );
    scene
        .good(
            Method::POST,
            "/v1/grids/main/services",
            &json!({ "name": "web", "image": "busybox", "stateful": false }),
        )
        .await?;
    let fault = scene.refused(DOMAINS, &but("linked_service", "null/web")).await?;
    ensure!(fault["linked_service"].as_str().is_some_and(|why| why.contains("port 80")), "{fault}");
    let fault = scene.refused(CERTIFICATES, &json!({ "domains": ["shop.example.com"] })).await?;
    let expected = "Domain authorization not found for domain shop.example.com";
    ensure!(fault == json!({ "authorization": expected }), "{fault}");

    let made = scene.good(Method::POST, DOMAINS, &wish).await?;
    // By then the balancer may be deployed.
    let status = made["status"].as_str().unwrap_or_default();
    ensure!(made["id"] == "main/shop.example.com" && ["deploying", "created"].contains(&status), "{made}");
    ensure!(made["linked_service"]["id"] == "main/null/lb", "{made}");
    let shown = scene.deployed("shop.example.com").await?;
    ensure!(shown["status"] == "created", "{shown}");
    // What the balancer serves, the masters serve as well; and nothing else.
    let token = shown["challenge_opts"]["token"].as_str().context("no token")?;
    let file = |name: &str| Request::new(Method::GET, format!("/.well-known/acme-challenge/{name}"));
    let answer = scene.world.ask_of(1, file(token)).await?;
    ensure!(answer.status == Status::OK && answer.text == shown["challenge_opts"]["content"], "{answer:?}");
    ensure!(scene.world.ask(file("nothing")).await?.status == Status::NOT_FOUND, "an answer to nothing");

    // A service that will use it has a new revision when it is there.
    scene.world.collection("grid_services").update_one(
        doc! { "name": "web" },
        doc! { "$set": { "certificates": [{ "subject": "shop.example.com", "name": "SSL_CERTS", "type": "env" }] } },
    ).await?;
    let revision = async || -> Result<i64> {
        let row = scene.world.collection("grid_services").find_one(doc! { "name": "web" }).await?;
        let row = row.context("no service")?;
        Ok(row.get_i32("revision").map(i64::from).or_else(|_| row.get_i64("revision"))?)
    };
    let before = revision().await?;
    // The master that is asked is not the one that leads.
    let leads = scene.world.masters[0].acting_term().await.is_some();
    let other = usize::from(leads);
    let answer =
        scene.ask_of(other, Method::POST, CERTIFICATES, &json!({ "domains": ["shop.example.com"] })).await?;
    ensure!(answer.status == Status::CREATED, "{answer:?}\n{}", scene.authority.log());
    let made = answer.json();
    ensure!(made["subject"] == "shop.example.com" && made["alt_names"] == json!([]), "{made}");
    ensure!(made["auto_renewable"] == true, "{made}");
    ensure!(revision().await? == before + 1, "no new revision");
    let exported = scene.get("/v1/certificates/main/shop.example.com/export").await?;
    let part = |key: &str| exported[key].as_str().unwrap_or_default().to_owned();
    ensure!(part("certificate").starts_with("-----BEGIN CERTIFICATE-----"), "{exported}");
    ensure!(part("chain").starts_with("-----BEGIN CERTIFICATE-----"), "{exported}");
    ensure!(part("private_key").starts_with("-----BEGIN PRIVATE KEY-----"), "no key");
    let shown = scene.get("/v1/domain_authorizations/main/shop.example.com").await?;
    ensure!(shown["status"] == "validated", "{shown}");
    ensure!(scene.authority.issued().len() == 1, "{:?}", scene.authority.issued());
    // What was proven is answered no more, and no key is left in what was ordered.
    ensure!(scene.world.ask(file(token)).await?.status == Status::NOT_FOUND, "it is still answered");
    for order in scene.rows("acme_orders").await? {
        ensure!(order.get("encrypted_key").is_none() && order.get_str("state")? == "done", "{order}");
    }
    ensure!(!scene.logs().contains("PRIVATE KEY"), "a key in the log");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_issued_for_domains_that_records_prove() -> Result<()> {
    let scene = Scene::set(1, 100).await?;
    scene.register().await?;
    let names = ["one.example.com", "two.example.com", "*.two.example.com"];
    for name in names {
        let made = scene.good(Method::POST, DOMAINS, &json!({ "domain": name })).await?;
        let opts = &made["challenge_opts"];
        ensure!(opts["record_name"] == "_acme-challenge" && opts["record_type"] == "TXT", "{made}");
        ensure!(made["status"] == "created" && made["authorization_type"] == "dns-01", "{made}");
        // Asked again, it is the same challenge.
        let again = scene.good(Method::POST, DOMAINS, &json!({ "domain": name })).await?;
        ensure!(again["challenge_opts"] == *opts, "{again} after {made}");
        if name != "two.example.com" {
            scene.set_record(&made).await?;
        }
    }
    // The authority is not asked for what is not there.
    let fault = scene.refused(CERTIFICATES, &json!({ "domains": names })).await?;
    let expected = "Expected DNS record not present for domain two.example.com";
    ensure!(fault == json!({ "dns_record": expected }), "{fault}");
    ensure!(!scene.authority.log().contains("/finalize-order/"), "it was asked");
    scene.set_record(&scene.get("/v1/domain_authorizations/main/two.example.com").await?).await?;
    let made = scene.request(&names).await?;
    ensure!(made["subject"] == names[0] && made["alt_names"] == json!(names[1..]), "{made}");
    ensure!(made["auto_renewable"] == false, "{made}");
    ensure!(scene.authority.issued().len() == 1, "{:?}", scene.authority.issued());

    // As old command lines ask.
    let made = scene
        .good(Method::POST, "/v1/certificates/main/authorize", &json!({ "domain": "old.example.com" }))
        .await?;
    scene.set_record(&json!({ "domain": "old.example.com", "challenge_opts": made })).await?;
    let wish = json!({ "secret_name": "LE_OLD", "domains": ["old.example.com"], "cert_type": "fullchain" });
    let made = scene.good(Method::POST, "/v1/certificates/main/certificate", &wish).await?;
    ensure!(made == json!(["LE_OLD_PRIVATE_KEY", "LE_OLD_CERTIFICATE", "LE_OLD_BUNDLE"]), "{made}");
    let bundle = scene.get("/v1/secrets/main/LE_OLD_BUNDLE").await?;
    let blocks = bundle["value"].as_str().unwrap_or_default().matches("-----BEGIN").count();
    ensure!(blocks == 3, "{blocks} blocks");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_takes_no_earlier_proof_asks_for_new_ones() -> Result<()> {
    let scene = Scene::set(1, 0).await?;
    scene.register().await?;
    let names = ["a.example.com", "b.example.com"];
    for name in names {
        scene.authorize_by_record(name).await?;
    }
    let fault = scene.refused(CERTIFICATES, &json!({ "domains": names })).await?;
    ensure!(
        fault["dns_record"].as_str().is_some_and(|why| why.contains("_acme-challenge.a.example.com")),
        "{fault}"
    );
    // Its new challenges stand in the authorizations, and the next request goes on with them.
    for name in names {
        let shown = scene.get(&format!("/v1/domain_authorizations/main/{name}")).await?;
        scene.authority.clear_records(&format!("_acme-challenge.{name}")).await?;
        scene.set_record(&shown).await?;
    }
    scene.request(&names).await?;
    ensure!(scene.authority.issued().len() == 1, "{:?}", scene.authority.issued());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_authority_refuses_is_told_with_its_reason() -> Result<()> {
    let mut scene = Scene::set(1, 0).await?;
    scene.register().await?;
    let fault = scene.refused(REGISTER, &json!({ "email": "nobody" })).await?;
    ensure!(fault["acme"].as_str().is_some_and(|why| !why.is_empty()), "{fault}");
    // The balancer answers with something else.
    scene.authorize_by_file("shop.example.com").await?;
    for answer in scene.balancer.files.lock().unwrap_or_else(PoisonError::into_inner).values_mut() {
        "something else".clone_into(answer);
    }
    let fault = scene.refused(CERTIFICATES, &json!({ "domains": ["shop.example.com"] })).await?;
    ensure!(fault["challenge"].as_str().is_some_and(|why| why.contains("something else")), "{fault}");
    let shown = scene.get("/v1/domain_authorizations/main/shop.example.com").await?;
    ensure!(shown["status"] == "error", "{shown}");
    ensure!(scene.authority.issued().is_empty(), "{:?}", scene.authority.issued());
    // It is tried again with a new challenge.
    let shown = scene.authorize_by_file("shop.example.com").await?;
    ensure!(shown["status"] == "created", "{shown}");
    scene.request(&["shop.example.com"]).await?;

    // An old account's key is of no use, and stays.
    let secrets = "/v1/grids/main/secrets";
    scene.good(Method::DELETE, "/v1/secrets/main/LE_PRIVATE_KEY", &Value::Null).await?;
    let rsa = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----";
    scene.good(Method::POST, secrets, &json!({ "name": "LE_PRIVATE_KEY", "value": rsa })).await?;
    let fault = scene.refused(DOMAINS, &json!({ "domain": "x.example.com" })).await?;
    ensure!(fault["le_registration"].is_string(), "{fault}");
    scene.register().await?;
    ensure!(scene.get("/v1/secrets/main/LE_PRIVATE_KEY").await?["value"] == rsa, "it was replaced");
    ensure!(scene.get("/v1/secrets/main/ACME_PRIVATE_KEY").await?["value"].is_string(), "no new key");
    scene.authorize_by_record("x.example.com").await?;

    // Nobody answers.
    scene.authority.end()?;
    let fault = scene.refused(CERTIFICATES, &json!({ "domains": ["shop.example.com"] })).await?;
    ensure!(fault["acme_client"].as_str().is_some_and(|why| why.contains("cannot be reached")), "{fault}");
    Ok(())
}
