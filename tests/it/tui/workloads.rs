//! Services in a real terminal: they are seen as they change, scaled by key, and their log is followed.

use std::time::Duration;

use anyhow::Result;
use kontena_testkit::administrator::Administrator;
use kontena_testkit::agent::{Agent, Settings, Token};
use kontena_testkit::mongod::shared;
use reqwest::Method;
use serde_json::json;

use super::{Tmux, token};
use crate::process::{acting, start};

const GRID_TOKEN: &str = "a-grid-token-for-the-tui";

#[tokio::test]
async fn a_service_is_seen_scaled_and_its_log_followed() -> Result<()> {
    let database = shared().await?.database();
    let master = start("only", &database).await?;
    acting(&[&master], 1).await?;
    let administrator = Administrator::of([&master])?;
    let grid = json!({ "name": "main", "token": GRID_TOKEN, "initial_size": 1 });
    administrator.ask(Method::POST, "/v1/grids", &grid).await?;
    let address = master.url().trim_start_matches("http://").to_owned();
    let mut settings = Settings::new(vec![address], Token::Grid(GRID_TOKEN.to_owned()), 1);
    settings.log_every = Some(Duration::from_millis(300));
    let agent = Agent::start(settings);
    administrator.make_service("main", "web", &json!({})).await?;
    let impossible = json!({ "affinity": ["node==nowhere"] });
    administrator.make_service("main", "stuck", &impossible).await?;

    let tmux = Tmux::open((160, 44), &token(), &format!("--url {}", master.url()))?;
    tmux.sees("the agent", |text| text.contains("2 Agents 1")).await?;
    tmux.press(&["3"])?;
    // The row begins with the name, behind the cursor if it is selected.
    let row = |text: &str, name: &str| -> String {
        let begins = |line: &&str| line.trim_start_matches(['▌', ' ']).starts_with(&format!("{name} "));
        text.lines().find(begins).unwrap_or_default().to_owned()
    };
    tmux.sees("both services, new", |text| {
        row(text, "web").contains("new") && row(text, "stuck").contains("new")
    })
    .await?;
    // The other one cannot be placed, and it is said why.
    tmux.press(&["g", "u"])?;
    tmux.sees("the question", |text| text.contains("kontena service deploy --grid main stuck")).await?;
    tmux.press(&["Enter"])?;
    tmux.sees("why it is stuck", |text| {
        row(text, "stuck").contains("failed") && text.contains("does not meet an affinity")
    })
    .await?;
    // Scaled by key, and seen to run.
    tmux.press(&["j", "n"])?;
    tmux.sees("the question", |text| text.contains("kontena service scale --grid main web N")).await?;
    tmux.press(&["3", "Enter"])?;
    tmux.sees("that three run", |text| {
        row(text, "web").contains("running") && row(text, "web").contains("3/3") && text.contains("#3 ")
    })
    .await?;
    // What was done is told to all, and noted as the administrator's.
    tmux.sees("that it was told", |text| text.contains("deploy started")).await?;
    let (_, audit) = administrator.try_ask(Method::GET, "/v1/audit_logs", &json!(null)).await?;
    let scaled =
        audit["logs"].as_array().and_then(|logs| logs.iter().find(|row| row["event_name"] == "scale"));
    let scaled = scaled.cloned().unwrap_or_default();
    assert_eq!(
        (&scaled["resource_name"], &scaled["user_identity"]["email"]),
        (&json!("web"), &json!("admin"))
    );

    tmux.press(&["L"])?;
    tmux.sees("the log", |text| text.contains("Log of web") && text.contains("GET /items/")).await?;
    let last = |text: &str| -> u64 {
        let numbers = text.split("/items/").skip(1).filter_map(|rest| rest.split(' ').next()?.parse().ok());
        numbers.max().unwrap_or(0)
    };
    let seen = last(&tmux.text()?);
    tmux.sees("more of it", |text| last(text) > seen + 3).await?;
    tmux.press(&["p", "/"])?;
    tmux.press(&["-l", "web-2"])?;
    tmux.press(&["Enter"])?;
    tmux.sees("that it is held and searched", |text| text.contains("held") && text.contains("drop search"))
        .await?;
    tmux.press(&["Escape"])?;
    tmux.sees("that the search is dropped", |text| text.contains("close") && !text.contains("drop search"))
        .await?;
    tmux.press(&["Escape"])?;
    tmux.sees("the list", |text| !text.contains("Log of")).await?;

    // Its node is lost: an administrator sees it without asking.
    tmux.press(&["2"])?;
    tmux.sees("what is on the node", |text| text.contains("web #3")).await?;
    drop(agent);
    tmux.sees("that the agent is gone", |text| text.contains("offline")).await?;
    Ok(())
}

#[tokio::test]
async fn read_only_looks_and_does_not_touch() -> Result<()> {
    let database = shared().await?.database();
    let master = start("only", &database).await?;
    acting(&[&master], 1).await?;
    let administrator = Administrator::of([&master])?;
    administrator.ask(Method::POST, "/v1/grids", &json!({ "name": "main", "initial_size": 1 })).await?;
    administrator.make_service("main", "web", &json!({})).await?;
    let socket = format!("--read-only --url {}", master.url());
    let tmux = Tmux::open((80, 24), &token(), &socket)?;
    tmux.sees("the leader", |text| text.contains("only leads term")).await?;
    tmux.press(&["3"])?;
    tmux.sees("the service", |text| text.contains("web") && text.contains("new")).await?;
    tmux.press(&["u"])?;
    tmux.sees("that it is refused", |text| text.contains("read-only: started with")).await?;
    let (_, shown) = administrator.try_ask(Method::GET, "/v1/services/main/null/web", &json!(null)).await?;
    assert_eq!(shown["state"], "initialized");
    Ok(())
}
