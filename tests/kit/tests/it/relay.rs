//! A client behind a relay meets the database only through it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use kontena_testkit::mongod::{ReplicaSet, Settings, shared};
use kontena_testkit::relay::Relay;
use mongodb::Client;
use mongodb::event::EventHandler;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::ClientOptions;
use tokio::time::timeout;

use crate::{SOON, ping};

/// In which an answer would have come, were there any.
const WHILE: Duration = Duration::from_millis(700);

#[tokio::test]
async fn the_client_knows_no_other_way() -> Result<()> {
    let set = ReplicaSet::start(Settings::members(3)).await?;
    let relay = Relay::start(&set, 2)?;
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let mut options = ClientOptions::parse(relay.uri("any")).await?;
    // Only one, so that the others are found by what it tells.
    options.hosts.truncate(1);
    let addresses = seen.clone();
    options.sdam_event_handler = Some(EventHandler::callback(move |event| {
        if let SdamEvent::TopologyDescriptionChanged(change) = event {
            let mut addresses = addresses.lock().unwrap_or_else(PoisonError::into_inner);
            addresses.extend(change.new_description.servers().keys().map(ToString::to_string));
        }
    }));
    let client = Client::with_options(options)?;
    ping(&client).await?;
    client.shutdown().await;

    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.iter().all(|address| address.starts_with("127.0.2.1:")), "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn a_cut_is_silent_and_heals() -> Result<()> {
    let relay = Relay::start(shared().await?.set(), 3)?;
    let client = Client::with_uri_str(relay.uri("any")).await?;
    ping(&client).await?;

    relay.cut();
    let mut held = Box::pin(ping(&client));
    assert!(timeout(WHILE, &mut held).await.is_err(), "a reply through a cut");
    relay.heal();
    // What was under way arrives after all: it is late, not lost.
    timeout(SOON, held).await??;

    relay.cut();
    let newcomer = Client::with_uri_str(relay.uri("any")).await?;
    assert!(timeout(WHILE, ping(&newcomer)).await.is_err(), "a connection through a cut");
    relay.heal();
    timeout(SOON, ping(&newcomer)).await??;
    client.shutdown().await;
    newcomer.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn a_delay_counts_both_ways() -> Result<()> {
    let relay = Relay::start(shared().await?.set(), 4)?;
    let client = Client::with_uri_str(relay.uri("any")).await?;
    ping(&client).await?;
    relay.delay(Duration::from_millis(40));
    let begin = Instant::now();
    ping(&client).await?;
    assert!(begin.elapsed() >= Duration::from_millis(80), "{:?}", begin.elapsed());
    client.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn closing_ends_connections_even_in_a_cut() -> Result<()> {
    let relay = Relay::start(shared().await?.set(), 5)?;
    let client = Client::with_uri_str(relay.uri("any")).await?;
    ping(&client).await?;
    relay.cut();
    let mut held = Box::pin(ping(&client));
    assert!(timeout(WHILE, &mut held).await.is_err(), "a reply through a cut");
    relay.close();
    assert!(timeout(SOON, held).await?.is_err(), "a reply from a closed connection");
    relay.heal();
    timeout(SOON, ping(&client)).await??;
    client.shutdown().await;
    Ok(())
}
