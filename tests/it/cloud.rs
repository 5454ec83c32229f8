//! The link to Kontena Cloud, on a stand-in for it: that it is made when it is wanted and only by the leader, what is
//! answered and told over it, and that no event is lost when leaders are killed.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kontena_testkit::administrator::Administrator;
use kontena_testkit::cloud::{Account, CLIENT_SECRET, Cloud, Heard, Manner, Traffic};
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::{Database, shared};
use kontena_wire::cluster::CloudState;
use kontena_wire::rpc::Value as Param;
use mongodb::bson::oid::ObjectId;
use mongodb::bson::{Bson, DateTime, doc};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::process::{acting, cluster};
use crate::store::Outside;

const PATIENCE: Duration = Duration::from_secs(60);
const VAULT_KEY: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// The first try after 0.25 s, a look at the configuration each 1.5 s.
const HURRY: u32 = 20;
/// The most that may come twice when a leader is lost.
const BATCH: u64 = 32;

fn settings(name: &str, database: &Database) -> Settings {
    let mut settings = Settings::new(name, &database.uri);
    settings.configuration = format!(
        "[election]\nlease_ttl = \"1s\"\n[agents]\nping_timeout = \"2s\"\n[vault]\nkey = {VAULT_KEY:?}\niv = {VAULT_KEY:?}\n"
    );
    settings.cloud_hurry = HURRY;
    settings
}

/// The same, waiting longer for the answer to a ping.
fn patient(name: &str, database: &Database) -> Settings {
    let settings = settings(name, database);
    let configuration = settings.configuration.replace("ping_timeout = \"2s\"", "ping_timeout = \"10s\"");
    Settings { configuration, ..settings }
}

/// Waits until the link is noted as wanted.
async fn noted(
    master: &Master,
    what: &str,
    holds: impl Fn(CloudState, &str) -> bool,
) -> Result<kontena_wire::cluster::Cloud> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let found = cluster(master).await?.cloud;
        if let Some(cloud) = found.as_ref().filter(|cloud| holds(cloud.state, &cloud.why)) {
            return Ok(cloud.clone());
        }
        ensure!(Instant::now() < deadline, "not noted: {what}; instead {found:#?}\n{}", master.log_tail());
        sleep(Duration::from_millis(50)).await;
    }
}

struct Scene {
    cloud: Cloud,
    master: Master,
    admin: Administrator,
    outside: Outside,
}

impl Scene {
    async fn new() -> Result<Self> {
        let database = shared().await?.database();
        let master = Master::start(settings("only", &database)).await?;
        let admin = Administrator::of([&master])?;
        let outside = Outside::of(&database).await?;
        acting(&[&master], 1).await?;
        Ok(Self { cloud: Cloud::start()?, master, admin, outside })
    }

    async fn configure(&self, values: &Value) -> Result<()> {
        self.admin.ask(Method::PATCH, "/v1/config", values).await.map(drop)
    }

    /// A user who logged in through the provider.
    async fn user(&self, external_id: &str, roles: Vec<ObjectId>) -> Result<()> {
        let email = format!("user-{external_id}@example.com");
        let user = doc! { "email": email, "external_id": external_id, "role_ids": roles, "grid_ids": [] };
        self.outside.collection("users").insert_one(user).await?;
        Ok(())
    }

    /// Waits for an event, and returns it with all that came since `begin`.
    async fn heard(&self, begin: usize, kind: &str, event: &str, id: &str) -> Result<(Heard, Vec<Heard>)> {
        let wanted = |heard: &&Heard| heard.kind == kind && heard.event == event && heard.object["id"] == id;
        let since = |cloud: &Cloud| -> Vec<Heard> { cloud.events().split_off(begin) };
        let what = format!("{kind}#{event} {id}");
        let came =
            self.cloud.until(&what, PATIENCE, |cloud| since(cloud).iter().any(|heard| wanted(&heard))).await;
        came.with_context(|| format!("{:#?}\n{}", since(&self.cloud), self.master.log_tail()))?;
        let all = since(&self.cloud);
        let found = all.iter().find(wanted).cloned().context("no event")?;
        Ok((found, all))
    }
}

#[tokio::test]
async fn the_link_begins_when_it_is_wanted_and_answers_and_tells() -> Result<()> {
    let scene = Scene::new().await?;
    let Scene { cloud, master, admin, outside } = &scene;
    let off = noted(master, "off", |state, _| state == CloudState::Off).await?;
    ensure!(off.why.contains("provider is not complete"), "{off:#?}");
    let mut configuration = cloud.configuration();
    configuration["cloud.enabled"] = "false".into();
    scene.configure(&configuration).await?;
    noted(master, "switched off", |state, why| state == CloudState::Off && why.contains("cloud.enabled"))
        .await?;
    assert_eq!(cloud.links(), (0, 0), "it was linked before it was wanted");
    let role = outside.one("roles", doc! { "name": "master_admin" }).await?.get_object_id("_id")?;
    scene.user("4711", vec![role]).await?;
    scene.user("4712", Vec::new()).await?;
    scene.configure(&json!({ "cloud.enabled": "true" })).await?;
    cloud.until("a link", PATIENCE, |cloud| cloud.open() == 1).await?;
    noted(master, "a link", |state, why| {
        state == CloudState::Connected && why == format!("{}/platform", cloud.uri())
    })
    .await?;
    // What was before is not told: the first event is the first thing that happens now.
    let position = async || outside.count("cloud", doc! { "_id": "position" }).await;
    while position().await? == 0 {
        sleep(Duration::from_millis(20)).await;
    }
    tells(&scene).await?;
    answers(&scene).await?;
    let log = std::fs::read_to_string(master.log_file())?;
    let shown = master.get("/v1/cluster").await?.to_string();
    for secret in [CLIENT_SECRET, "czNjcjN0", "s3cr3t"] {
        assert!(!log.contains(secret) && !shown.contains(secret), "a secret is shown");
    }
    let doctor = String::from_utf8(master.run(&["doctor"])?.stdout)?;
    assert!(doctor.contains("Kontena Cloud: linked to"), "{doctor}");
    scene.configure(&json!({ "cloud.enabled": "false" })).await?;
    cloud.until("no link", PATIENCE, |cloud| cloud.open() == 0).await?;
    noted(master, "switched off again", |state, _| state == CloudState::Off).await?;
    while position().await? == 1 {
        sleep(Duration::from_millis(20)).await;
    }
    assert_eq!((cloud.faults(), cloud.links(), cloud.overlaps()), (vec![], (1, 0), 0));
    admin.ask(Method::GET, "/v1/ping", &Value::Null).await?;
    Ok(())
}

async fn tells(scene: &Scene) -> Result<()> {
    let Scene { cloud, admin, outside, .. } = scene;
    let admins = ["4711"].map(str::to_owned).to_vec();
    admin.ask(Method::POST, "/v1/grids", &json!({ "name": "town" })).await?;
    let (made, all) = scene.heard(0, "Grid", "create", "town").await?;
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!((made.grid.as_deref(), &made.users), (Some("town"), &admins));
    assert!(made.object.get("token").is_none() && made.object["node_count"] == 0, "{made:#?}");

    let begin = cloud.events().len();
    admin.ask(Method::POST, "/v1/grids/town/users", &json!({ "email": "user-4712@example.com" })).await?;
    let member = outside.one("users", doc! { "external_id": "4712" }).await?.get_object_id("_id")?.to_hex();
    let (joined, _) = scene.heard(begin, "User", "update", &member).await?;
    assert_eq!(
        (joined.grid, joined.users, &joined.object["email"]),
        (None, admins, &json!("user-4712@example.com"))
    );

    let begin = cloud.events().len();
    admin.make_service("town", "web", &json!({ "env": ["A=1"] })).await?;
    let (made, _) = scene.heard(begin, "GridService", "create", "town/null/web").await?;
    let both = ["4711", "4712"].map(str::to_owned).to_vec();
    assert_eq!((made.grid.as_deref(), &made.users), (Some("town"), &both));
    assert_eq!((&made.object["env"], &made.object["grid"]), (&json!(["A=1"]), &json!({ "id": "town" })));
    assert!(made.object.get("stop_grace_period").is_none(), "the original did not tell it");
    admin.ask(Method::PUT, "/v1/services/town/null/web", &json!({ "instances": 3 })).await?;
    let (changed, _) = scene.heard(begin, "GridService", "update", "town/null/web").await?;
    assert_eq!(changed.object["instances"], 3);

    // Containers show in their service.
    let begin = cloud.events().len();
    let service = outside.one("grid_services", doc! { "name": "web" }).await?;
    let (service, grid) = (service.get_object_id("_id")?, service.get_object_id("grid_id")?);
    let container = doc! {
        "grid_id": grid, "grid_service_id": service, "container_type": "container", "deleted_at": Bson::Null,
        "state": { "running": true }, "name": "web-1",
    };
    let containers = outside.collection("containers");
    let container = containers.insert_one(container).await?.inserted_id;
    let (with_one, _) = scene.heard(begin, "GridService", "update", "town/null/web").await?;
    assert_eq!(with_one.object["instance_counts"], json!({ "total": 1, "running": 1 }));
    let begin = cloud.events().len();
    containers.delete_one(doc! { "_id": container }).await?;
    let (without, _) = scene.heard(begin, "GridService", "update", "town/null/web").await?;
    assert_eq!(without.object["instance_counts"], json!({ "total": 0, "running": 0 }));

    let begin = cloud.events().len();
    admin.ask(Method::POST, "/v1/grids/town/nodes", &json!({ "name": "n1" })).await?;
    let (node, _) = scene.heard(begin, "HostNode", "create", "town/n1").await?;
    assert_eq!(node.object["grid"]["name"], "town");
    assert!(!node.object.to_string().contains("\"token\""), "{node:#?}");
    // Signs of life are no events.
    let begin = cloud.events().len();
    let alive = doc! { "$set": { "last_seen_at": DateTime::now(), "latest_stats": { "usage": 1 } } };
    outside.collection("host_nodes").update_one(doc! { "name": "n1" }, alive).await?;
    admin.ask(Method::DELETE, "/v1/nodes/town/n1", &Value::Null).await?;
    let (gone, all) = scene.heard(begin, "HostNode", "delete", "town/n1").await?;
    assert_eq!((gone.grid.as_deref(), gone.users.len(), all.len()), (Some("town"), 2, 1), "{all:#?}");
    admin.ask(Method::DELETE, "/v1/services/town/null/web", &Value::Null).await?;
    scene.heard(begin, "GridService", "delete", "town/null/web").await?;
    let names = async || outside.count("cloud_names", doc! { "names.path": "town/null/web" }).await;
    while names().await? > 0 {
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

async fn answers(scene: &Scene) -> Result<()> {
    let Scene { cloud, outside, master, .. } = scene;
    let ask = async |method: &str, params: Vec<Param>| cloud.ask(method, params, PATIENCE).await;
    let get = async |user: &str, path: &str| {
        ask("rest_request/get", vec![user.into(), path.into(), Param::Map(Vec::new())]).await
    };
    let tokens = async || outside.count("access_tokens", doc! { "scopes": ["owner"] }).await;
    let before = tokens().await?;
    let made = json!({ "name": "theirs" }).to_string();
    let made =
        ask("rest_request/post", vec!["4711".into(), "/v1/grids".into(), made.as_str().into()]).await?;
    assert_eq!(made.map(|made| made["status"].clone()), Ok(json!(201)));
    let grids = |answer: Value| -> Result<Vec<Value>> {
        assert_eq!(
            (&answer["status"], &answer["headers"]["content-type"]),
            (&json!(200), &json!("application/json"))
        );
        let body: Value = serde_json::from_str(answer["body"].as_str().context("no body")?)?;
        Ok(body["grids"].as_array().context("no grids")?.iter().map(|grid| grid["name"].clone()).collect())
    };
    let refused = |fault: Value| anyhow::anyhow!("{fault}");
    assert_eq!(grids(get("4711", "/v1/grids").await?.map_err(refused)?)?, ["town", "theirs"]);
    assert_eq!(
        grids(get("4712", "/v1/grids").await?.map_err(refused)?)?,
        ["town"],
        "a user sees what is the user's"
    );
    let forbidden = get("4713", "/v1/grids").await?;
    assert_eq!(forbidden, Err(json!({ "code": 403, "message": "Forbidden", "backtrace": [] })));
    let code = |answer: Result<Value, Value>| answer.err().map(|fault| fault["code"].clone());
    for verb in ["patch", "access_token", "instance_eval"] {
        let asked =
            ask(&format!("rest_request/{verb}"), vec!["4711".into(), "/v1/grids".into(), Param::Nil]).await?;
        assert_eq!(code(asked), Some(json!(500)), "{verb}");
    }
    let unknown = ask("other/get", vec![]).await?;
    assert_eq!(unknown, Err(json!({ "error": "service not implemented" })));
    // Our own administration is nothing for the cloud, not even for an administrator there.
    let status = get("4711", "/v1/cluster").await?.map(|answer| answer["status"].clone());
    assert_eq!(status, Ok(json!(404)));
    let many = futures_util::future::join_all((0..40).map(|_| get("4711", "/v1/grids"))).await;
    for answer in many {
        // Each is answered; those that are too many at once are refused.
        let answer = answer?;
        assert!(answer.is_ok() || code(answer.clone()) == Some(json!(503)), "{answer:?}");
    }
    assert_eq!(tokens().await?, before, "a token is left");
    let removed = ask("rest_request/delete", vec!["4711".into(), "/v1/grids/theirs".into()]).await?;
    assert_eq!(removed.map(|removed| removed["status"].clone()), Ok(json!(200)));
    scene.heard(0, "Grid", "delete", "theirs").await?;
    let metrics = master_metrics(master).await?;
    for line in ["kontena_master_cloud_connected 1", "kontena_master_cloud_links_total 1"] {
        assert!(metrics.contains(line), "{line} is missing:\n{metrics}");
    }
    Ok(())
}

async fn master_metrics(master: &Master) -> Result<String> {
    let http = kontena_testkit::http::client().unix_socket(master.admin_socket()).build()?;
    Ok(http.get("http://localhost/metrics").send().await?.text().await?)
}

#[tokio::test]
async fn a_cloud_that_refuses_or_falls_silent_is_tried_again() -> Result<()> {
    let scene = Scene::new().await?;
    let Scene { cloud, master, .. } = &scene;
    cloud.behave(Manner { refuses: true, ..Manner::default() });
    scene.configure(&cloud.configuration()).await?;
    cloud.until("two refused links", PATIENCE, |cloud| cloud.links().1 >= 2).await?;
    noted(master, "refused", |state, why| state == CloudState::Down && why.contains("1002")).await?;
    cloud.behave(Manner::default());
    cloud.until("a link", PATIENCE, |cloud| cloud.open() == 1).await?;
    noted(master, "a link", |state, _| state == CloudState::Connected).await?;
    cloud.behave(Manner { deaf: true, ..Manner::default() });
    noted(master, "silence", |state, why| state == CloudState::Down && why.contains("ping")).await?;
    cloud.behave(Manner::default());
    noted(master, "a link again", |state, _| state == CloudState::Connected).await?;
    // A wrong secret is the same as one that is not accepted.
    scene.configure(&json!({ "oauth2.client_secret": "another" })).await?;
    let (links, refused) = cloud.links();
    cloud.behave(Manner { deaf: true, ..Manner::default() });
    cloud.until("a link with the wrong secret", PATIENCE, |cloud| cloud.links().1 > refused).await?;
    assert!(cloud.links().0 > links);
    Ok(())
}

#[tokio::test]
async fn events_begin_anew_where_the_database_does_not_remember_and_over_tls() -> Result<()> {
    let database = shared().await?.database();
    let cloud = Cloud::start_encrypted()?;
    let mut settings = settings("only", &database);
    let certificate = cloud.certificate().context("a certificate")?.display().to_string();
    settings.environment.push(("SSL_CERT_FILE", certificate));
    let mut master = Master::start(settings).await?;
    let outside = Outside::of(&database).await?;
    let admin = Administrator::of([&master])?;
    admin.ask(Method::PATCH, "/v1/config", &cloud.configuration()).await?;
    cloud.until("a link", PATIENCE, |cloud| cloud.open() == 1).await?;
    noted(&master, "a link", |state, _| state == CloudState::Connected).await?;
    let deadline = Instant::now() + PATIENCE;
    while outside.count("cloud", doc! { "_id": "position" }).await? == 0 {
        ensure!(Instant::now() < deadline, "no position:\n{}", master.log_tail());
        sleep(Duration::from_millis(20)).await;
    }
    admin.ask(Method::POST, "/v1/grids", &json!({ "name": "before" })).await?;
    let told = |name: &'static str| {
        move |cloud: &Cloud| cloud.events().iter().any(|heard| heard.object["id"] == name)
    };
    cloud.until("the first event", PATIENCE, told("before")).await?;
    let confirmed = doc! { "_id": "position", "open": 0, "events": { "$gt": 0 } };
    let deadline = Instant::now() + PATIENCE;
    while outside.count("cloud", confirmed.clone()).await? == 0 {
        ensure!(Instant::now() < deadline, "it is not confirmed:\n{}", master.log_tail());
        sleep(Duration::from_millis(20)).await;
    }
    master.kill()?;
    // A position of 1970, which no database remembers.
    let position = outside.one("cloud", doc! { "_id": "position" }).await?;
    let data = position.get_document("token")?.get_str("_data")?;
    let ancient =
        format!("{}00000001{}", data.get(..2).context("a token")?, data.get(10..).context("a token")?);
    let set = doc! { "$set": { "token": { "_data": ancient } } };
    outside.collection("cloud").update_one(doc! { "_id": "position" }, set).await?;
    master.launch().await?;
    let deadline = Instant::now() + PATIENCE;
    while cluster(&master).await?.cloud.is_none_or(|cloud| cloud.gaps == 0) {
        ensure!(Instant::now() < deadline, "no gap is counted:\n{}", master.log_tail());
        sleep(Duration::from_millis(50)).await;
    }
    admin.ask(Method::POST, "/v1/grids", &json!({ "name": "after" })).await?;
    cloud.until("an event after the gap", PATIENCE, told("after")).await?;
    assert!(master.log_tail().contains("events for the cloud were missed"), "{}", master.log_tail());
    assert_eq!(cluster(&master).await?.cloud.map(|cloud| cloud.gaps), Some(1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_when_leaders_are_killed_or_stand_still() -> Result<()> {
    const LOSSES: u64 = 5;
    const PAUSED: u64 = 2;
    /// More services than fit into what the kernel keeps for the cloud, made before a ping that it does not answer ends
    /// the link.
    const UNHEARD: u64 = 30;
    const UNHEARD_WITHIN: Duration = Duration::from_secs(7);
    let database = shared().await?.database();
    let mut masters = [
        Master::start(patient("first", &database)).await?,
        Master::start(patient("second", &database)).await?,
    ];
    let admin = Administrator::of(&masters)?;
    let cloud = Cloud::start()?;
    // So slow that what was sent is not what was heard.
    let manner = Manner { pace: Duration::from_millis(3), ..Manner::default() };
    cloud.behave(manner);
    admin.ask(Method::PATCH, "/v1/config", &cloud.configuration()).await?;
    cloud.until("a link", PATIENCE, |cloud| cloud.open() == 1).await?;
    let outside = Outside::of(&database).await?;
    let deadline = Instant::now() + PATIENCE;
    while outside.count("cloud", doc! { "_id": "position" }).await? == 0 {
        ensure!(Instant::now() < deadline, "no position");
        sleep(Duration::from_millis(20)).await;
    }
    admin.ask(Method::POST, "/v1/grids", &json!({ "name": "town" })).await?;
    let traffic = Traffic::start(admin, "town");
    let mut term = 1;
    for loss in 1..=LOSSES {
        let [first, second] = &masters;
        let (leader, found) = acting(&[first, second], term).await?;
        let heard = cloud.events().len();
        let flows = |cloud: &Cloud| cloud.open() >= 1 && cloud.events().len() > heard + 5;
        let waited = cloud.until("events flow", PATIENCE, flows).await;
        waited.with_context(|| format!("loss {loss}:\n{}", masters[leader].log_tail()))?;
        sleep(Duration::from_millis(rand::random_range(0..60))).await;
        let lost = &mut masters[leader];
        if loss == PAUSED {
            // It wakes up when another one speaks, and must not say what it was about to say.
            let links = cloud.links().0;
            lost.pause()?;
            let speaks = |cloud: &Cloud| cloud.events().last().is_some_and(|last| last.link > links);
            cloud.until("another one speaks", PATIENCE, speaks).await?;
            lost.resume()?;
        } else {
            // What was said lately has not been heard when it dies.
            cloud.behave(Manner { deaf: true, ..manner });
            let services = async || outside.count("grid_services", doc! {}).await;
            let (before, deadline) = (services().await?, Instant::now() + UNHEARD_WITHIN);
            while services().await? < before + UNHEARD && Instant::now() < deadline {
                sleep(Duration::from_millis(20)).await;
            }
            lost.kill()?;
            cloud.behave(manner);
            ensure!(lost.release_lease()?.status.success(), "the lease is not given back");
            lost.launch().await?;
        }
        term = found + 1;
    }
    acting(&[&masters[0], &masters[1]], term).await?;
    let made = traffic.stop().await?;
    let complete = |cloud: &Cloud| Account::of(&made, &cloud.events()).lost == 0;
    let waited = cloud.until("everything is heard", PATIENCE, complete).await;
    let account = Account::of(&made, &cloud.events());
    println!("{} services, {account:?}, {:?} links", made.len(), cloud.links());
    waited.with_context(|| format!("{account:?}\n{}", masters[0].log_tail()))?;
    ensure!(account.lost == 0 && account.reordered == 0, "{account:?}");
    ensure!(account.duplicates <= BATCH * LOSSES, "{account:?}");
    let repeated = cluster(&masters[0]).await?.cloud.context("a link")?.repeated;
    ensure!(account.duplicates <= repeated && repeated <= BATCH * LOSSES, "{account:?}, {repeated} noted");
    assert_eq!((cloud.overlaps(), cloud.faults()), (0, vec![]), "two leaders spoke, or spoke wrongly");
    Ok(())
}

/// What came to the cloud's API: path, authorization, body.
type Told = std::sync::Arc<std::sync::Mutex<Vec<(String, String, String)>>>;

/// A server that gives tokens and takes everything else.
async fn api_of_the_cloud(told: Told) -> Result<String> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let take = move |request: axum::extract::Request| {
        let told = told.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 64 << 10).await.unwrap_or_default();
            let by = parts.headers.get("authorization").and_then(|value| value.to_str().ok());
            let entry = (
                format!("{} {}", parts.method, parts.uri),
                by.unwrap_or_default().to_owned(),
                String::from_utf8_lossy(&body).into_owned(),
            );
            told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(entry);
            axum::Json(json!({ "access_token": "a-token" }))
        }
    };
    let router = axum::Router::new().fallback(take);
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(address)
}

#[tokio::test]
async fn the_cloud_is_told_where_the_master_is_reached_and_again_when_that_changes() -> Result<()> {
    let told = Told::default();
    let api = api_of_the_cloud(told.clone()).await?;
    let scene = Scene::new().await?;
    let mut values = scene.cloud.configuration();
    values["oauth2.token_endpoint"] = json!(format!("{api}/token"));
    values["cloud.api_url"] = json!(api);
    scene.configure(&values).await?;
    let count = |path: &str| {
        told.lock().expect("no panic").iter().filter(|(asked, ..)| asked.as_str() == path).count()
    };
    let wait = async |tellings: usize| {
        let deadline = Instant::now() + PATIENCE;
        while count("PUT /master") < tellings {
            ensure!(Instant::now() < deadline, "told {told:?}\n{}", scene.master.log_tail());
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    };
    wait(1).await?;
    scene.configure(&json!({ "server.root_url": "https://elsewhere.example.com" })).await?;
    wait(2).await?;
    let told = told.lock().expect("no panic").clone();
    let [token, first, _, second] = told.as_slice() else { anyhow::bail!("not four: {told:?}") };
    let form = format!("grant_type=client_credentials&client_id={}&", kontena_testkit::cloud::CLIENT_ID);
    assert!(token.0 == "POST /token" && token.2.starts_with(&form), "{token:?}");
    assert_eq!((first.1.as_str(), second.1.as_str()), ("Bearer a-token", "Bearer a-token"));
    let body: Value = serde_json::from_str(&second.2)?;
    let attributes = &body["data"]["attributes"];
    assert_eq!(attributes["redirect-uri"], "https://elsewhere.example.com/cb");
    assert_eq!(attributes["url"], "https://elsewhere.example.com");
    assert_eq!(attributes["uuid"].as_str().map(str::len), Some(36));
    let log = std::fs::read_to_string(scene.master.log_file())?;
    assert!(!log.contains("a-token") && !log.contains(CLIENT_SECRET), "{log}");
    Ok(())
}
