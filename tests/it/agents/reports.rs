//! What agents report and ask: every method, against the documents that must come of it.

use std::time::Duration;

use anyhow::{Context, Result};
use kontena_testkit::agent::{Agent, Connection, dial};
use kontena_wire::rpc::{Fault, Value, loose, map};
use mongodb::bson::{Bson, doc, oid::ObjectId};

use super::{Stage, eventually};

const SOON: Duration = Duration::from_secs(10);

async fn connected(stage: &Stage) -> Result<(Connection, Value)> {
    let mut connection = dial(&stage.dial()).await?;
    connection.expect(SOON).await?;
    connection.expect(SOON).await?;
    Ok((connection, Value::from(stage.agent(1).node_id)))
}

async fn node_id(stage: &Stage) -> Result<ObjectId> {
    Ok(stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?.get_object_id("_id")?)
}

fn fault(code: i64, message: &str) -> Result<Value, Fault> {
    Err(Fault::new(code, message))
}

#[tokio::test]
async fn a_faithful_agent_finds_nothing_to_stumble_over() -> Result<()> {
    let stage = Stage::set().await?;
    let agent = Agent::start(stage.agent(1));
    eventually("an updated node", async || {
        let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
        Ok(node.get_bool("updated")? && node.get_str("os")? == "Simulated GNU/Linux")
    })
    .await?;
    eventually("its containers", async || Ok(stage.outside.count("containers", doc! {}).await? == 2)).await?;
    let container = stage.outside.one("containers", doc! { "name": "node-1-own-0" }).await?;
    assert_eq!(container.get("deleted_at"), Some(&Bson::Null));
    assert_eq!(container.get_datetime("finished_at")?.timestamp_millis(), -62_135_596_800_000);
    assert!(container.get_document("state")?.get_bool("running")?);
    assert_eq!(agent.record().faults(), Vec::<String>::new());
    Ok(())
}

#[tokio::test]
async fn every_request_is_answered_even_those_that_make_no_sense() -> Result<()> {
    let stage = Stage::set().await?;
    let (mut agent, node) = connected(&stage).await?;
    assert_eq!(agent.ask("/unknown/thing", vec![]).await?, Err(Fault::not_implemented()));
    let outcome = agent.ask("/nodes/update", vec![node.clone()]).await?;
    assert_eq!(outcome, fault(500, "ArgumentError: wrong number of arguments (given 1, expected 2)"));
    let outcome = agent.ask("/nodes/drop_all", vec![node.clone()]).await?;
    assert_eq!(outcome, fault(500, "NoMethodError: undefined method `drop_all'"));
    let other = Value::from("another node of the grid");
    let outcome = agent.ask("/nodes/update", vec![other.clone(), map([])]).await?;
    assert_eq!(outcome, fault(500, "RuntimeError: Missing HostNode: another node of the grid"));
    assert_eq!(
        agent.ask("/node_service_pods/list", vec![other]).await?,
        fault(500, "RuntimeError: Node not found")
    );
    let info = agent.ask("/nodes/get", vec![node.clone()]).await??;
    assert_eq!(loose::get(&info, "id"), Some(&node));
    Ok(())
}

#[tokio::test]
async fn containers_come_change_and_go() -> Result<()> {
    let stage = Stage::set().await?;
    let (mut agent, node) = connected(&stage).await?;
    let service = ObjectId::new();
    let secrets = vec![doc! { "_id": ObjectId::new(), "secret": "db", "name": "SECRET", "type": "env" }];
    stage.outside.collection("grid_services").insert_one(doc! { "_id": service, "secrets": secrets }).await?;
    let container = |running: bool| {
        let labels = map([
            ("io.kontena.service.id", Value::from(service.to_hex())),
            ("io.kontena.container.name", Value::from("shop.db-1")),
            ("io.kontena.service.instance_number", Value::from("1")),
            ("io.kontena.container.overlay_network", Value::from("kontena")),
            ("io.kontena.container.overlay_cidr", Value::from("10.81.128.5/16")),
            ("io.kontena.container.deploy_rev", Value::from("2026-11-22 18:24:25 UTC")),
        ]);
        let env = ["SECRET=hidden", "SECRETS=shown", "PLAIN=shown"].map(Value::from).to_vec();
        let body = map([
            ("Id", Value::from("c1")),
            ("Name", Value::from("/shop.db-1")),
            ("State", map([("Running", Value::from(running)), ("Pid", Value::from(17))])),
            (
                "Config",
                map([("Labels", labels), ("Env", Value::Array(env)), ("Image", Value::from("redis:3.0"))]),
            ),
        ]);
        vec![map([("node", node.clone()), ("container", body)])]
    };
    assert_eq!(agent.ask("/containers/save", container(true)).await?, Ok(map([])));
    let row = stage.outside.one("containers", doc! { "container_id": "c1" }).await?;
    let id = row.get_object_id("_id")?;
    assert_eq!((row.get_str("name")?, row.get_object_id("grid_service_id")?), ("shop.db-1", service));
    assert_eq!(row.get_array("env")?, &vec![Bson::from("SECRETS=shown"), Bson::from("PLAIN=shown")]);
    assert_eq!(row.get_document("labels")?.get_str("io;kontena;container;name")?, "shop.db-1");
    let cidr = row.get_document("networks")?.get_document("kontena")?.get_str("overlay_cidr")?;
    assert_eq!((cidr, row.get_i32("instance_number")?), ("10.81.128.5/16", 1));
    // A second report changes the same row, and brings back one that counted as deleted.
    let deleted = doc! { "$currentDate": { "deleted_at": true } };
    stage.outside.collection("containers").update_one(doc! { "_id": id }, deleted).await?;
    assert_eq!(agent.ask("/containers/save", container(false)).await?, Ok(map([])));
    let row = stage.outside.one("containers", doc! { "_id": id }).await?;
    assert!(!row.get_document("state")?.get_bool("running")?);
    assert_eq!(row.get("deleted_at"), Some(&Bson::Null));
    let health = map([
        ("id", Value::from("c1")),
        ("status", Value::from("unhealthy")),
        ("status_code", Value::from("")),
    ]);
    assert_eq!(agent.ask("/containers/health", vec![health]).await?, Ok(Value::Nil));
    let row = stage.outside.one("containers", doc! { "_id": id }).await?;
    assert_eq!(row.get_str("health_status")?, "unhealthy");
    let event = |status: &str| vec![map([("id", Value::from("c1")), ("status", Value::from(status))])];
    assert_eq!(agent.ask("/containers/event", event("die")).await?, Ok(map([])));
    assert_eq!(stage.outside.count("containers", doc! {}).await?, 1);
    assert_eq!(agent.ask("/containers/event", event("destroy")).await?, Ok(map([])));
    assert_eq!(stage.outside.count("containers", doc! {}).await?, 0);
    agent.ask("/containers/save", container(true)).await??;
    let gone = Value::Array(vec![Value::from("c1"), Value::from("c2")]);
    assert_eq!(agent.ask("/containers/cleanup", vec![node.clone(), gone]).await?, Ok(Value::from(1)));
    Ok(())
}

#[tokio::test]
async fn the_state_of_an_instance_never_goes_back() -> Result<()> {
    let stage = Stage::set().await?;
    let (mut agent, node) = connected(&stage).await?;
    let (service, host) = (ObjectId::new(), node_id(&stage).await?);
    let instance = doc! {
        "grid_service_id": service, "host_node_id": host, "instance_number": 1, "desired_state": "running",
        "state": "initialized", "deploy_rev": "2026-11-22 18:24:25 UTC",
    };
    stage.outside.collection("grid_service_instances").insert_one(instance).await?;
    let report = |rev: Option<&str>, state: &str, number: i64| {
        let body = map([
            ("service_id", Value::from(service.to_hex())),
            ("instance_number", Value::from(number)),
            ("rev", rev.map_or(Value::Nil, Value::from)),
            ("state", Value::from(state)),
            ("error", Value::Nil),
        ]);
        vec![node.clone(), body]
    };
    let method = "/node_service_pods/set_state";
    assert_eq!(agent.ask(method, report(Some("2026-11-22 18:24:25 UTC"), "running", 1)).await?, Ok(map([])));
    let seen = async || {
        let row = stage.outside.one("grid_service_instances", doc! { "grid_service_id": service }).await?;
        Ok::<_, anyhow::Error>((row.get_str("rev")?.to_owned(), row.get_str("state")?.to_owned()))
    };
    let expected = |rev: &str, state: &str| (rev.to_owned(), state.to_owned());
    assert_eq!(seen().await?, expected("2026-11-22 18:24:25 UTC", "running"));
    // Of an earlier deploy, as a late message of an old connection would be.
    assert_eq!(agent.ask(method, report(Some("2026-11-22 18:24:20 UTC"), "stopped", 1)).await?, Ok(map([])));
    assert_eq!(seen().await?, expected("2026-11-22 18:24:25 UTC", "running"));
    // Without a deploy, as after a restart of the agent.
    assert_eq!(agent.ask(method, report(None, "stopped", 1)).await?, Ok(map([])));
    assert_eq!(seen().await?, expected("2026-11-22 18:24:25 UTC", "stopped"));
    // Of an older connection than the last that told something, as what a master had to hold back.
    let instances = stage.outside.collection("grid_service_instances");
    instances.update_one(doc! {}, doc! { "$inc": { "told_by.epoch": 1_i64 } }).await?;
    let held_back = report(Some("2026-11-22 18:24:25 UTC"), "running", 1);
    assert_eq!(agent.ask(method, held_back).await?, Ok(map([])));
    assert_eq!(seen().await?, expected("2026-11-22 18:24:25 UTC", "stopped"));
    // What was lost with that connection shows in what its container does, until it is told anew.
    let labels = map([
        ("io.kontena.service.id", Value::from(service.to_hex())),
        ("io.kontena.service.instance_number", Value::from("1")),
    ]);
    let container = |running: bool| {
        let at_work = map([("Running", Value::from(running))]);
        let body =
            [("Id", Value::from("c1")), ("State", at_work), ("Config", map([("Labels", labels.clone())]))];
        vec![map([("node", node.clone()), ("container", map(body))])]
    };
    for before in ["stopped", "missing"] {
        let older = doc! { "$set": { "told_by.epoch": 0_i64, "state": before } };
        instances.update_one(doc! {}, older).await?;
        agent.ask("/containers/save", container(true)).await??;
        assert_eq!(seen().await?, expected("2026-11-22 18:24:25 UTC", "running"), "it was {before}");
    }
    let told = report(Some("2026-11-22 18:24:25 UTC"), "stopped", 1);
    assert_eq!(agent.ask("/node_service_pods/set_state", told).await?, Ok(map([])));
    agent.ask("/containers/save", container(true)).await??;
    assert_eq!(seen().await?, expected("2026-11-22 18:24:25 UTC", "stopped"));
    let unknown = agent.ask(method, report(None, "running", 2)).await?;
    assert_eq!(unknown, fault(500, "RuntimeError: Instance not found"));
    let hook = ObjectId::new();
    let pod = map([("service_id", Value::from(service.to_hex())), ("instance_number", Value::from(1))]);
    let mark = vec![node.clone(), pod, map([("id", Value::from(hook.to_hex()))])];
    let method = "/node_service_pods/mark_oneshot_hook";
    assert_eq!(agent.ask(method, mark.clone()).await?, fault(500, "RuntimeError: Hook not found"));
    let row = doc! { "_id": service, "hooks": [{ "_id": hook, "oneshot": true }] };
    stage.outside.collection("grid_services").insert_one(row).await?;
    for _ in 0..2 {
        assert_eq!(agent.ask(method, mark.clone()).await?, Ok(map([])));
    }
    let row = stage.outside.one("grid_services", doc! { "_id": service }).await?;
    let done = row.get_array("hooks")?[0].as_document().context("a hook")?.get_array("done")?.clone();
    assert_eq!(done, vec![Bson::from("1")]);
    Ok(())
}

#[tokio::test]
async fn volumes_are_listed_whole_and_keep_the_ids_that_agents_know() -> Result<()> {
    let stage = Stage::set().await?;
    let (mut agent, node) = connected(&stage).await?;
    let list = async |agent: &mut Connection| agent.ask("/node_volumes/list", vec![node.clone()]).await;
    assert_eq!(list(&mut agent).await??, map([("volumes", Value::Array(Vec::new()))]));
    let (volume, instance) = (ObjectId::new(), ObjectId::new());
    let place = map([
        ("name", Value::from("shop.data")),
        ("volume_id", Value::from(volume.to_hex())),
        ("volume_instance_id", Value::from(instance.to_hex())),
    ]);
    let set = vec![node.clone(), place];
    let unknown = agent.ask("/node_volumes/set_state", set.clone()).await?;
    assert_eq!(unknown, fault(500, "RuntimeError: Volume not found"));
    let volumes = stage.outside.collection("volumes");
    let row = doc! {
        "_id": volume, "grid_id": ObjectId::new(), "name": "data", "driver": "local",
        "driver_opts": { "o|addr": "10.0.0.1" },
    };
    volumes.insert_one(row).await?;
    let foreign = agent.ask("/node_volumes/set_state", set.clone()).await?;
    assert_eq!(foreign, unknown, "of another grid's volume it would learn the options");
    let grid = stage.outside.one("grids", doc! { "name": "main" }).await?.get_object_id("_id")?;
    volumes.update_one(doc! { "_id": volume }, doc! { "$set": { "grid_id": grid } }).await?;
    for _ in 0..2 {
        assert_eq!(agent.ask("/node_volumes/set_state", set.clone()).await?, Ok(map([])));
    }
    let listed = list(&mut agent).await??;
    let volumes = loose::elements(loose::get(&listed, "volumes"));
    assert_eq!(volumes.len(), 1);
    let text = |key: &str| loose::text_at(&volumes[0], key).unwrap_or_default();
    assert_eq!((text("volume_instance_id"), text("name")), (instance.to_hex(), "shop.data".to_owned()));
    let option = loose::path(&volumes[0], &["driver_opts", "o.addr"]).and_then(loose::text);
    assert_eq!(option.as_deref(), Some("10.0.0.1"));
    // Without its definition a volume cannot be told, and must not look as if it were gone.
    stage.outside.collection("volumes").delete_one(doc! { "_id": volume }).await?;
    assert_eq!(list(&mut agent).await?, fault(503, "the database does not answer"));
    Ok(())
}

#[tokio::test]
async fn an_agent_of_a_removed_node_is_not_told_that_it_has_nothing() -> Result<()> {
    let stage = Stage::set().await?;
    let (mut agent, node) = connected(&stage).await?;
    stage.outside.collection("host_nodes").delete_one(doc! { "name": "node-1" }).await?;
    // It destroys what is missing in a list, and keeps all where there is none.
    for list in ["/node_service_pods/list", "/node_volumes/list"] {
        let answer = agent.ask(list, vec![node.clone()]).await?;
        assert_eq!(answer, fault(500, "RuntimeError: Node not found"), "{list}");
    }
    Ok(())
}

#[tokio::test]
async fn logs_events_and_statistics_arrive() -> Result<()> {
    let stage = Stage::set().await?;
    let (mut agent, node) = connected(&stage).await?;
    let service = ObjectId::new();
    stage
        .outside
        .collection("grid_services")
        .insert_one(doc! { "_id": service, "stack_id": ObjectId::new() })
        .await?;
    let container = map([("Id", Value::from("c1")), ("Name", Value::from("/own"))]);
    agent.ask("/containers/save", vec![map([("node", node.clone()), ("container", container)])]).await??;
    let line = |id: &str, data: &[u8]| {
        map([
            ("id", Value::from(id)),
            ("time", Value::Binary(b"2026-11-22T18:24:31.596611Z".to_vec())),
            ("type", Value::from("stderr")),
            ("data", Value::Binary(data.to_vec())),
        ])
    };
    let lines =
        Value::Array(vec![line("c1", b"hello"), line("c1", b"not utf8: \xff"), line("unknown", b"lost")]);
    let stat = map([("id", Value::from("c1")), ("cpu", map([("usage_pct", Value::F64(f64::NAN))]))]);
    let stats = map([
        ("memory", map([("total", Value::from(25_276_502_016_u64))])),
        ("time", Value::from("2026-11-22 18:25:00 UTC")),
    ]);
    let event = map([
        ("service_id", Value::from(service.to_hex())),
        ("instance_number", Value::from(1)),
        ("severity", Value::from(1)),
        ("type", Value::from("service:create_instance")),
        ("data", Value::from("pulling image")),
    ]);
    for (method, params) in [
        ("/containers/log_batch", vec![lines]),
        ("/containers/stat", vec![stat]),
        ("/nodes/stats", vec![node.clone(), stats]),
        ("/node_service_pods/event", vec![node.clone(), event]),
    ] {
        agent.send(kontena_wire::rpc::Message::notification(method, params)).await?;
    }
    for (collection, count) in
        [("container_logs", 2), ("container_stats", 1), ("host_node_stats", 1), ("event_logs", 1)]
    {
        eventually(collection, async || Ok(stage.outside.count(collection, doc! {}).await? == count)).await?;
    }
    let log = stage.outside.one("container_logs", doc! { "data": "hello" }).await?;
    assert_eq!((log.get_str("type")?, log.get_str("name")?), ("stderr", "own"));
    let row = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
    let memory = row.get_document("latest_stats")?.get_document("memory")?;
    assert_eq!(memory.get_i64("total")?, 25_276_502_016);
    let event = stage.outside.one("event_logs", doc! {}).await?;
    assert_eq!(event.get_document("meta")?.get_i32("instance_number")?, 1);
    Ok(())
}
