//! Commands to one member alone, whatever its role: what the set looks like from outside is asked
//! of each of them.

use std::time::Duration;

use anyhow::{Context, Result};
use mongodb::Client;
use mongodb::bson::Document;
use mongodb::options::{ClientOptions, ServerAddress};

use super::Member;

/// To connect, and to find a server that answers at all; on one machine everything beyond is
/// silence.
const CONNECT: Duration = Duration::from_secs(1);
/// For one command; an asked-for election takes a few round trips and disk writes.
const COMMAND: Duration = Duration::from_secs(15);

/// A client of this member alone, which gives up soon. Call its `shutdown()` when done.
pub fn client(member: &Member) -> Result<Client> {
    connect(member, true)
}

fn connect(member: &Member, as_administrator: bool) -> Result<Client> {
    let mut options = ClientOptions::builder()
        .hosts(vec![ServerAddress::parse(member.address())?])
        .direct_connection(true)
        .connect_timeout(CONNECT)
        .server_selection_timeout(CONNECT)
        .build();
    if let Some(security) = member.security() {
        security.admit(&mut options, as_administrator);
    }
    Ok(Client::with_options(options)?)
}

/// One command on the database `admin`, over connections of its own that are closed before this
/// returns.
pub(super) async fn run(member: &Member, command: Document) -> Result<Document> {
    run_over(connect(member, true)?, member, command).await
}

/// The same, as nobody in particular.
pub(super) async fn run_as_nobody(member: &Member, command: Document) -> Result<Document> {
    run_over(connect(member, false)?, member, command).await
}

async fn run_over(client: Client, member: &Member, command: Document) -> Result<Document> {
    let reply = tokio::time::timeout(COMMAND, client.database("admin").run_command(command)).await;
    client.shutdown().immediate(true).await;
    Ok(reply.with_context(|| format!("{} does not answer", member.address()))??)
}
