//! Every method of the agents, on frames of a real one.

use std::collections::BTreeSet;

use super::*;
use crate::agent::Driver;
use crate::rpc::{Message, map};

/// The calls that a real agent made, by method.
fn recorded() -> Vec<(String, Call)> {
    let text = include_str!("../../../../../tests/fixtures/agent/frames.jsonl");
    let mut calls = Vec::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        if row["from"] != "agent" || row["kind"] == "response" {
            continue;
        }
        let bytes = hex::decode(row["hex"].as_str().unwrap()).unwrap();
        let (Message::Request { method, params, .. } | Message::Notification { method, params }) =
            Message::decode(&bytes).unwrap()
        else {
            panic!()
        };
        calls.push((method.clone(), Call::parse(&method, &params).unwrap()));
    }
    calls
}

#[test]
fn every_call_of_a_real_agent_is_understood() {
    let seen: BTreeSet<String> = recorded().into_iter().map(|(method, _)| method).collect();
    assert_eq!(seen.len(), 15, "{seen:?}");
}

#[test]
fn a_real_report_of_a_node_is_read() {
    let report = recorded().into_iter().find_map(|(_, call)| match call {
        Call::UpdateNode { report, .. } => Some(*report),
        _ => None,
    });
    let report = report.unwrap();
    assert_eq!(report.os.as_deref(), Some("Debian GNU/Linux 12 (bookworm)"));
    assert_eq!((report.cpus, report.mem_total), (Some(2), Some(25_276_502_016)));
    assert_eq!(report.private_ip.as_deref(), Some("10.77.0.1"));
    assert_eq!(report.volume_drivers, [Driver { name: "local".to_owned(), version: None }]);
    assert_eq!(report.network_drivers.len(), 6);
}

#[test]
fn a_real_container_is_read() {
    let containers: Vec<Container> = recorded()
        .into_iter()
        .filter_map(|(_, call)| match call {
            Call::SaveContainer { container, .. } => Some(*container),
            _ => None,
        })
        .collect();
    assert!(containers.iter().all(|container| container.id.len() == 64));
    assert!(containers.iter().any(|container| container.label("io.kontena.service.id").is_some()));
    assert!(containers.iter().all(|container| container.network.is_some() && container.image.is_some()));
    assert!(containers.iter().any(|container| container.state.running));
}

#[test]
fn mistakes_are_told_in_the_words_of_the_original() {
    let parse = |method: &str, params: &[Value]| Fault::from(Call::parse(method, params).unwrap_err());
    assert_eq!(parse("/unknown/list", &[]), Fault::not_implemented());
    assert_eq!(parse("rubbish", &[]), Fault::not_implemented());
    let fault = parse("/nodes/destroy_all", &[]);
    assert_eq!((fault.code, fault.message.as_str()), (500, "NoMethodError: undefined method `destroy_all'"));
    let fault = parse("/nodes/update", &[Value::from("a")]);
    assert_eq!(fault.message, "ArgumentError: wrong number of arguments (given 1, expected 2)");
    assert_eq!(parse("/nodes/get", &[Value::Nil]).code, 500);
}

#[test]
fn methods_that_the_recordings_lack_are_read() {
    let text = Value::from;
    let exec =
        |name: &str, params: &[Value]| Call::parse(&format!("/container_exec/{name}"), params).unwrap();
    let chunk = Value::Binary(vec![0xff, 0xfe]);
    assert_eq!(
        exec("output", &[text("x"), text("stderr"), chunk]),
        Call::ExecOutput { exec_id: "x".to_owned(), stream: Stream::Stderr, chunk: vec![0xff, 0xfe] }
    );
    assert_eq!(
        exec("error", &[text("x"), text("Errno::EPIPE: broken")]),
        Call::ExecError { exec_id: "x".to_owned(), error: "Errno::EPIPE: broken".to_owned() }
    );
    assert_eq!(exec("exit", &[text("x"), Value::Nil]), Call::ExecExit { exec_id: "x".to_owned(), code: -1 });
    let stat = map([("id", text("c")), ("cpu", map([("usage_pct", Value::F64(f64::NAN))]))]);
    let Call::ContainerStat { container_id, .. } = Call::parse("/containers/stat", &[stat]).unwrap() else {
        panic!()
    };
    assert_eq!(container_id, "c");
    assert_eq!(
        Call::parse("/nodes/get", &[Value::Binary(b"n".to_vec())]).unwrap(),
        Call::GetNode { node: "n".to_owned() }
    );
}
