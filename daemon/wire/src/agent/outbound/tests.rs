//! Every method of the master makes the frames of the original.

use super::*;
use crate::rpc::{Message, loose};

/// Frames of the original master by method, with text parameters that it sent as *bin* turned into *str*.
fn recorded(method: &str) -> Vec<Vec<Value>> {
    let text = include_str!("../../../../../tests/fixtures/agent/frames.jsonl");
    let mut found = Vec::new();
    for line in text.lines() {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        if row["from"] != "master" || row["method"] != method {
            continue;
        }
        let bytes = hex::decode(row["hex"].as_str().unwrap()).unwrap();
        let (Message::Request { params, .. } | Message::Notification { params, .. }) =
            Message::decode(&bytes).unwrap()
        else {
            panic!()
        };
        let as_text = |value: Value| match value {
            Value::Binary(_) => Value::from(loose::text(&value).unwrap().as_ref()),
            other => other,
        };
        found.push(params.into_iter().map(as_text).collect());
    }
    assert!(!found.is_empty(), "no frame of {method}");
    found
}

#[test]
fn calls_have_the_parameters_of_the_original() {
    let text = |params: &[Value], at: usize| loose::text(&params[at]).unwrap().into_owned();
    let rebuilt = |method: &str, params: &[Value]| match method {
        "/agent/master_info" => master_info(&loose::text_at(&params[0], "version").unwrap()),
        "/agent/node_info" => node_info(params[0].clone()),
        "/service_pods/restart" => restart_pod(&text(params, 0), loose::integer(&params[1]).unwrap()),
        "/etcd/health" => etcd_health(),
        "/etcd/get" => etcd_get(&text(params, 0), loose::get(&params[1], "recursive").is_some()),
        "/etcd/set" => match loose::text_at(&params[1], "value") {
            Some(value) => etcd_set(&text(params, 0), &value),
            None => etcd_make_directory(&text(params, 0)),
        },
        "/etcd/delete" => {
            let recursive = loose::get(&params[1], "recursive").and_then(loose::flag).unwrap();
            etcd_delete(&text(params, 0), recursive)
        }
        "/containers/inspect" => inspect_container(&text(params, 0)),
        "/containers/exec" => run_in_container(&text(params, 0), params[1].clone()),
        "/containers/create_exec" => create_exec(&text(params, 0)),
        "/containers/run_exec" => {
            let words: Vec<String> = loose::elements(params.get(1))
                .iter()
                .map(|word| loose::text(word).unwrap().into_owned())
                .collect();
            let is = |at: usize| loose::flag(&params[at]).unwrap();
            run_exec(&text(params, 0), &words, is(2), is(3))
        }
        "/containers/tty_input" => exec_input(&text(params, 0), loose::text(&params[1]).as_deref()),
        "/containers/tty_resize" => {
            let side = |key| u32::try_from(loose::integer_at(&params[1], key).unwrap()).unwrap();
            exec_resize(&text(params, 0), side("width"), side("height"))
        }
        "/containers/terminate_exec" => terminate_exec(&text(params, 0)),
        other => panic!("{other}"),
    };
    for method in [
        "/agent/master_info",
        "/agent/node_info",
        "/service_pods/restart",
        "/etcd/health",
        "/etcd/get",
        "/etcd/set",
        "/etcd/delete",
        "/containers/inspect",
        "/containers/exec",
        "/containers/create_exec",
        "/containers/run_exec",
        "/containers/tty_input",
        "/containers/tty_resize",
        "/containers/terminate_exec",
    ] {
        for params in recorded(method) {
            let call = rebuilt(method, &params);
            assert_eq!((call.method, call.params), (method, params));
        }
    }
}

#[test]
fn what_differs_from_the_original_differs_on_purpose() {
    // Its value is not used, but there must be exactly one.
    assert!(recorded("/service_pods/notify_update").iter().all(|params| params.len() == 1));
    assert_eq!(pods_changed().params.len(), 1);
    assert!(recorded("/volumes/notify_update").iter().all(|params| params.len() == 1));
    assert_eq!(volumes_changed().params.len(), 1);
    // The original's second parameter makes the agent refuse the call.
    assert!(recorded("/containers/top").iter().all(|params| params.len() == 2));
    assert_eq!(container_processes("x").params.len(), 1);
    assert_eq!(remove_from_load_balancer(map([])).params.len(), 1);
}
