//! Who is let in, and what those are told who are not: the rows of the protocol's validation and close codes.

use std::time::Duration;

use anyhow::{Context, Result};
use kontena_store::NewNode;
use kontena_testkit::agent::{Dial, Refused, dial};
use kontena_wire::rpc::{Message, loose};
use mongodb::bson::doc;

use super::{GRID_TOKEN, Stage, eventually};
use crate::store::LIMIT;

const SOON: Duration = Duration::from_secs(10);

/// How a dial ends.
async fn close_of(dialed: &Dial) -> Result<(u16, String)> {
    dial(dialed).await?.expect_close(SOON).await
}

#[tokio::test]
async fn what_is_missing_or_wrong_is_told_in_the_words_of_the_original() -> Result<()> {
    let stage = Stage::set().await?;
    let good = stage.dial();
    let cases: [(Dial, u16, &str); 9] = [
        (good.clone().without("Kontena-Node-Id"), 4000, "Missing Kontena-Node-ID"),
        (good.clone().with("Kontena-Node-Name", ""), 4000, "Missing Kontena-Node-Name"),
        (good.clone().with("Kontena-Grid-Token", "wrong"), 4001, "Invalid grid token"),
        (good.clone().with("Kontena-Grid-Token", ""), 4001, "Invalid grid token"),
        (good.clone().without("Kontena-Grid-Token"), 4004, "Missing token"),
        (
            good.clone().without("Kontena-Grid-Token").with("Kontena-Node-Token", ""),
            4002,
            "Invalid node token",
        ),
        (good.clone().with("Kontena-Connected-At", "rubbish"), 4000, "Malformed Kontena-Connected-At"),
        (good.clone().without("Kontena-Connected-At"), 4000, "Missing Kontena-Connected-At"),
        (good.clone().with("Kontena-Version", "rubbish"), 4000, "Malformed Kontena-Version"),
    ];
    for (dialed, code, reason) in cases {
        assert_eq!(close_of(&dialed).await?, (code, reason.to_owned()));
    }
    assert_eq!(stage.outside.count("host_nodes", doc! {}).await?, 0, "nothing was made for them");
    Ok(())
}

#[tokio::test]
async fn another_version_is_told_which_one_to_run_before_it_is_refused() -> Result<()> {
    let stage = Stage::set().await?;
    // The version is judged first, whatever else is wrong.
    let dialed = stage.dial().with("Kontena-Version", "1.4.3").without("Kontena-Node-Id");
    let mut connection = dial(&dialed).await?;
    let Message::Notification { method, params } = connection.expect(SOON).await? else { panic!() };
    assert_eq!(method, "/agent/master_info");
    assert_eq!(loose::text_at(&params[0], "version").as_deref(), Some("1.5.4"));
    let (code, reason) = connection.expect_close(SOON).await?;
    assert_eq!(code, 4010);
    assert_eq!(reason, "agent version 1.4.3 is not compatible with server version 1.5.4");
    Ok(())
}

#[tokio::test]
async fn a_clock_that_is_off_is_refused_and_noted_with_the_node() -> Result<()> {
    let stage = Stage::set().await?;
    for (off, number, way) in [(-60.0, 1, "past"), (60.0, 2, "future")] {
        let dialed = Dial::agent(&stage.agent(number), &super::address(&stage.master), off);
        let (code, reason) = close_of(&dialed).await?;
        assert_eq!(code, 4020);
        assert!(
            reason.starts_with(&format!("agent connected too far in the {way}, clock offset")),
            "{reason}"
        );
        let node = stage.outside.one("host_nodes", doc! { "name": format!("node-{number}") }).await?;
        assert!(!node.get_bool("connected")?);
        let noted = node.get_document("websocket_connection")?;
        assert_eq!(noted.get_i32("close_code")?, 4020);
        assert!(!noted.get_bool("opened")?);
        assert_eq!(noted.get_str("close_reason")?, reason);
    }
    Ok(())
}

#[tokio::test]
async fn a_new_node_is_made_greeted_and_told_of_itself() -> Result<()> {
    let stage = Stage::set().await?;
    let mut connection = dial(&stage.dial().with("Kontena-Node-Labels", "zone=a,ssd")).await?;
    let header =
        |name: &str| connection.headers.get(name).map(|value| value.to_str().unwrap_or_default().to_owned());
    assert_eq!(header("kontena-version").as_deref(), Some("1.5.4"));
    assert_eq!(header("kontena-connected-at").context("no time")?.len(), 30);
    // In the database before the first message.
    let node = stage.outside.one("host_nodes", doc! { "name": "node-1" }).await?;
    assert!(node.get_bool("connected")?);
    assert!(!node.get_bool("updated")?);
    assert_eq!((node.get_i32("node_number")?, node.get_i64("session_epoch")?), (1, 1));
    assert_eq!(node.get_array("labels")?.len(), 2);
    assert!(node.get_document("websocket_connection")?.get_bool("opened")?);
    let Message::Notification { method, .. } = connection.expect(SOON).await? else { panic!() };
    assert_eq!(method, "/agent/master_info");
    let Message::Notification { method, params } = connection.expect(SOON).await? else { panic!() };
    assert_eq!(method, "/agent/node_info");
    let info = &params[0];
    let text = |key: &str| loose::text_at(info, key).unwrap_or_default();
    assert_eq!((text("id"), text("name")), (stage.agent(1).node_id, "node-1".to_owned()));
    assert_eq!(
        (text("overlay_ip"), loose::integer_at(info, "node_number")),
        ("10.81.0.1".to_owned(), Some(1))
    );
    assert_eq!(loose::get(info, "initial_member").and_then(loose::flag), Some(true));
    let grid = loose::get(info, "grid").context("no grid")?;
    assert_eq!(loose::text_at(grid, "name").as_deref(), Some("main"));
    assert!(loose::elements(loose::get(grid, "trusted_subnets")).is_empty());
    assert!(loose::path(grid, &["stats", "statsd"]).context("no statsd")?.is_nil());
    // The same name again becomes another one; the number is the lowest that is free.
    let second =
        Dial::agent(&stage.agent(2), &super::address(&stage.master), 0.0).with("Kontena-Node-Name", "node-1");
    let _second = dial(&second).await?;
    stage.outside.one("host_nodes", doc! { "name": "node-1-2", "node_number": 2 }).await?;
    Ok(())
}

#[tokio::test]
async fn a_node_token_admits_the_first_that_brings_it_and_nobody_else() -> Result<()> {
    let stage = Stage::set().await?;
    let grid = stage.store.grids().by_tokens(&[GRID_TOKEN]).await?[GRID_TOKEN].id;
    let token = |name: &str| NewNode {
        grid,
        node_id: None,
        token: Some(format!("token-of-{name}-0123456789")),
        name: name.to_owned(),
        yields: true,
        labels: vec!["made=yes".to_owned()],
        agent_version: None,
    };
    let made = stage.store.host_nodes().create(&[token("edge-1"), token("edge-2")], LIMIT).await?;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let with_token = |number: usize, name: &str| {
        let agent = Dial::agent(&stage.agent(number), &super::address(&stage.master), 0.0);
        agent
            .without("Kontena-Grid-Token")
            .with("Kontena-Node-Token", format!("token-of-{name}-0123456789"))
            .with("Kontena-Node-Labels", "zone=b")
    };
    let mut first = dial(&with_token(1, "edge-1")).await?;
    first.expect(SOON).await?;
    let node = stage.outside.one("host_nodes", doc! { "name": "edge-1" }).await?;
    assert_eq!(node.get_str("node_id")?, stage.agent(1).node_id);
    assert_eq!(node.get_array("labels")?.len(), 2, "its own and those of the agent");
    for (dialed, code, reason) in [
        (with_token(2, "edge-1"), 4003, "Invalid node token, already used by a different node"),
        (with_token(1, "edge-2"), 4006, "Invalid node ID, already used by a different node"),
        (with_token(3, "unknown"), 4002, "Invalid node token"),
    ] {
        assert_eq!(close_of(&dialed).await?, (code, reason.to_owned()));
    }
    // The same agent comes back with it.
    drop(first);
    let mut again = dial(&with_token(1, "edge-1")).await?;
    again.expect(SOON).await?;
    let node = stage.outside.one("host_nodes", doc! { "name": "edge-1" }).await?;
    assert_eq!(node.get_i64("session_epoch")?, 2);
    // The node was made for a token: the grid's does not admit it.
    let (code, reason) = close_of(&stage.dial()).await?;
    assert_eq!((code, reason.as_str()), (4005, "Invalid grid token, node was created using a node token"));
    Ok(())
}

#[tokio::test]
async fn of_hosts_that_bring_one_token_at_once_the_first_stays_and_the_others_are_told() -> Result<()> {
    const TOKENS: usize = 12;
    let stage = Stage::set().await?;
    let grid = stage.store.grids().by_tokens(&[GRID_TOKEN]).await?[GRID_TOKEN].id;
    let token = |number: usize| format!("token-of-edge-{number}-0123456789");
    let node = |number: usize| NewNode {
        grid,
        node_id: None,
        token: Some(token(number)),
        name: format!("edge-{number}"),
        yields: true,
        labels: Vec::new(),
        agent_version: None,
    };
    let nodes: Vec<NewNode> = (0..TOKENS).map(node).collect();
    assert!(stage.store.host_nodes().create(&nodes, LIMIT).await?.iter().all(Result::is_ok));
    // The first to come is let in alone, and those who come meanwhile together: most tokens come twice among them.
    let dials: Vec<Dial> = (0..2 * TOKENS)
        .map(|host| {
            let agent = Dial::agent(&stage.agent(host + 1), &super::address(&stage.master), 0.0);
            agent.without("Kontena-Grid-Token").with("Kontena-Node-Token", token(host % TOKENS))
        })
        .collect();
    let connections = futures_util::future::try_join_all(dials.iter().map(dial)).await?;
    let mut stay = Vec::new();
    for mut connection in connections {
        match tokio::time::timeout(SOON, connection.next()).await?? {
            Ok(_) => stay.push(connection),
            Err((code, reason)) => assert_eq!(
                (code, reason.as_str()),
                (4003, "Invalid node token, already used by a different node")
            ),
        }
    }
    assert_eq!(stay.len(), TOKENS);
    // Their sessions last.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let in_force = doc! { "connected": true, "session_epoch": 1 };
    assert_eq!(stage.outside.count("host_nodes", in_force).await?, u64::try_from(TOKENS)?);
    Ok(())
}

#[tokio::test]
async fn of_two_tokens_the_grids_counts_and_a_known_node_keeps_what_it_was_given() -> Result<()> {
    let stage = Stage::set().await?;
    let both = stage.dial().with("Kontena-Node-Token", "unknown").with("Kontena-Node-Labels", "zone=a");
    dial(&both).await?.expect(SOON).await?;
    let before = stage.outside.one("host_nodes", doc! {}).await?;
    let changed = stage
        .dial()
        .with("Kontena-Node-Name", "renamed")
        .with("Kontena-Node-Labels", "zone=b")
        .with("Kontena-Version", "1.5.2");
    dial(&changed).await?.expect(SOON).await?;
    let after = stage.outside.one("host_nodes", doc! {}).await?;
    assert_eq!(after.get_i64("session_epoch")?, 2);
    for field in ["_id", "name", "labels", "agent_version", "node_number"] {
        assert_eq!(after.get(field), before.get(field), "{field}");
    }
    assert_eq!(before.get_array("labels")?, &vec!["zone=a".into()]);
    Ok(())
}

#[tokio::test]
async fn what_an_agent_sends_before_it_is_greeted_is_carried_out() -> Result<()> {
    let stage = Stage::set().await?;
    let mut connection = dial(&stage.dial()).await?;
    // Queued while it was away, and sent with the 101.
    let answer =
        connection.ask("/nodes/get", vec![kontena_wire::rpc::Value::from(stage.agent(1).node_id)]).await?;
    assert_eq!(loose::text_at(&answer?, "name").as_deref(), Some("node-1"));
    Ok(())
}

#[tokio::test]
async fn patience_and_the_announced_version_can_be_set() -> Result<()> {
    let lines = "[agents]\ncompat_version = \"1.6.0.dev\"\nclock_skew = \"30s\"\nping_timeout = \"10s\"\n";
    let stage = Stage::configured(lines).await?;
    let dialed = |number: usize, version: &str, off: f64| {
        Dial::agent(&stage.agent(number), &super::address(&stage.master), off)
            .with("Kontena-Version", version)
    };
    // Ten seconds for the connect and thirty for the clock; thirty the other way.
    for (number, off) in [(1, -37.0), (2, 27.0)] {
        let mut connection = dial(&dialed(number, "1.6.0.dev", off)).await?;
        let Message::Notification { params, .. } = connection.expect(SOON).await? else { panic!() };
        assert_eq!(loose::text_at(&params[0], "version").as_deref(), Some("1.6.0.dev"));
    }
    for off in [-45.0, 35.0] {
        assert_eq!(close_of(&dialed(3, "1.6.0.dev", off)).await?.0, 4020);
    }
    let (code, reason) = close_of(&dialed(4, "1.5.4", 0.0)).await?;
    assert_eq!(
        (code, reason.as_str()),
        (4010, "agent version 1.5.4 is not compatible with server version 1.6.0.dev")
    );
    Ok(())
}

#[tokio::test]
async fn a_node_of_another_grid_is_refused_and_a_full_grid_takes_nobody() -> Result<()> {
    let stage = Stage::set().await?;
    let side = super::grid(&stage.store, "side", "token-of-the-side-grid").await?;
    let _connection = dial(&stage.dial()).await?;
    assert_eq!(close_of(&stage.dial().with("Kontena-Grid-Token", "token-of-the-side-grid")).await?.0, 4006);
    let node = |number: usize| NewNode {
        grid: side,
        node_id: Some(format!("FULL-{number}")),
        token: None,
        name: format!("full-{number}"),
        yields: true,
        labels: Vec::new(),
        agent_version: None,
    };
    let nodes: Vec<NewNode> = (1..=254).map(node).collect();
    assert!(stage.store.host_nodes().create(&nodes, LIMIT).await?.iter().all(Result::is_ok));
    let late = Dial::agent(&stage.agent(9), &super::address(&stage.master), 0.0);
    let (code, reason) = close_of(&late.with("Kontena-Grid-Token", "token-of-the-side-grid")).await?;
    assert_eq!(code, 1008, "{reason}");
    Ok(())
}

#[tokio::test]
async fn without_a_database_agents_are_told_to_come_back_by_http() -> Result<()> {
    let settings =
        kontena_testkit::master::Settings::new("lonely", "mongodb://127.0.0.1:1/nothing?replicaSet=rs0");
    let master = kontena_testkit::master::Master::start(settings).await?;
    let agent = kontena_testkit::agent::Settings::new(
        vec![super::address(&master)],
        kontena_testkit::agent::Token::Grid(GRID_TOKEN.to_owned()),
        1,
    );
    let refused = dial(&Dial::agent(&agent, &super::address(&master), 0.0)).await.expect_err("let in");
    assert_eq!(refused.downcast_ref::<Refused>().context("another error")?.status, 503);
    Ok(())
}

#[tokio::test]
async fn only_the_root_of_the_network_listener_takes_agents() -> Result<()> {
    let stage = Stage::set().await?;
    let http = kontena_testkit::http::client().build()?;
    let upgrade = |url: String| {
        http.get(url)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let elsewhere = upgrade(format!("{}/v1/agents", stage.master.url())).send().await?;
    assert_ne!(elsewhere.status(), 101);
    let local = kontena_testkit::http::client().unix_socket(stage.master.admin_socket()).build()?;
    let local = local.get("http://master/").header("Connection", "Upgrade").header("Upgrade", "websocket");
    assert_ne!(local.send().await?.status(), 101);
    Ok(())
}

#[tokio::test]
async fn agents_are_counted() -> Result<()> {
    let stage = Stage::set().await?;
    let mut connection = dial(&stage.dial()).await?;
    connection.expect(SOON).await?;
    eventually("one agent", async || {
        let cluster = crate::process::cluster(&stage.master).await?;
        Ok((cluster.agents.connected, cluster.agents.total) == (1, 1))
    })
    .await?;
    drop(connection);
    eventually("no agent", async || Ok(crate::process::cluster(&stage.master).await?.agents.connected == 0))
        .await
}
