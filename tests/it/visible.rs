//! What lasts is told to administrators, by every master (from whom the TUI has it) and by `doctor`.

use std::time::Duration;

use anyhow::{Context, Result};
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::{ReplicaSet, shared};
use kontena_wire::cluster::MasterState;
use mongodb::bson::doc;

use crate::process::{acting, cluster, sees, start};
use crate::store::Outside;

fn doctor(master: &Master) -> Result<String> {
    Ok(String::from_utf8(master.run(&["doctor"])?.stdout)?)
}

#[tokio::test]
async fn a_master_that_was_lost_is_shown_until_it_is_back_and_one_that_was_stopped_is_not() -> Result<()> {
    let database = shared().await?.database();
    let first = start("first", &database).await?;
    acting(&[&first], 1).await?;
    let (mut lost, mut stopped) = (start("lost", &database).await?, start("stopped", &database).await?);
    let state = |name: &'static str, wanted: Option<MasterState>| {
        move |cluster: &kontena_wire::cluster::Cluster| {
            let found: Vec<_> = cluster.masters.iter().filter(|master| master.name == name).collect();
            found.len() == usize::from(wanted.is_some()) && found.first().map(|m| m.state) == wanted
        }
    };
    sees(&first, "two that stand by", |cluster| {
        ["lost", "stopped"].iter().all(|name| state(name, Some(MasterState::Standby))(cluster))
    })
    .await?;
    lost.kill()?;
    assert!(stopped.stop(Duration::from_secs(10)).await?.success());
    sees(&first, "only the one that did not stop by itself", |cluster| {
        state("lost", Some(MasterState::Lost))(cluster) && state("stopped", None)(cluster)
    })
    .await?;
    // The leader has noted it.
    let masters = Outside::of(&database).await?.collection("masters");
    let noted = doc! { "name": "lost", "ended": true, "lost": true };
    tokio::time::timeout(Duration::from_secs(20), async {
        while masters.count_documents(noted.clone()).await? == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        anyhow::Ok(())
    })
    .await
    .context("it is not marked as ended")??;
    assert!(state("lost", Some(MasterState::Lost))(&cluster(&first).await?), "it is not shown any more");
    let found = doctor(&first)?;
    assert!(found.contains("warning  masters: lost was lost, and has not come back"), "{found}");
    assert!(!found.contains("stopped"), "{found}");
    lost.launch().await?;
    sees(&first, "once, standing by", state("lost", Some(MasterState::Standby))).await?;
    assert!(!doctor(&first)?.contains("was lost"));
    Ok(())
}

#[tokio::test]
async fn a_member_of_the_database_that_takes_no_connections_is_named() -> Result<()> {
    let set = ReplicaSet::start(kontena_testkit::mongod::Settings::members(3)).await?;
    let primary = set.primary().await.context("no primary")?;
    let silent = &set.members()[(primary + 1) % 3];
    let master = Master::start(Settings::new("only", set.uri("visible"))).await?;
    acting(&[&master], 1).await?;
    assert!(!doctor(&master)?.contains(silent.address()));
    silent.pause()?;
    let found = doctor(&master)?;
    let named = format!("warning  members: the database's member {} ", silent.address());
    let remedy = found.lines().skip_while(|line| !line.starts_with(&named)).nth(1);
    assert!(remedy.is_some_and(|line| line.contains("->")), "{found}");
    sees(&master, "a warning", |cluster| {
        let mut warnings = cluster.masters.iter().flat_map(|master| &master.warnings);
        warnings.any(|warning| warning.contains(silent.address()))
    })
    .await?;
    silent.resume()?;
    Ok(())
}
