//! Agents and masters: real sockets, real processes, a real database.

mod bus;
mod handshake;
mod listing;
mod losses;
mod pods;
mod reports;
mod sessions;

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use kontena_core::id::Id;
use kontena_core::input::NewGrid;
use kontena_store::{MadeGrid, Purpose, Store};
use kontena_testkit::agent::{Dial, Settings, Token};
use kontena_testkit::master::Master;
use kontena_testkit::mongod::{Database, shared};
use reqwest::StatusCode;
use serde_json::Map;
use tokio::time::sleep;

use crate::store::{Outside, open};

const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
/// No user.
const NOBODY: Id = Id::from_bytes([0; 12]);
const GRID_TOKEN: &str = "a-grid-token-for-tests";

/// A master that takes agents, and the database behind it.
struct Stage {
    master: Master,
    database: Database,
    store: Store,
    outside: Outside,
}

impl Stage {
    async fn set() -> Result<Self> {
        let database = shared().await?.database();
        let master = crate::process::start("only", &database).await?;
        Self::around(master, database).await
    }

    async fn around(master: Master, database: Database) -> Result<Self> {
        ready(&master).await?;
        let store = open(&database.uri, Purpose::Main).await?;
        grid(&store, "main", GRID_TOKEN).await?;
        let outside = Outside::of(&database).await?;
        Ok(Self { master, database, store, outside })
    }

    /// The settings of an agent of the grid.
    fn agent(&self, number: usize) -> Settings {
        Settings::new(vec![address(&self.master)], Token::Grid(GRID_TOKEN.to_owned()), number)
    }

    fn dial(&self) -> Dial {
        Dial::agent(&self.agent(1), &address(&self.master), 0.0)
    }
}

/// Makes a grid as a client that names nothing but these.
async fn grid(store: &Store, name: &str, token: &str) -> Result<Id> {
    let wanted = NewGrid::read(&Map::new()).map_err(|fault| anyhow!("{fault:?}"))?;
    match store.grids().create(&wanted, name, token, NOBODY).await? {
        MadeGrid::Made(grid) => Ok(grid.id),
        other => bail!("the grid was not made: {other:?}"),
    }
}

fn address(master: &Master) -> String {
    master.url().trim_start_matches("http://").to_owned()
}

async fn ready(master: &Master) -> Result<()> {
    eventually("a ready master", async || {
        Ok(master.ask(reqwest::Method::GET, "/readyz").await?.0 == StatusCode::OK)
    })
    .await
}

/// Waits until `wanted` is so.
async fn eventually(what: &str, mut wanted: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = wanted().await;
        if matches!(seen, Ok(true)) {
            return Ok(());
        }
        anyhow::ensure!(Instant::now() < deadline, "not seen: {what} ({seen:?})");
        sleep(POLL).await;
    }
}
