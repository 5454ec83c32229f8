//! A master that dies within a transaction keeps what it wrote locked for seconds, not for the minute after which
//! the database itself ends it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use kontena_testkit::http::client;
use kontena_testkit::master::{Master, Settings};
use kontena_testkit::mongod::shared;
use kontena_testkit::relay::{Hold, Relay};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::process::acting;

const SOON: Duration = Duration::from_secs(10);
/// Lost after 3 s, found by a duty of every 5 s; the database would take 60 s and more.
const FREED_WITHIN: Duration = Duration::from_secs(30);

/// Sets a value: a transaction.
async fn set(master: &Master, value: &str) -> Result<StatusCode> {
    let http = client().unix_socket(master.admin_socket()).build()?;
    let request = http.patch(format!("{}/v1/config", master.url()));
    Ok(request.json(&json!({ "test.value": value })).send().await?.status())
}

#[tokio::test]
async fn what_a_killed_master_had_locked_is_free_again_in_seconds() -> Result<()> {
    let database = shared().await?.database();
    let survivor = Master::start(Settings::new("survivor", &database.uri)).await?;
    acting(&[&survivor], 1).await?;
    let relay = Relay::start(shared().await?.set(), 49)?;
    let mut killed = Master::start(Settings::new("killed", relay.uri(&database.name))).await?;
    let begun = Instant::now();
    while set(&killed, "first").await.is_ok_and(|status| !status.is_success()) {
        ensure!(begun.elapsed() < SOON, "it never served");
        sleep(Duration::from_millis(100)).await;
    }
    // Its heartbeat has been seen.
    sleep(Duration::from_secs(2)).await;
    relay.cut_at("commitTransaction", Hold::Request);
    tokio::select! {
        status = set(&killed, "second") => anyhow::bail!("answered without a commit: {status:?}"),
        cut = timeout(SOON, relay.was_cut()) => cut?,
    }
    killed.kill()?;
    let begun = Instant::now();
    loop {
        let status = set(&survivor, "third").await?;
        if status.is_success() {
            return Ok(());
        }
        ensure!(begun.elapsed() < FREED_WITHIN, "still locked after {:?}: {status}", begun.elapsed());
        sleep(Duration::from_millis(200)).await;
    }
}
