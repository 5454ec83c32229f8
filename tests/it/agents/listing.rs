//! The list of all agents, which people look at.

use anyhow::{Context, Result};
use kontena_testkit::agent::Agent;
use kontena_testkit::terminal::Terminal;
use kontena_wire::agents::AgentList;
use kontena_wire::events::Happening;

use super::{PATIENCE, Stage, eventually};
use crate::events::Follower;

#[tokio::test]
async fn agents_are_listed_with_the_master_that_holds_them_and_seen_in_the_terminal() -> Result<()> {
    let stage = Stage::set().await?;
    let (first, second) = (Agent::start(stage.agent(1)), Agent::start(stage.agent(2)));
    let list = async || -> Result<AgentList> {
        Ok(serde_json::from_value(stage.master.get("/v1/cluster/agents").await?)?)
    };
    let online = async |wanted: usize| -> Result<bool> {
        Ok(list().await?.agents.iter().filter(|agent| agent.connected).count() == wanted)
    };
    eventually("two agents", async || online(2).await).await?;
    let listed = list().await?;
    let agent = listed.agents.first().context("an agent")?;
    assert_eq!((agent.grid.as_str(), agent.master.as_deref()), ("main", Some("only")));
    assert!(agent.since.is_some());
    let url = stage.master.url();
    let token = [("KONTENA_TOKEN", kontena_testkit::master::TOKEN)];
    let terminal = tokio::task::spawn_blocking(move || -> Result<Terminal> {
        let mut terminal =
            Terminal::start("kontena-tui", &["--url", &url, "--socket", "/nonexistent"], &token, (120, 30))?;
        terminal.press("2")?;
        terminal.wait_for("both agents", PATIENCE, |text| text.matches(" online ").count() == 2)?;
        Ok(terminal)
    })
    .await??;
    drop(second);
    eventually("that one is gone", async || online(1).await).await?;
    tokio::task::spawn_blocking(move || {
        terminal.wait_for("the one that is gone", PATIENCE, |text| text.contains(" offline "))
    })
    .await??;
    drop(first);
    Ok(())
}

#[tokio::test]
async fn every_masters_feed_tells_who_came_and_who_left() -> Result<()> {
    let stage = Stage::set().await?;
    let second = crate::process::start("second", &stage.database).await?;
    super::knows_another(&stage.master).await?;
    let mut followers = [Follower::new(&stage.master, None).await?, Follower::new(&second, None).await?];
    let agent = Agent::start(stage.agent(1));
    let told = |came: bool| {
        move |what: &Happening| match what {
            // On a slow machine an agent may come and leave more than once.
            Happening::Agents { master, names, came: connected, left, .. } => {
                let of_it = names.iter().any(|one| one.name == "node-1" && one.came == came);
                master.name == "only" && of_it && if came { *connected >= 1 } else { *left >= 1 }
            }
            _ => false,
        }
    };
    for follower in &mut followers {
        follower.until(told(true)).await?;
    }
    drop(agent);
    for follower in &mut followers {
        follower.until(told(false)).await?;
    }
    Ok(())
}
