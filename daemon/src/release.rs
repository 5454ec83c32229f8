//! Giving back the lease of a process that is dead.
//!
//! The daemon notes in `RUNTIME_DIRECTORY/release` what that takes, before it first stands, and holds a lock on
//! the file for as long as it lives. The service manager runs `release-lease` after each end of the daemon: it
//! refuses while the lock is held, and has one second.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use kontena_core::election::HolderId;
use kontena_store::{CommandCounter, DatabaseUri, Purpose, SessionId, Store, release_by_holder};
use rustix::fs::FlockOperation;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::cli::ReleaseLease;

const FILE: &str = "release";
/// How long all of it may take: the service manager waits before it starts the next process.
const LIMIT: Duration = Duration::from_secs(1);
/// How long closing the connections may take after that.
const CLOSE_LIMIT: Duration = Duration::from_millis(50);

/// What it takes to give the lease back. The file holds the database's secret, so only its owner can read it.
#[derive(Serialize, Deserialize)]
struct Note {
    holder: String,
    session: String,
    database: String,
}

/// The noted and locked file of a living daemon.
#[derive(Debug)]
pub(crate) struct Ticket {
    path: PathBuf,
    _locked: File,
}

impl Ticket {
    /// Notes what it takes to release the lease of this process.
    pub(crate) fn write(
        directory: &Path,
        holder: HolderId,
        session: SessionId,
        database: &DatabaseUri,
    ) -> anyhow::Result<Self> {
        let path = directory.join(FILE);
        let context = || format!("{} cannot be written", path.display());
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(0o600)
            .open(&path)
            .with_context(context)?;
        if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            bail!("another kontena-master runs on this host: it holds {}", path.display());
        }
        let note = Note {
            holder: holder.to_string(),
            session: session.to_string(),
            database: database.expose().to_owned(),
        };
        file.set_len(0).with_context(context)?;
        file.write_all(&serde_json::to_vec(&note)?).with_context(context)?;
        Ok(Self { path, _locked: file })
    }

    /// The lease was given back: nothing is left to do after this process.
    pub(crate) fn remove(self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the release note was not removed");
        }
    }
}

/// Gives the lease back, if the process that noted it is dead.
pub(crate) fn release_lease(arguments: &ReleaseLease) -> anyhow::Result<()> {
    let path = arguments.runtime_directory.join(FILE);
    let mut file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("nothing to release: the last master ended in good order");
            return Ok(());
        }
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        bail!("kontena-master is alive: it holds {}", path.display());
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let note: Note = serde_json::from_str(&text)
        .map_err(|_| anyhow::anyhow!("{} was not written whole: the lease ends by itself", path.display()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let held = runtime.block_on(async {
        match tokio::time::timeout(LIMIT, release(&note)).await {
            Ok(outcome) => outcome,
            Err(_) => bail!("the database did not answer within {LIMIT:?}: the lease ends by itself"),
        }
    })?;
    println!(
        "{}",
        if held { "released the lease of the dead master" } else { "the dead master held no lease" }
    );
    std::fs::remove_file(&path).with_context(|| format!("{} cannot be removed", path.display()))
}

async fn release(note: &Note) -> anyhow::Result<bool> {
    let holder: HolderId = note.holder.parse()?;
    let session: SessionId = note.session.parse()?;
    let uri = DatabaseUri::from(SecretString::from(note.database.as_str()));
    let store = Store::open(&uri, Purpose::Lease { patience: LIMIT / 2 }, &CommandCounter::default()).await?;
    let held = release_by_holder(&store, holder, session, LIMIT).await?;
    store.masters().mark_ended(holder, LIMIT).await?;
    store.close(CLOSE_LIMIT).await;
    Ok(held)
}
