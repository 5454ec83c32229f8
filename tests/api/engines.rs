//! What engines do when clients ask for it: through the master that holds the session of their agent, and through
//! another one.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use kontena_testkit::mongod::shared;
use mongodb::bson::doc;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::http::Request as Upgrade;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Message};

use crate::host::{ENGINE, Host, Reports};
use crate::world::{Answer, Request, World};

const PATIENCE: Duration = Duration::from_secs(20);
const TOKEN: &str = "maingridtoken00";
const CONTAINER: &str = "/v1/containers/main/core-1/kontena-agent";

/// Two masters, of which the first holds the session of the host; and the administrator's token.
pub(crate) async fn scene() -> Result<(World, Host, String)> {
    let world = World::on(shared().await?.database(), 2).await?;
    world.seeded().await?;
    world.sees_masters(2).await?;
    let admin = world.login().await?;
    let grid = json!({ "name": "main", "token": TOKEN });
    let made = Request::new(Method::POST, "/v1/grids").token(&admin).json(&grid);
    assert_eq!(world.ask(made).await?.status, StatusCode::CREATED);
    let host = Host::connect(&world, 0, TOKEN, Reports::All).await?;
    Ok((world, host, admin))
}

/// A conversation about a command.
pub(crate) struct Exec(WebSocketStream<TcpStream>);

impl Exec {
    pub(crate) async fn open(world: &World, master: usize, path: &str, token: &str) -> Result<Self> {
        let address = world.masters[master].url().replace("http://", "");
        let stream = TcpStream::connect(&address).await?;
        let request = Upgrade::builder()
            .uri(format!("ws://{address}{path}"))
            .header("Host", &address)
            .header("Upgrade", "websocket")
            .header("Connection", "Upgrade")
            .header("Sec-WebSocket-Key", generate_key())
            .header("Sec-WebSocket-Version", "13")
            .header("Authorization", format!("Bearer {token}"));
        let (socket, response) = tokio_tungstenite::client_async(request.body(())?, stream).await?;
        assert!(response.headers().get("x-kontena-version").is_none());
        Ok(Self(socket))
    }

    pub(crate) async fn say(&mut self, frame: &Value) -> Result<()> {
        Ok(self.0.send(Message::Text(frame.to_string().into())).await?)
    }

    /// The next frame, or how the conversation was ended.
    pub(crate) async fn hear(&mut self) -> Result<std::result::Result<Value, Option<CloseFrame>>> {
        loop {
            match timeout(PATIENCE, self.0.next()).await.context("silence")?.context("no close frame")?? {
                Message::Text(text) => return Ok(Ok(serde_json::from_str(&text)?)),
                Message::Close(frame) => return Ok(Err(frame)),
                Message::Binary(_) => bail!("a binary frame"),
                _ => {}
            }
        }
    }

    /// All output of both streams, and with what the command and the conversation ended.
    pub(crate) async fn rest(&mut self) -> Result<(String, String, Value, u16)> {
        let (mut stdout, mut stderr, mut end) = (String::new(), String::new(), Value::Null);
        loop {
            match self.hear().await? {
                Ok(frame) => match frame["stream"].as_str() {
                    Some("stdout") => stdout.push_str(frame["chunk"].as_str().unwrap_or_default()),
                    Some(_) => stderr.push_str(frame["chunk"].as_str().unwrap_or_default()),
                    None => end = frame,
                },
                Err(close) => return Ok((stdout, stderr, end, close.map_or(0, |close| close.code.into()))),
            }
        }
    }
}

#[tokio::test]
async fn commands_run_to_their_end_whichever_master_is_asked() -> Result<()> {
    let (world, host, admin) = scene().await?;
    for master in [0, 1] {
        let mut plain = Exec::open(&world, master, &format!("{CONTAINER}/exec"), &admin).await?;
        plain.say(&json!({ "cmd": ["echo", "hello world"] })).await?;
        let expected = ("hello world\n".to_owned(), String::new(), json!({ "exit": 0 }), 1000);
        assert_eq!(plain.rest().await?, expected, "asked of master {master}");

        let mut shell = Exec::open(&world, master, &format!("{CONTAINER}/exec?shell=true"), &admin).await?;
        shell.say(&json!({ "cmd": ["echo out;", "echo err >&2; exit 3"] })).await?;
        let expected = ("out\n".to_owned(), "err\n".to_owned(), json!({ "exit": 3 }), 1000);
        assert_eq!(shell.rest().await?, expected);

        let path = format!("{CONTAINER}/exec?interactive=true");
        let mut cat = Exec::open(&world, master, &path, &admin).await?;
        cat.say(&json!({ "cmd": ["cat"] })).await?;
        // More than one pipe's fill, with characters that are cut anywhere.
        let line = "äö€😀 und so weiter\n".repeat(500);
        for _ in 0..10 {
            cat.say(&json!({ "stdin": line })).await?;
        }
        cat.say(&json!({ "stdin": null })).await?;
        let (stdout, _, end, code) = cat.rest().await?;
        assert_eq!((end, code), (json!({ "exit": 0 }), 1000));
        assert!(stdout == line.repeat(10), "{} bytes came back", stdout.len());

        let mut missing = Exec::open(&world, master, &format!("{CONTAINER}/exec"), &admin).await?;
        missing.say(&json!({ "cmd": ["no-such-binary"] })).await?;
        let (stdout, _, end, _) = missing.rest().await?;
        assert!(stdout.starts_with("OCI runtime exec failed"), "{stdout}");
        assert_eq!(end, json!({ "exit": 126 }));

        let posted = json!({ "cmd": ["sh", "-c", "echo e >&2; exit 4"] });
        let post = Request::new(Method::POST, format!("{CONTAINER}/exec")).token(&admin).json(&posted);
        assert_eq!(world.ask_of(master, post).await?.json(), json!([[], ["e\n"], 4]));
    }
    wait_for(|| host.calls().get("/containers/terminate_exec").copied().unwrap_or(0) > 0).await?;
    let noted = world.collection("audit_logs").count_documents(doc! { "resource_type": "Container" }).await?;
    assert_eq!(noted, 10);
    Ok(())
}

#[tokio::test]
async fn a_conversation_that_breaks_its_rules_or_its_host_is_ended() -> Result<()> {
    let (world, host, admin) = scene().await?;
    for frames in [
        vec![json!([1])],
        vec![json!({ "stdin": "early" })],
        vec![json!({ "cmd": ["sleep", "60"] }), json!({ "cmd": ["again"] })],
        vec![json!({ "cmd": ["sleep", "60"] }), json!({ "stdin": "not interactive" })],
        vec![json!({ "cmd": ["sleep", "60"] }), json!({ "tty_size": { "width": 1, "height": 1 } })],
    ] {
        let mut exec = Exec::open(&world, 1, &format!("{CONTAINER}/exec"), &admin).await?;
        for frame in &frames {
            exec.say(frame).await?;
        }
        let Err(Some(close)) = exec.hear().await? else { bail!("{frames:?} was not refused") };
        assert_eq!(u16::from(close.code), 4000);
        assert!(!close.reason.is_empty());
    }
    // A client that leaves ends its command at the agent.
    host.calls();
    let mut exec = Exec::open(&world, 1, &format!("{CONTAINER}/exec"), &admin).await?;
    exec.say(&json!({ "cmd": ["sleep", "60"] })).await?;
    drop(exec);
    wait_for(|| host.calls().contains_key("/containers/terminate_exec")).await?;
    // An agent that leaves ends the conversation.
    for master in [0, 1] {
        let host = Host::connect(&world, 0, TOKEN, Reports::All).await?;
        let mut exec = Exec::open(&world, master, &format!("{CONTAINER}/exec"), &admin).await?;
        exec.say(&json!({ "cmd": ["sh", "-c", "echo there; sleep 60"] })).await?;
        assert_eq!(exec.hear().await?, Ok(json!({ "stream": "stdout", "chunk": "there\n" })));
        drop(host);
        let (_, _, end, code) = exec.rest().await?;
        assert!(end["error"].is_string(), "{end}");
        assert_eq!(code, 4000);
    }
    Ok(())
}

#[tokio::test]
async fn engines_are_asked_whichever_master_holds_them_and_who_is_away_is_told_at_once() -> Result<()> {
    let (world, host, admin) = scene().await?;
    let ask = |master, method: Method, path: &str, body: Option<Value>| {
        let mut request = Request::new(method, path).token(&admin);
        if let Some(body) = body {
            request = request.json(&body);
        }
        world.ask_of(master, request)
    };
    for master in [0, 1] {
        let get = async |path: &str| ask(master, Method::GET, path, None).await;
        let health = get("/v1/nodes/main/core-1/health").await?.json();
        assert_eq!(health["etcd_health"], json!({ "health": true, "error": null }));
        assert_eq!(health["status"], "online");
        assert_eq!(get(&format!("{CONTAINER}/inspect")).await?.json()["Path"], "sleep");
        assert_eq!(get(&format!("{CONTAINER}/top")).await?.json(), json!([{ "PID": "1" }]));
        let key = format!("/v1/etcd/main//of-{master}");
        let set = ask(master, Method::POST, &key, Some(json!({ "value": "x" }))).await?;
        assert_eq!(set.json(), json!({ "value": "x" }));
        assert_eq!(get(&key).await?.json(), json!({ "value": "x" }));
        assert_eq!(ask(master, Method::DELETE, &key, None).await?.json(), json!({}));
        assert_eq!(get(&key).await?.json(), json!({ "error": "Key not found" }));
    }
    drop(host);
    // The master notes the end of the session, and does not wait for an agent that is not there.
    let away = |answer: &Answer| answer.status == StatusCode::INTERNAL_SERVER_ERROR;
    let begun = Instant::now();
    while !away(&ask(1, Method::GET, &format!("{CONTAINER}/inspect"), None).await?) {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "still asked");
        sleep(Duration::from_millis(50)).await;
    }
    let begun = Instant::now();
    let refused = ask(1, Method::GET, &format!("{CONTAINER}/inspect"), None).await?;
    assert_eq!((refused.status, &refused.json()["code"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!(503)));
    let etcd = ask(1, Method::GET, "/v1/etcd/main//x", None).await?;
    assert_eq!(etcd.json(), json!({ "error": "Not connected to any nodes" }));
    assert!(begun.elapsed() < Duration::from_secs(2));
    Ok(())
}

#[tokio::test]
async fn agents_are_told_of_what_clients_change() -> Result<()> {
    let (world, host, admin) = scene().await?;
    let ask = async |master, method: Method, path: &str, body: Value| {
        let answer = world.ask_of(master, Request::new(method, path).token(&admin).json(&body)).await?;
        anyhow::ensure!(answer.status.is_success(), "{path}: {} {}", answer.status, answer.text);
        Ok(answer.json())
    };
    host.calls();
    for master in [0, 1] {
        for (method, path, body) in [
            (Method::PUT, "/v1/grids/main", json!({ "trusted_subnets": ["10.0.0.0/8"] })),
            (Method::PUT, "/v1/nodes/main/core-1", json!({ "labels": ["region=x"] })),
        ] {
            ask(master, method, path, body).await?;
            wait_for(|| host.calls() == [("/agent/node_info".to_owned(), 1)].into()).await?;
        }
        ask(master, Method::POST, "/v1/grids/main/nodes", json!({ "name": "other" })).await?;
        ask(master, Method::DELETE, "/v1/nodes/main/other", json!({})).await?;
        wait_for(|| host.calls() == [("/agent/node_info".to_owned(), 1)].into()).await?;
    }
    // A volume with a place on the node.
    let grid = world.collection("grids").find_one(doc! { "name": "main" }).await?.context("a grid")?;
    let node =
        world.collection("host_nodes").find_one(doc! { "node_id": ENGINE }).await?.context("a node")?;
    let node = node.get_object_id("_id")?;
    ask(1, Method::POST, "/v1/volumes/main", json!({ "name": "data", "scope": "grid", "driver": "local" }))
        .await?;
    let volume = world.collection("volumes").find_one(doc! { "name": "data" }).await?.context("a volume")?;
    let place = doc! { "volume_id": volume.get_object_id("_id")?, "host_node_id": node, "name": "data" };
    world.collection("volume_instances").insert_one(place).await?;
    ask(1, Method::DELETE, "/v1/volumes/main/data", json!({})).await?;
    wait_for(|| host.calls() == [("/volumes/notify_update".to_owned(), 1)].into()).await?;
    assert_eq!(world.collection("volume_instances").count_documents(doc! {}).await?, 0);
    // A stateful service stops on a node that is drained, and starts again.
    let service =
        doc! { "grid_id": grid.get_object_id("_id")?, "name": "db", "stateful": true, "state": "running" };
    let service = world.collection("grid_services").insert_one(service).await?.inserted_id;
    let instance = doc! {
        "grid_service_id": service, "host_node_id": node, "instance_number": 1, "desired_state": "running",
    };
    world.collection("grid_service_instances").insert_one(instance).await?;
    for (availability, state) in [("drain", "stopped"), ("active", "running")] {
        let changed = ask(1, Method::PUT, "/v1/nodes/main/core-1", json!({ "availability": availability }));
        assert_eq!(changed.await?["availability"], availability);
        let row = world.collection("grid_service_instances").find_one(doc! {}).await?.context("a row")?;
        assert_eq!(row.get_str("desired_state")?, state);
        let expected = ["/agent/node_info", "/service_pods/notify_update"].map(|call| (call.to_owned(), 1));
        let mut seen = std::collections::BTreeMap::<String, usize>::new();
        wait_for(|| {
            for (call, count) in host.calls() {
                *seen.entry(call).or_default() += count;
            }
            seen == expected.clone().into()
        })
        .await?;
    }
    Ok(())
}

async fn wait_for(mut seen: impl FnMut() -> bool) -> Result<()> {
    let begun = Instant::now();
    while !seen() {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "it did not come");
        sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}
