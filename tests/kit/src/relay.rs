//! Cuts one client from the database, and leaves the others theirs.
//!
//! Members of a replica set tell drivers the addresses to use, so a relay on other ports would be
//! left at once. This one listens on the members' own ports at another loopback address, and puts
//! that address into what the members tell. It is as long as theirs, so the lengths within the
//! messages stay true. Data that happens to contain a member's address is changed as well;
//! compressed and encrypted connections are beyond it.

mod carry;
mod message;
mod rename;
mod tripwire;

use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::runtime;
use tokio::sync::watch;

use crate::mongod::{Member, ReplicaSet};
use carry::{Control, Way, accept};
use rename::Rename;
pub use tripwire::Hold;
use tripwire::Tripwire;

/// The way of one client to the database. Dropping it ends its connections.
#[derive(Debug)]
pub struct Relay {
    set: String,
    hosts: Vec<String>,
    tripwire: Arc<Tripwire>,
    // None only while it is dropped: without a sender the thread ends.
    control: Option<watch::Sender<Control>>,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// A relay for the client of this number, from 1: each has its own address, so several can
    /// serve one set.
    pub fn start(set: &ReplicaSet, client: u8) -> Result<Self> {
        ensure!(client > 0, "client 0 would have the members' own address");
        let address = address(client);
        let ports: Vec<_> = set.members().iter().map(Member::port).collect();
        let listeners = ports
            .iter()
            .map(|&port| {
                let listener = TcpListener::bind((address, port))
                    .with_context(|| format!("cannot relay at {address}:{port}"))?;
                listener.set_nonblocking(true)?;
                Ok((port, listener))
            })
            .collect::<Result<_>>()?;
        let hosts = ports.iter().map(|port| format!("{address}:{port}")).collect();
        let rename = Arc::new(Rename::new(address, ports));
        let tripwire = Arc::new(Tripwire::default());
        let (control, controlled) = watch::channel(Control::default());
        let way = Way { rename, tripwire: Arc::clone(&tripwire), control: controlled };
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = thread::spawn(move || runtime.block_on(serve(listeners, way)));
        Ok(Self { set: set.name().into(), hosts, tripwire, control: Some(control), thread: Some(thread) })
    }

    /// The connection string through this relay, with this database in its path.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        format!("mongodb://{}/{database}?replicaSet={}", self.hosts.join(","), self.set)
    }

    /// Silence, as of a pulled cable: connections stay open and new ones open, but nothing comes
    /// through, either way.
    pub fn cut(&self) {
        self.change(|control| control.cut = true);
    }

    /// What the client says arrives, and nothing comes back.
    pub fn deafen(&self) {
        self.change(|control| control.deaf = true);
    }

    /// Falls silent by itself at the next message to the database that contains `needle`, such as the name of a
    /// command: at exactly that point of whatever the client does.
    pub fn cut_at(&self, needle: &str, hold: Hold) {
        self.tripwire.arm(needle, hold);
    }

    /// Waits until such a message came.
    pub async fn was_cut(&self) {
        self.tripwire.tripped().await;
    }

    /// Ends the silence; what was held back flows on, as TCP would send it again.
    pub fn heal(&self) {
        self.tripwire.clear();
        self.change(|control| (control.cut, control.deaf) = (false, false));
    }

    /// Ends all present connections; also in a silence. New ones are welcome.
    pub fn close(&self) {
        self.change(|control| control.epoch += 1);
    }

    /// Lets everything arrive so much later, in each direction: a round trip takes twice as much
    /// longer.
    pub fn delay(&self, one_way: Duration) {
        self.change(|control| control.delay = one_way);
    }

    fn change(&self, change: impl FnOnce(&mut Control)) {
        if let Some(control) = &self.control {
            control.send_modify(change);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.control = None;
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported by then.
            let _ = thread.join();
        }
    }
}

/// As many characters as 127.0.0.1, and different for each client.
fn address(client: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, client / 10 % 10, client % 10, 1 + client / 100)
}

/// Runs until the relay is dropped; the runtime then ends all connections.
async fn serve(listeners: Vec<(u16, TcpListener)>, way: Way) {
    for (port, listener) in listeners {
        tokio::spawn(accept(port, listener, way.clone()));
    }
    let mut control = way.control;
    while control.changed().await.is_ok() {}
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn addresses_differ_and_are_equally_long() {
        let addresses: HashSet<_> = (0..=u8::MAX).map(|client| address(client).to_string()).collect();
        assert_eq!(addresses.len(), 256);
        assert!(addresses.iter().all(|address| address.len() == "127.0.0.1".len()));
    }
}
