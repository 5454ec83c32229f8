//! Masters on a database of their own, and clients that ask them.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::{Database, shared};
use mongodb::bson::{Document, doc};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap};
use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

/// The keys under which the recordings were made.
pub(crate) const VAULT_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub(crate) const VAULT_IV: &str = "abcdef0123456789abcdef0123456789abcdef0123456789abcdef0123456789";
pub(crate) const CODE: &str = "loremipsumdolorsitamet";
const PATIENCE: Duration = Duration::from_secs(30);
/// Nobody outside is ever asked for a certificate.
const NO_AUTHORITY: &str = "[acme]\ndirectory = \"https://127.0.0.1:1/directory\"\n";

/// An answer, read to its end.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// The body; null if it is no JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    pub(crate) fn header(&self, name: impl reqwest::header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) token: Option<String>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        let headers = vec![(ACCEPT.to_string(), "application/json".to_owned())];
        Self { method, path: path.into(), token: None, headers, body: String::new() }
    }

    pub(crate) fn token(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    pub(crate) fn json(mut self, body: &Value) -> Self {
        self.body = body.to_string();
        self.headers.push((CONTENT_TYPE.to_string(), "application/json".to_owned()));
        self
    }

    pub(crate) fn raw(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }
}

/// A database with one master on it, and perhaps more.
pub(crate) struct World {
    pub(crate) database: Database,
    pub(crate) masters: Vec<Master>,
    http: reqwest::Client,
    pub(crate) outside: mongodb::Database,
}

impl World {
    /// One master on a new database, once its administrator is there.
    pub(crate) async fn new() -> Result<Self> {
        let world = Self::on(shared().await?.database(), 1).await?;
        world.seeded().await?;
        Ok(world)
    }

    /// So many masters on a database.
    pub(crate) async fn on(database: Database, masters: usize) -> Result<Self> {
        let http = kontena_testkit::http::client().redirect(Policy::none()).timeout(PATIENCE).build()?;
        let outside = mongodb::Client::with_uri_str(&database.uri).await?.database(&database.name);
        let mut world = Self { database, masters: Vec::new(), http, outside };
        for number in 1..=masters {
            world.join(&format!("master-{number}")).await?;
        }
        Ok(world)
    }

    /// Starts one more master.
    pub(crate) async fn join(&mut self, name: &str) -> Result<()> {
        self.join_with(name, None).await
    }

    /// Starts one more master, which trusts a proxy.
    pub(crate) async fn join_behind(&mut self, name: &str, proxy: &str) -> Result<()> {
        self.join_with(name, Some(proxy)).await
    }

    /// Starts one more master, which has no vault key.
    pub(crate) async fn join_bare(&mut self, name: &str) -> Result<()> {
        let mut settings = Settings::new(name, &self.database.uri);
        settings.environment = vec![("INITIAL_ADMIN_CODE", CODE.to_owned())];
        self.masters.push(Master::start(settings).await?);
        Ok(())
    }

    async fn join_with(&mut self, name: &str, proxy: Option<&str>) -> Result<()> {
        let uri = self.database.uri.clone();
        self.start(name, &uri, NO_AUTHORITY, proxy).await
    }

    /// Starts one more master, which reaches the database at `uri`, with these tables in its configuration.
    pub(crate) async fn join_at(&mut self, name: &str, uri: &str, tables: &str) -> Result<()> {
        self.start(name, uri, tables, None).await
    }

    async fn start(&mut self, name: &str, uri: &str, tables: &str, proxy: Option<&str>) -> Result<()> {
        let mut settings = Settings::new(name, uri);
        settings.configuration = format!("[vault]\nkey = {VAULT_KEY:?}\niv = {VAULT_IV:?}\n{tables}");
        settings.environment = vec![("INITIAL_ADMIN_CODE", CODE.to_owned())];
        settings.trusted_proxies = proxy.into_iter().map(str::to_owned).collect();
        self.masters.push(Master::start(settings).await?);
        Ok(())
    }

    /// Waits until a new database holds what must be there.
    pub(crate) async fn seeded(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        let seeded = || async {
            let code = self.collection("access_tokens").count_documents(doc! { "code": CODE }).await?;
            let uuid =
                self.collection("configurations").count_documents(doc! { "key": "server.uuid" }).await?;
            Ok::<_, anyhow::Error>(code == 1 && uuid == 1)
        };
        while !seeded().await? {
            ensure!(Instant::now() < deadline, "not seeded:\n{}", self.masters[0].log_tail());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Waits until the first master leads, and has looked what is missing.
    pub(crate) async fn acting(&self) -> Result<()> {
        self.wait_for("a finished seeding", async |master| {
            let cluster = master.get("/v1/cluster").await?;
            let duties = cluster["duties"].as_array().cloned().unwrap_or_default();
            Ok(duties.iter().any(|duty| duty["name"] == "seeding" && duty["runs"].as_u64() > Some(0)))
        })
        .await
    }

    /// Waits until the first master knows of so many.
    pub(crate) async fn sees_masters(&self, count: usize) -> Result<()> {
        self.wait_for("all masters", async |master| {
            let cluster = master.get("/v1/cluster").await?;
            Ok(cluster["masters"].as_array().map(Vec::len) == Some(count))
        })
        .await?;
        // The others learn of each other with the same heartbeat interval.
        sleep(Duration::from_millis(1500)).await;
        Ok(())
    }

    /// Waits until the first master says why it is not ready.
    pub(crate) async fn not_ready(&self) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let (status, body) = self.masters[0].ask(Method::GET, "/readyz").await?;
            let reasons = body["reasons"].to_string();
            if status != StatusCode::OK && reasons.contains("migration") {
                return Ok(reasons);
            }
            ensure!(Instant::now() < deadline, "{status} {body}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    async fn wait_for(&self, what: &str, wanted: impl AsyncFn(&Master) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(&self.masters[0]).await? {
            ensure!(Instant::now() < deadline, "not seen: {what}\n{}", self.masters[0].log_tail());
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// A digest of everything that requests could change.
    pub(crate) async fn fingerprint(&self) -> Result<String> {
        // What masters themselves keep moving is left out.
        const OWN: [&str; 8] = [
            "masters",
            "duty_schedules",
            "leases",
            "fences",
            "leader_history",
            "distributed_locks",
            "cluster",
            "authorization_requests",
        ];
        let names = self.outside.list_collection_names().await?;
        let mut wanted: Vec<String> = names
            .into_iter()
            .filter(|name| !OWN.contains(&name.as_str()) && !name.starts_with("system."))
            .collect();
        wanted.sort();
        let answer = self.outside.run_command(doc! { "dbHash": 1, "collections": wanted }).await?;
        // By collection, so that a difference says where it is.
        Ok(answer.get_document("collections")?.to_string())
    }

    pub(crate) fn collection(&self, name: &str) -> mongodb::Collection<Document> {
        self.outside.collection(name)
    }

    pub(crate) fn outside(&self) -> &mongodb::Database {
        &self.outside
    }

    /// Asks the first master.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answer> {
        self.ask_of(0, request).await
    }

    /// Asks one of the masters.
    pub(crate) async fn ask_of(&self, master: usize, request: Request) -> Result<Answer> {
        let Request { method, path, token, headers, body } = request;
        let mut builder = self.http.request(method.clone(), format!("{}{path}", self.masters[master].url()));
        if let Some(token) = token {
            builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let answer = builder.body(body).send().await.with_context(|| format!("{method} {path}"))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer { status, headers, text: answer.text().await? })
    }

    /// The first chunk of an answer without an end.
    pub(crate) async fn first_chunk(&self, request: Request) -> Result<String> {
        let Request { method, path, token: _, headers, body } = request;
        let mut builder = self.http.request(method, format!("{}{path}", self.masters[0].url())).body(body);
        for (name, value) in headers {
            builder = builder.header(name, value);
        }
        let mut answer = builder.send().await?;
        ensure!(answer.status() == StatusCode::OK, "{path}: {}", answer.status());
        let chunk = answer.chunk().await?.context("an end")?;
        Ok(String::from_utf8(chunk.to_vec())?)
    }

    /// Logs in as the administrator, for the first and only time by its code.
    pub(crate) async fn login(&self) -> Result<String> {
        let body = json!({ "grant_type": "authorization_code", "code": CODE });
        let answer = self.ask(Request::new(Method::POST, "/oauth2/token").json(&body)).await?;
        ensure!(answer.status == StatusCode::CREATED, "no login: {answer:?}");
        Ok(answer.json()["access_token"].as_str().context("no token")?.to_owned())
    }
}
