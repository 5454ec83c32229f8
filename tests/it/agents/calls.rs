//! What masters call on agents: every row of the protocol's table, as it arrives at an agent whose session another
//! master holds.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kontena_core::id::Id;
use kontena_server::{Agents, CallError, ExecEvent};
use kontena_testkit::agent::{Connection, dial};
use kontena_wire::agent::Stream;
use kontena_wire::agent::outbound::{self, Outbound};
use kontena_wire::rpc::{Fault, Message, Value, map};
use mongodb::bson::doc;

use super::Stage;
use super::bus::Inside;

const SOON: Duration = Duration::from_secs(10);

/// A master without the session, the node, and the agent that the other one holds.
async fn scene(stage: &Stage) -> Result<(Inside, Id, Connection)> {
    let mut agent = dial(&stage.dial()).await?;
    agent.expect(SOON).await?;
    agent.expect(SOON).await?;
    let row = stage.outside.one("host_nodes", doc! {}).await?;
    let inside = Inside::start(&stage.database.uri, 1).await?;
    Ok((inside, Id::from_bytes(row.get_object_id("_id")?.bytes()), agent))
}

/// Makes a request and answers it as the agent; what arrived there, and what came back.
async fn exchange(
    agents: &Agents,
    node: Id,
    agent: &mut Connection,
    call: Outbound,
    outcome: Result<Value, Fault>,
) -> Result<((String, Vec<Value>), Result<Value, CallError>)> {
    let answering = async {
        let Message::Request { id, method, params } = agent.expect(SOON).await? else { bail!("no request") };
        agent.send(Message::Response { id, outcome }).await?;
        Ok((method, params))
    };
    let (came_back, arrived) = tokio::join!(agents.request(node, call), answering);
    Ok((arrived?, came_back))
}

#[tokio::test]
async fn every_request_arrives_with_its_parameters_and_its_answer_comes_back() -> Result<()> {
    let stage = Stage::set().await?;
    let (inside, node, mut agent) = scene(&stage).await?;
    let text = |text: &str| Value::from(text);
    let (empty, ok) = (map([]), map([("value", Value::from("v"))]));
    let pod = map([("id", Value::from("service/1"))]);
    let command = Value::Array(vec![text("ls"), text("-l")]);
    let flag = |key: &'static str, value: bool| map([(key, Value::from(value))]);
    let rows: Vec<(Outbound, &str, Vec<Value>)> = vec![
        (outbound::pods_changed(), "/service_pods/notify_update", vec![Value::Array(Vec::new())]),
        (outbound::volumes_changed(), "/volumes/notify_update", vec![Value::Array(Vec::new())]),
        (
            outbound::remove_from_load_balancer(pod.clone()),
            "/load_balancers/remove_service",
            vec![pod.clone()],
        ),
        (outbound::etcd_get("/app", false), "/etcd/get", vec![text("/app"), empty.clone()]),
        (outbound::etcd_get("//app", true), "/etcd/get", vec![text("//app"), flag("recursive", true)]),
        (
            outbound::etcd_set("/app", "v"),
            "/etcd/set",
            vec![text("/app"), map([("value", Value::from("v"))])],
        ),
        (outbound::etcd_make_directory("/dir"), "/etcd/set", vec![text("/dir"), flag("dir", true)]),
        (outbound::etcd_delete("/app", false), "/etcd/delete", vec![text("/app"), flag("recursive", false)]),
        (outbound::etcd_health(), "/etcd/health", vec![]),
        (outbound::inspect_container("c1"), "/containers/inspect", vec![text("c1")]),
        (outbound::container_processes("c1"), "/containers/top", vec![text("c1")]),
        (
            outbound::run_in_container("c1", command.clone()),
            "/containers/exec",
            vec![text("c1"), command, empty.clone()],
        ),
        (outbound::create_exec("c1"), "/containers/create_exec", vec![text("c1")]),
    ];
    for (call, method, params) in rows {
        let (arrived, came_back) = exchange(&inside.agents, node, &mut agent, call, Ok(ok.clone())).await?;
        assert_eq!(arrived, (method.to_owned(), params));
        assert_eq!(came_back.ok().as_ref(), Some(&ok), "{method}");
    }
    // What an agent could not do is told in its words.
    let fault = Fault::new(404, "Container not found");
    let call = outbound::inspect_container("c2");
    let (_, came_back) = exchange(&inside.agents, node, &mut agent, call, Err(fault.clone())).await?;
    assert!(matches!(&came_back, Err(CallError::Fault(found)) if *found == fault), "{came_back:?}");
    inside.end().await
}

#[tokio::test]
async fn every_notification_arrives_in_its_order() -> Result<()> {
    let stage = Stage::set().await?;
    let (inside, node, mut agent) = scene(&stage).await?;
    let id = "0123456789abcdef";
    let size = map([("width", Value::from(80)), ("height", Value::from(24))]);
    let words = vec!["sh".to_owned(), "-c".to_owned(), "ls".to_owned()];
    let command = Value::Array(words.iter().map(|word| Value::from(word.as_str())).collect());
    let rows: Vec<(Outbound, Vec<Value>)> = vec![
        (outbound::pods_changed(), vec![Value::Array(Vec::new())]),
        (outbound::volumes_changed(), vec![Value::Array(Vec::new())]),
        (outbound::restart_pod(id, 2), vec![id.into(), 2.into()]),
        (outbound::run_exec(id, &words, true, false), vec![id.into(), command, true.into(), false.into()]),
        (outbound::exec_input(id, Some("x")), vec![id.into(), "x".into()]),
        (outbound::exec_input(id, None), vec![id.into(), Value::Nil]),
        (outbound::exec_resize(id, 80, 24), vec![id.into(), size]),
        (outbound::terminate_exec(id), vec![id.into()]),
    ];
    for (call, _) in &rows {
        inside.agents.notify(node, call.clone()).await?;
    }
    for (call, params) in rows {
        let Message::Notification { method, params: arrived } = agent.expect(SOON).await? else {
            bail!("no notification");
        };
        assert_eq!((method.as_str(), arrived), (call.method, params));
    }
    inside.end().await
}

#[tokio::test]
async fn a_command_that_fails_is_told_and_nobody_else_may_speak_for_it() -> Result<()> {
    let stage = Stage::set().await?;
    let (inside, node, mut agent) = scene(&stage).await?;
    let mut stranger =
        dial(&kontena_testkit::agent::Dial::agent(&stage.agent(2), &super::address(&stage.master), 0.0))
            .await?;
    stranger.expect(SOON).await?;
    let answering = async {
        let Message::Request { id, .. } = agent.expect(SOON).await? else { bail!("no request") };
        agent.send(Message::Response { id, outcome: Ok(map([("id", Value::from("exec-1"))])) }).await
    };
    let (exec, answered) = tokio::join!(inside.agents.exec(node, "c1"), answering);
    answered?;
    let mut exec = exec.ok().context("no session")?;
    let output = |text: &str| {
        let params = vec!["exec-1".into(), "stderr".into(), Value::Binary(text.as_bytes().to_vec())];
        Message::notification("/container_exec/output", params)
    };
    stranger.send(output("forged")).await?;
    agent.send(output("genuine")).await?;
    assert_eq!(exec.next().await, ExecEvent::Output(Stream::Stderr, b"genuine".to_vec()));
    let words = "Docker::Error::NotFoundError: gone";
    let error = Message::notification("/container_exec/error", vec!["exec-1".into(), words.into()]);
    agent.send(error).await?;
    assert_eq!(exec.next().await, ExecEvent::Error(words.to_owned()));
    drop(exec);
    let Message::Notification { method, .. } = agent.expect(SOON).await? else { bail!("not ended") };
    assert_eq!(method, "/containers/terminate_exec");
    inside.end().await
}
