//! The real parts must themselves be right before they can judge anything. One binary, so that it
//! links once.

mod ends;
mod relay;
mod replica_set;
mod shared;
mod terminal;

use std::time::Duration;

use anyhow::Result;
use mongodb::Client;
use mongodb::bson::doc;

/// Long enough for an election with the server's defaults, on a busy machine.
const SOON: Duration = Duration::from_secs(30);

/// One round trip to whatever the client takes for the primary.
async fn ping(client: &Client) -> Result<()> {
    client.database("admin").run_command(doc! {"ping": 1}).await?;
    Ok(())
}
