//! One server process of a replica set, with the ways in which it can fail.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::log::Log;
use super::security::Security;
use crate::{keeper, ports};

/// How long a server may take to listen, recovery after a kill included.
const LISTEN_WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at what a starting server wrote.
const POLL: Duration = Duration::from_millis(10);
/// What the server writes when it listens.
const LISTENING: &str = "Waiting for connections";
/// The server's exit code when it cannot have its port.
const EXIT_NET_ERROR: i32 = 48;
/// The files of collections that nobody uses are closed after these seconds, not ten minutes: each test has a database of
/// its own, of some two hundred files, and a server that may open no more ends itself.
const CLOSE_SOON: &str = "file_manager=(close_idle_time=20,close_scan_interval=5,close_handle_minimum=250)";
/// How many ports to try.
const ATTEMPTS: usize = 5;

/// A member of a [`ReplicaSet`](super::ReplicaSet); it keeps port and data over restarts.
#[derive(Debug)]
pub struct Member {
    server: PathBuf,
    set: String,
    security: Option<Arc<Security>>,
    directory: PathBuf,
    log: Log,
    port: u16,
    address: String,
    process: Mutex<Option<Process>>,
}

#[derive(Debug)]
struct Process {
    child: Child,
    paused: bool,
}

enum Boot {
    Listening,
    PortTaken,
}

impl Member {
    /// Starts a server of the set of this name, on a port that was free; returns when it listens.
    pub(super) async fn start(
        server: PathBuf,
        set: String,
        security: Option<Arc<Security>>,
        directory: PathBuf,
    ) -> Result<Self> {
        fs::create_dir(&directory).context("cannot create the data directory")?;
        for _ in 0..ATTEMPTS {
            let port = ports::free()?;
            let member = Self {
                server: server.clone(),
                set: set.clone(),
                security: security.clone(),
                directory: directory.clone(),
                log: Log::at(directory.with_extension("log")),
                port,
                address: format!("127.0.0.1:{port}"),
                process: Mutex::default(),
            };
            match member.boot().await? {
                Boot::Listening => return Ok(member),
                Boot::PortTaken => {}
            }
        }
        bail!("{ATTEMPTS} times somebody else was quicker to take a free port");
    }

    /// Where it listens and what it calls itself: `127.0.0.1:PORT`.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process id, unless it is killed.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process().as_ref().map(|process| process.child.id())
    }

    /// Ends it like a power failure (`SIGKILL`); returns when the process is gone. Does nothing if
    /// it already is.
    pub fn kill(&self) -> Result<()> {
        if let Some(mut process) = self.process().take() {
            process.child.kill()?;
            process.child.wait()?;
        }
        Ok(())
    }

    /// Freezes it (`SIGSTOP`): its sockets stay open, nothing answers.
    pub fn pause(&self) -> Result<()> {
        self.set_paused(true)
    }

    /// Wakes it up (`SIGCONT`).
    pub fn resume(&self) -> Result<()> {
        self.set_paused(false)
    }

    /// Starts it again on its data and port, killing it before if need be; returns when it listens,
    /// which is some time before it is a healthy member.
    pub async fn restart(&self) -> Result<()> {
        self.kill()?;
        match self.boot().await? {
            Boot::Listening => Ok(()),
            Boot::PortTaken => bail!("somebody else took the port of {}", self.address),
        }
    }

    pub(super) fn security(&self) -> Option<&Security> {
        self.security.as_deref()
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Neither killed nor paused.
    pub(super) fn is_running(&self) -> bool {
        self.process().as_ref().is_some_and(|process| !process.paused)
    }

    pub(super) fn log_tail(&self) -> String {
        self.log.tail()
    }

    async fn boot(&self) -> Result<Boot> {
        let before = self.log.length();
        let child = keeper::spawn(self.command()?).context("cannot run setpriv (of util-linux)")?;
        *self.process() = Some(Process { child, paused: false });
        let deadline = Instant::now() + LISTEN_WITHIN;
        while !self.log.says(LISTENING, before) {
            let ended = match self.process().as_mut() {
                Some(process) => process.child.try_wait()?,
                None => bail!("{} was killed while it started", self.address),
            };
            if let Some(status) = ended {
                *self.process() = None;
                if status.code() == Some(EXIT_NET_ERROR) {
                    return Ok(Boot::PortTaken);
                }
                bail!("the MongoDB server ended while it started ({status}):\n{}", self.log.tail());
            }
            if Instant::now() > deadline {
                bail!("{} does not listen within {LISTEN_WITHIN:?}:\n{}", self.address, self.log.tail());
            }
            sleep(POLL).await;
        }
        Ok(Boot::Listening)
    }

    fn command(&self) -> Result<Command> {
        let log = self.log.open().context("cannot write the log of the MongoDB server")?;
        let mut command = keeper::mortal(&self.server);
        command
            .args([
                "--replSet",
                &self.set,
                "--bind_ip",
                "127.0.0.1",
                "--port",
                &self.port.to_string(),
                "--dbpath",
            ])
            .arg(&self.directory)
            .args(["--nounixsocket", "--oplogSize", "256", "--wiredTigerCacheSizeGB", "0.25"])
            .args(["--wiredTigerEngineConfigString", CLOSE_SOON])
            .args(["--setParameter", "diagnosticDataCollectionEnabled=false"])
            .args(["--setParameter", "shutdownTimeoutMillisForSignaledShutdown=500"])
            .args(self.security.iter().flat_map(|security| security.arguments()))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    fn set_paused(&self, paused: bool) -> Result<()> {
        let mut process = self.process();
        let Some(process) = process.as_mut() else {
            bail!("{} is not running", self.address);
        };
        let signal = if paused { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(&process.child), signal)?;
        process.paused = paused;
        Ok(())
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Should it fail, the server still ends with this process.
        let _ = self.kill();
    }
}
