//! The database is away: no process dies, nobody acts, and everybody recovers by themselves, under the same term.

use std::time::{Duration, Instant};

use anyhow::Result;
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::{ReplicaSet, shared};
use kontena_testkit::relay::Relay;
use kontena_wire::cluster::MasterState;
use reqwest::{Method, StatusCode};
use tokio::time::sleep;

use crate::process::{acting, cluster, sees};

#[tokio::test]
async fn a_master_starts_without_a_database_and_says_so() -> Result<()> {
    // Nothing listens on port 1.
    let settings = Settings::new("lonely", "mongodb://127.0.0.1:1/kontena?replicaSet=none");
    let mut master = Master::start(settings).await?;
    sleep(Duration::from_secs(2)).await;
    assert!(master.ended()?.is_none());
    let (status, body) = master.ask(Method::GET, "/readyz").await?;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.to_string().contains("database"), "{body}");
    assert_eq!(master.ask(Method::GET, "/leader").await?.0, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(master.ask(Method::GET, "/v1/cluster").await?.0, StatusCode::OK, "what is known is told");
    assert!(master.log_tail().contains("the database does not answer"), "{}", master.log_tail());
    assert!(master.stop(Duration::from_secs(10)).await?.success());
    Ok(())
}

#[tokio::test]
async fn an_outage_costs_nobody_the_term() -> Result<()> {
    let set = ReplicaSet::start(kontena_testkit::mongod::Settings::members(1)).await?;
    let mut masters = Vec::new();
    for name in ["first", "second", "third"] {
        masters.push(Master::start(Settings::new(name, set.uri("outage"))).await?);
    }
    let all: Vec<&Master> = masters.iter().collect();
    let (leader, term) = acting(&all, 1).await?;
    sleep(Duration::from_secs(1)).await;
    set.members()[0].kill()?;
    // The last permission ends by itself; from then on nobody acts.
    sleep(Duration::from_secs(2)).await;
    let away = Instant::now();
    while away.elapsed() < Duration::from_secs(6) {
        for master in &all {
            assert_eq!(master.acting_term().await, None, "{} acts without a database", master.name());
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(all[leader].ask(Method::GET, "/readyz").await?.0, StatusCode::SERVICE_UNAVAILABLE);
    set.members()[0].restart().await?;
    set.wait_for_primary(Duration::from_secs(30)).await?;
    assert_eq!(acting(&all, 1).await?, (leader, term), "the same leader goes on under the same term");
    sleep(Duration::from_secs(3)).await;
    let now = cluster(all[leader]).await?;
    assert_eq!(now.term, term);
    for master in &mut masters {
        assert!(master.ended()?.is_none(), "{} has ended", master.name());
    }
    Ok(())
}

#[tokio::test]
async fn a_leader_cut_from_the_database_acts_no_longer_than_its_permission() -> Result<()> {
    let database = shared().await?.database();
    let relay = kontena_testkit::relay::Relay::start(shared().await?.set(), 42)?;
    let first = Master::start(Settings::new("first", relay.uri(&database.name))).await?;
    let (_, term) = acting(&[&first], 1).await?;
    let second = Master::start(Settings::new("second", &database.uri)).await?;
    sleep(Duration::from_secs(1)).await;
    relay.cut();
    let cut = Instant::now();
    let (_, taken) = acting(&[&second], term + 1).await?;
    assert_eq!(taken, term + 1);
    assert_eq!(first.acting_term().await, None, "two masters act");
    assert!(cut.elapsed() < Duration::from_secs(3), "took {:?}", cut.elapsed());
    relay.heal();
    sleep(Duration::from_secs(2)).await;
    assert_eq!(first.acting_term().await, None);
    assert_eq!(second.acting_term().await, Some(taken), "the former leader disturbs nobody");
    Ok(())
}

#[tokio::test]
async fn a_master_that_is_far_from_the_database_takes_over() -> Result<()> {
    let shared = shared().await?;
    let (database, relay) = (shared.database(), Relay::start(shared.set(), 48)?);
    let mut near = Master::start(Settings::new("near", &database.uri)).await?;
    let (_, term) = acting(&[&near], 1).await?;
    let far = Master::start(Settings::new("far", relay.uri(&database.name))).await?;
    sees(&near, "a standby", |cluster| {
        cluster.masters.iter().any(|master| master.name == "far" && master.state == MasterState::Standby)
    })
    .await?;
    // Each call is answered in time; the four of a raise together take longer than one may.
    relay.delay(Duration::from_millis(45));
    sleep(Duration::from_secs(1)).await;
    near.kill()?;
    near.release_lease()?;
    let gone = Instant::now();
    let (_, taken) = acting(&[&far], term + 1).await?;
    assert_eq!(taken, term + 1, "it gave the lease back\n{}", far.log_tail());
    assert!(gone.elapsed() < Duration::from_secs(4), "took {:?}\n{}", gone.elapsed(), far.log_tail());
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_far_from_the_database_gives_way_to_one_that_is_near() -> Result<()> {
    let shared = shared().await?;
    let (database, relay) = (shared.database(), Relay::start(shared.set(), 45)?);
    let far = Master::start(Settings::new("far", relay.uri(&database.name))).await?;
    let (_, term) = acting(&[&far], 1).await?;
    let mut near = Master::start(Settings::new("near", &database.uri)).await?;
    sees(&near, "a standby", |cluster| {
        cluster.masters.iter().any(|master| master.name == "near" && master.state == MasterState::Standby)
    })
    .await?;
    // So near that the lease is renewed in time.
    relay.delay(Duration::from_millis(90));
    acting(&[&near], term + 1).await?;
    sees(&near, "a warning", |cluster| {
        let far = cluster.masters.iter().find(|master| master.name == "far");
        far.is_some_and(|far| far.warnings.iter().any(|warning| warning.contains("is slow for it")))
    })
    .await?;
    relay.delay(Duration::ZERO);
    sees(&near, "why", |cluster| {
        let last = cluster.history.first();
        last.is_some_and(|reign| reign.reason.as_deref() == Some("resigned"))
    })
    .await?;
    assert!(far.log_tail().contains("the database takes"), "{}", far.log_tail());
    // It stands again as soon as it saw another lead, or in 10 s at the latest: else nobody would be left now.
    let leads = near.acting_term().await.unwrap_or(term);
    near.kill()?;
    near.release_lease()?;
    let gone = Instant::now();
    acting(&[&far], leads + 1).await?;
    assert!(gone.elapsed() < Duration::from_secs(15), "took {:?}\n{}", gone.elapsed(), far.log_tail());
    Ok(())
}
