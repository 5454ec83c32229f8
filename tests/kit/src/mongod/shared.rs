//! One small replica set for all tests of a process, because starting one takes longer than most
//! tests.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use tokio::sync::OnceCell;

use super::{ReplicaSet, Settings};

/// The replica set of one member that the tests of this process share. It ends with the process.
#[derive(Debug)]
pub struct Shared {
    set: ReplicaSet,
    databases: AtomicUsize,
}

/// A test's own part of the shared replica set.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name, which no other test has.
    pub name: String,
    /// The connection string, with the name in its path.
    pub uri: String,
}

/// The shared replica set; the first to ask starts it.
pub async fn shared() -> Result<&'static Shared> {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    SHARED
        .get_or_try_init(|| async {
            Ok(Shared { set: ReplicaSet::start(Settings::members(1)).await?, databases: AtomicUsize::new(1) })
        })
        .await
}

impl Shared {
    /// A database that nobody used before.
    pub fn database(&self) -> Database {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test{number}");
        let uri = self.set.uri(&name);
        Database { name, uri }
    }

    /// The set itself. Other tests are using it: look, but do not break.
    #[must_use]
    pub fn set(&self) -> &ReplicaSet {
        &self.set
    }
}
