//! Calls on agents through a master that does not hold their session.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kontena_core::election::{HolderId, TTL_DEFAULT, Timing};
use kontena_core::id::Id;
use kontena_server::{
    AcmeSettings, AgentSettings, Agents, CallError, CloudSettings, ConfigurationDefaults, ExecEvent,
    Listeners, Manager, Master, Settings, Tunables, Wishes,
};
use kontena_testkit::agent::{Agent, Temper, dial};
use kontena_wire::agent::{Stream, outbound};
use kontena_wire::rpc::{Value, loose, map};
use mongodb::bson::doc;
use reqwest::{Method, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::{Stage, eventually};
use crate::process::start;
use crate::store::database_uri;

const SOON: Duration = Duration::from_secs(10);

/// A master in this process, whose agents can be called from the test.
pub(super) struct Inside {
    pub(super) agents: Agents,
    stop: CancellationToken,
    task: JoinHandle<Result<(), kontena_server::RunError>>,
}

impl Inside {
    pub(super) async fn start(uri: &str, number: u8) -> Result<Self> {
        let network = TcpListener::bind("127.0.0.1:0").await?;
        let tunables = Tunables {
            timing: Timing::new(TTL_DEFAULT)?,
            eligible: false,
            preferred: false,
            admin_token: None,
            drain_grace: Duration::ZERO,
        };
        let settings = Settings {
            version: "0".to_owned(),
            compat_version: "1.5.4".to_owned(),
            name: format!("inside-{number}"),
            database: database_uri(uri),
            advertise: None,
            tunables: tunables.clone(),
            vault_proof: None,
            vault: None,
            token_digester: None,
            initial_admin_code: None,
            trusted_proxies: Vec::new(),
            configuration_defaults: ConfigurationDefaults::default(),
            fingerprint: "tests".to_owned(),
            probe_every: None,
            trace: None,
            agents: AgentSettings::default(),
            acme: AcmeSettings {
                directory: "https://127.0.0.1:1/directory".to_owned(),
                roots: None,
                resolver: None,
            },
            cloud: CloudSettings::default(),
            listen: network.local_addr()?,
        };
        let id = HolderId::from_bytes(rand::random());
        let master = Master::build(settings, id, Listeners { network, admin: None }).await?;
        let agents = master.agents();
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let wishes =
            Wishes { stop: async move { stopped.cancelled().await }, tunables: watch::channel(tunables).1 };
        let manager = Manager { watchdog: None, status: Box::new(|_| {}) };
        let task = tokio::spawn(async move { master.run(wishes, manager).await.map(drop) });
        Ok(Self { agents, stop, task })
    }

    pub(super) async fn end(self) -> Result<()> {
        self.stop.cancel();
        Ok(self.task.await??)
    }
}

pub(super) async fn node(stage: &Stage, name: &str) -> Result<Id> {
    let row = stage.outside.one("host_nodes", doc! { "name": name }).await?;
    Ok(Id::from_bytes(row.get_object_id("_id")?.bytes()))
}

/// A master here, and an agent with its node, whose session another one holds.
pub(super) async fn agent_elsewhere() -> Result<(Stage, Inside, Agent, Id)> {
    let stage = Stage::set().await?;
    let here = Inside::start(&stage.database.uri, 1).await?;
    let elsewhere = Agent::start(stage.agent(1));
    eventually(
        "a node",
        async || Ok(stage.outside.count("host_nodes", doc! { "updated": true }).await? == 1),
    )
    .await?;
    let node = node(&stage, "node-1").await?;
    Ok((stage, here, elsewhere, node))
}

#[tokio::test]
async fn a_request_finds_its_agent_at_another_master_and_its_answer_finds_back() -> Result<()> {
    let stage = Stage::set().await?;
    let agent = Agent::start(stage.agent(1));
    eventually("a container", async || Ok(stage.outside.count("containers", doc! {}).await? == 2)).await?;
    let other = Inside::start(&stage.database.uri, 1).await?;
    let node = node(&stage, "node-1").await?;
    let health = other.agents.request(node, outbound::etcd_health()).await?;
    assert_eq!(health, map([("health", Value::from(true))]));
    let container = stage.outside.one("containers", doc! {}).await?;
    let id = container.get_str("container_id")?;
    let inspected = other.agents.request(node, outbound::inspect_container(id)).await?;
    assert_eq!(loose::text_at(&inspected, "Id").as_deref(), Some(id));
    let missing = other.agents.request(node, outbound::inspect_container("unknown")).await;
    assert!(matches!(&missing, Err(CallError::Fault(fault)) if fault.code == 404), "{missing:?}");
    other.agents.notify(node, outbound::pods_changed()).await?;
    other
        .agents
        .announce_grid(Id::from_bytes(
            stage.outside.one("grids", doc! {}).await?.get_object_id("_id")?.bytes(),
        ))
        .await;
    eventually("what was told", async || {
        let calls = agent.record().calls();
        let count = |method: &str| calls.get(method).copied().unwrap_or(0);
        Ok(count("/service_pods/notify_update") == 1 && count("/agent/node_info") == 2)
    })
    .await?;
    assert_eq!(agent.record().faults(), Vec::<String>::new());
    other.end().await
}

#[tokio::test]
async fn who_cannot_be_reached_is_told_at_once() -> Result<()> {
    let mut stage = Stage::set().await?;
    let agent = Agent::start(stage.agent(1));
    eventually(
        "a node",
        async || Ok(stage.outside.count("host_nodes", doc! { "updated": true }).await? == 1),
    )
    .await?;
    let other = Inside::start(&stage.database.uri, 1).await?;
    let node_1 = node(&stage, "node-1").await?;
    let begun = Instant::now();
    let unknown = other.agents.request(Id::from_bytes([9; 12]), outbound::etcd_health()).await;
    assert!(matches!(unknown, Err(CallError::UnknownNode)), "{unknown:?}");
    drop(agent);
    eventually("an offline node", async || {
        Ok(stage.outside.count("host_nodes", doc! { "connected": false }).await? == 1)
    })
    .await?;
    let offline = other.agents.request(node_1, outbound::etcd_health()).await;
    assert!(matches!(&offline, Err(CallError::NotConnected(name)) if name == "node-1"), "{offline:?}");
    assert!(begun.elapsed() < SOON);
    // An agent whose master dies while it owes an answer.
    let mut slow = stage.agent(2);
    slow.temper = Temper::Slow(Duration::from_secs(60));
    let mut connection =
        dial(&kontena_testkit::agent::Dial::agent(&slow, &super::address(&stage.master), 0.0)).await?;
    connection.expect(SOON).await?;
    let node_2 = node(&stage, "node-2").await?;
    let asked = other.agents.request(node_2, outbound::inspect_container("any"));
    let killed = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        stage.master.kill()?;
        stage.master.release_lease()?;
        Ok::<_, anyhow::Error>(())
    };
    let begun = Instant::now();
    let (lost, killed) = tokio::join!(asked, killed);
    killed?;
    assert!(matches!(lost, Err(CallError::Lost)), "{lost:?}");
    assert!(begun.elapsed() < SOON, "took {:?}", begun.elapsed());
    other.end().await
}

/// All output of a command until its end.
pub(super) async fn run(agents: &Agents, node: Id, command: &[&str]) -> Result<(Vec<u8>, ExecEvent)> {
    let mut exec = agents.exec(node, "a container").await?;
    let words: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    exec.run(&words, false, true).await?;
    if words == ["cat"] {
        for line in ["first\n", "second\n"] {
            exec.input(Some(line)).await?;
        }
        exec.resize(80, 24).await?;
        exec.input(None).await?;
    }
    let mut output = Vec::new();
    loop {
        match exec.next().await {
            ExecEvent::Output(_, chunk) => output.extend(chunk),
            end => return Ok((output, end)),
        }
    }
}

#[tokio::test]
async fn commands_run_the_same_here_and_elsewhere() -> Result<()> {
    let (_stage, here, elsewhere, node) = agent_elsewhere().await?;
    assert_eq!(run(&here.agents, node, &["cat"]).await?, (b"first\nsecond\n".to_vec(), ExecEvent::Exit(0)));
    let expected: Vec<u8> = (0..2000).flat_map(|piece| format!("{piece}\n").into_bytes()).collect();
    assert_eq!(run(&here.agents, node, &["flood", "2000"]).await?, (expected, ExecEvent::Exit(0)));
    assert_eq!(run(&here.agents, node, &["invalid"]).await?, (vec![0xff, 0xfe, b'x'], ExecEvent::Exit(3)));
    let mut open = here.agents.exec(node, "a container").await?;
    open.run(&["cat".to_owned()], true, true).await?;
    open.input(Some("x")).await?;
    assert_eq!(open.next().await, ExecEvent::Output(Stream::Stdout, b"x".to_vec()));
    // The agent goes while the command runs.
    drop(elsewhere);
    assert!(matches!(open.next().await, ExecEvent::Error(_)));
    here.end().await
}

#[tokio::test]
async fn an_agent_is_pinged_through_any_master() -> Result<()> {
    let stage = Stage::set().await?;
    let _agent = Agent::start(stage.agent(1));
    eventually(
        "a node",
        async || Ok(stage.outside.count("host_nodes", doc! { "updated": true }).await? == 1),
    )
    .await?;
    let second = start("second", &stage.database).await?;
    super::ready(&second).await?;
    for master in [&stage.master, &second] {
        let path = format!("/v1/cluster/agents/{}/ping", stage.agent(1).node_id);
        let (status, body) = master.ask(Method::POST, &path).await?;
        assert_eq!(status, StatusCode::OK, "{body}");
        assert!(body["round_trip_ms"].as_f64().context("a time")? < 5000.0);
    }
    let (status, _) = second.ask(Method::POST, "/v1/cluster/agents/unknown/ping").await?;
    assert_eq!(status, StatusCode::NOT_FOUND);
    Ok(())
}
