//! What agents said and what waits: for a database that is away, or in a socket whose session has ended.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use kontena_testkit::agent::{Connection, dial};
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::shared;
use kontena_testkit::relay::Relay;
use kontena_wire::rpc::{self, Value, map};
use mongodb::bson::{doc, oid::ObjectId};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::Message;

use super::{Stage, eventually};

const SOON: Duration = Duration::from_secs(10);
/// For the answer to an agent's ping, as agents want it.
const PONG_WITHIN: Duration = Duration::from_secs(5);
const REV: &str = "2026-11-22 18:24:25 UTC";

/// A master whose database can be cut off.
async fn behind(number: u8) -> Result<(Stage, Relay)> {
    let database = shared().await?.database();
    let relay = Relay::start(shared().await?.set(), number)?;
    let master = Master::start(Settings::new("only", relay.uri(&database.name))).await?;
    Ok((Stage::around(master, database).await?, relay))
}

/// A greeted connection of the first agent, and an instance on its node that was not reported yet.
async fn with_instance(stage: &Stage) -> Result<(Connection, ObjectId)> {
    let mut connection = dial(&stage.dial()).await?;
    connection.expect(SOON).await?;
    connection.expect(SOON).await?;
    let host = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?.get_object_id("_id")?;
    let service = ObjectId::new();
    let instance = doc! {
        "grid_service_id": service, "host_node_id": host, "instance_number": 1, "desired_state": "running",
        "state": "initialized", "deploy_rev": REV,
    };
    stage.outside.collection("grid_service_instances").insert_one(instance).await?;
    Ok((connection, service))
}

fn request(id: u64, method: impl Into<String>, params: Vec<Value>) -> rpc::Message {
    rpc::Message::Request { id, method: method.into(), params }
}

fn container(stage: &Stage, id: &str) -> Vec<Value> {
    let container = map([("Id", Value::from(id)), ("Name", Value::from(format!("/{id}")))]);
    vec![map([("node", Value::from(stage.agent(1).node_id)), ("container", container)])]
}

/// That the instance runs.
fn state(stage: &Stage, service: ObjectId) -> Vec<Value> {
    let body = map([
        ("service_id", Value::from(service.to_hex())),
        ("instance_number", Value::from(1)),
        ("rev", Value::from(REV)),
        ("state", Value::from("running")),
        ("error", Value::Nil),
    ]);
    vec![Value::from(stage.agent(1).node_id), body]
}

async fn seen_running(stage: &Stage, service: ObjectId) -> Result<()> {
    let running = doc! { "grid_service_id": service, "state": "running", "rev": REV };
    eventually("what was told of the instance", async || {
        Ok(stage.outside.count("grid_service_instances", running.clone()).await? == 1)
    })
    .await
}

/// Waits for the answer to a ping; what else comes is passed over.
async fn pong(agent: &mut Connection, payload: &str) -> Result<()> {
    let answered = async {
        loop {
            match agent.socket.next().await {
                Some(Ok(Message::Pong(found))) if found.as_ref() == payload.as_bytes() => return Ok(()),
                Some(Ok(_)) => {}
                other => bail!("the connection ended: {other:?}"),
            }
        }
    };
    timeout(PONG_WITHIN, answered).await.context("no answer to a ping in time")?
}

#[tokio::test]
async fn pings_are_answered_while_much_waits_for_the_database() -> Result<()> {
    const CONTAINERS: u64 = 300;
    let (stage, relay) = behind(61).await?;
    let (mut agent, _) = with_instance(&stage).await?;
    relay.cut();
    for number in 1..=CONTAINERS {
        let body = container(&stage, &format!("c{number}"));
        agent.send(request(number, "/containers/save", body)).await?;
    }
    for round in 0..3 {
        let payload = format!("ping {round}");
        agent.socket.send(Message::Ping(payload.clone().into())).await?;
        pong(&mut agent, &payload).await?;
    }
    // What needs no database does not wait behind what does.
    let started = map([("id", Value::from("c1")), ("status", Value::from("start"))]);
    let answer = timeout(PONG_WITHIN, agent.ask("/containers/event", vec![started])).await?;
    assert_eq!(answer?, Ok(map([])));
    relay.heal();
    eventually("all containers", async || Ok(stage.outside.count("containers", doc! {}).await? == CONTAINERS))
        .await
}

#[tokio::test]
async fn what_an_ended_session_said_of_containers_is_left_to_the_next() -> Result<()> {
    let (stage, relay) = behind(62).await?;
    let (mut agent, service) = with_instance(&stage).await?;
    relay.cut();
    // The first is under way when the session ends.
    agent.send(request(1, "/nodes/get", vec![Value::from(stage.agent(1).node_id)])).await?;
    agent.send(request(2, "/containers/save", container(&stage, "older"))).await?;
    agent.send(request(3, "/node_service_pods/set_state", state(&stage, service))).await?;
    agent.socket.send(Message::Close(None)).await?;
    // Answered when the session is over.
    agent.expect_close(SOON).await?;
    relay.heal();
    // State comes after the container, and is not told again.
    seen_running(&stage, service).await?;
    assert_eq!(stage.outside.count("containers", doc! {}).await?, 0);
    Ok(())
}

#[tokio::test]
async fn what_lies_in_the_socket_when_a_session_ends_is_carried_out() -> Result<()> {
    /// More together than any buffers between the two hold.
    const LONG: usize = 512 << 10;
    const COUNT: u64 = 64;
    let stage = Stage::set().await?;
    let (mut agent, service) = with_instance(&stage).await?;
    let talk = async {
        // Each is answered by its own length, and the answers are not read, until the master gives up to write them.
        let method = format!("/nodes/{}", "x".repeat(LONG));
        for number in 1..=COUNT {
            agent.send(request(number, method.clone(), vec![])).await?;
        }
        agent.send(request(COUNT + 1, "/node_service_pods/set_state", state(&stage, service))).await?;
        agent.socket.send(Message::Close(None)).await?;
        Ok::<_, anyhow::Error>(())
    };
    timeout(SOON * 3, talk).await.context("the master does not read to the end")??;
    seen_running(&stage, service).await?;
    let ended = doc! { "websocket_connection.close_reason": "its host takes no data" };
    eventually("why it ended", async || Ok(stage.outside.count("host_nodes", ended.clone()).await? == 1))
        .await
}
