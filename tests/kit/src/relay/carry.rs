//! Carries the messages of one connection, as late as the relay is told.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::message;
use super::rename::Rename;
use super::tripwire::{Hold, Tripwire};

/// How many messages may be on their way before the sender has to wait.
const ON_THE_WAY: usize = 64;
/// After a connection could not be accepted.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// What is done to the traffic now.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Control {
    pub(super) cut: bool,
    /// The same for what the database says only.
    pub(super) deaf: bool,
    pub(super) delay: Duration,
    /// Connections end when it moves on.
    pub(super) epoch: u64,
}

/// What all connections of a relay share.
#[derive(Clone, Debug)]
pub(super) struct Way {
    pub(super) rename: Arc<Rename>,
    pub(super) tripwire: Arc<Tripwire>,
    pub(super) control: watch::Receiver<Control>,
}

impl Way {
    /// Waits until traffic in this direction may flow.
    async fn open(&mut self, direction: Direction) -> io::Result<()> {
        let closed = |now: &Control| now.cut || now.deaf && direction == Direction::Back;
        loop {
            self.control.wait_for(|now| !closed(now)).await.map_err(io::Error::other)?;
            if !self.tripwire.is_tripped() {
                return Ok(());
            }
            self.tripwire.reset().await;
        }
    }
}

/// To the database, or back from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    There,
    Back,
}

/// Serves the connections to one member.
pub(super) async fn accept(port: u16, listener: TcpListener, way: Way) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                tokio::spawn(connection(client, port, way.clone()));
            }
            // It passes, as a lack of file descriptors does; a relay that gave up would look like a
            // cut.
            Err(_) => sleep(ACCEPT_AGAIN).await,
        }
    }
}

/// Ends on its own or when the relay's connections are closed.
async fn connection(client: TcpStream, port: u16, way: Way) {
    let epoch = way.control.borrow().epoch;
    let mut closing = way.control.clone();
    tokio::select! {
        // Of a connection that was closed before a silence ended, nothing that was held back goes on.
        biased;
        _ = closing.wait_for(|now| now.epoch != epoch) => {}
        // Its error is what ended the connection, and both sides see it end.
        _ = both_ways(client, port, way) => {}
    }
}

async fn both_ways(client: TcpStream, port: u16, mut way: Way) -> io::Result<()> {
    way.open(Direction::There).await?;
    let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    // The relay adds the delay it is told and no other.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (rename, tripwire) = (Arc::clone(&way.rename), Arc::clone(&way.tripwire));
    tokio::try_join!(
        one_way(
            Direction::There,
            (from_client, to_server),
            |_| {},
            |message| tripwire.touched_by(message),
            way.clone()
        ),
        one_way(Direction::Back, (from_server, to_client), |message| rename.apply(message), |_| None, way),
    )?;
    Ok(())
}

/// An end of the source, even a reset one, reaches the sink after what was sent before it, and not
/// during a cut.
async fn one_way(
    direction: Direction,
    (mut source, mut sink): (OwnedReadHalf, OwnedWriteHalf),
    change: impl Fn(&mut [u8]),
    trip: impl Fn(&[u8]) -> Option<Hold>,
    mut way: Way,
) -> io::Result<()> {
    let (sender, mut receiver) = mpsc::channel(ON_THE_WAY);
    let reading = async move {
        while let Ok(mut message) = message::read(&mut source).await {
            change(&mut message);
            if sender.send((Instant::now(), message)).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let writing = async {
        while let Some((sent, message)) = receiver.recv().await {
            let delay = way.control.borrow().delay;
            sleep_until(sent + delay).await;
            way.open(direction).await?;
            if trip(&message) != Some(Hold::Reply) {
                way.open(direction).await?;
            }
            sink.write_all(&message).await?;
        }
        way.open(direction).await?;
        sink.shutdown().await
    };
    tokio::try_join!(reading, writing)?;
    Ok(())
}
