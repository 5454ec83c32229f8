//! `kontena-master run`: from the configuration to a running master, and back down.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;
use std::{env, io};

use anyhow::bail;
use kontena_core::election::HolderId;
use kontena_server::{Manager, Master, Watchdog, Wishes};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{oneshot, watch};

use crate::cli::Run;
use crate::config::{self, Config};
use crate::listeners;
use crate::release::Ticket;
use crate::reload::Reloader;
use crate::telemetry::{self, LogLevel};

/// Two are enough: the masters wait for the database nearly all the time.
const WORKERS: usize = 2;

/// What stopping takes besides the grace, at most.
const STOP_MARGIN: Duration = Duration::from_secs(10);

pub(crate) fn run(path: &Path, arguments: &Run) -> anyhow::Result<()> {
    let mut config = match config::load(path) {
        Ok(config) => config,
        Err(faults) => {
            notify(&[NotifyState::Status(
                "the configuration cannot be used: see kontena-master check-config, or begin with kontena-master \
                 bootstrap",
            )]);
            return Err(faults.into());
        }
    };
    config.settings.probe_every = arguments.probe_every;
    config.settings.trace.clone_from(&arguments.trace);
    config.settings.cloud = config.settings.cloud.hurried(arguments.cloud_hurry);
    let log_level = telemetry::start(&config.log_level)?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let outcome = runtime.block_on(serve(path, config, log_level, arguments));
    // What is still running after this is nobody's loss: the lease is given back, the clients are closed.
    runtime.shutdown_background();
    outcome
}

async fn serve(path: &Path, config: Config, log_level: LogLevel, arguments: &Run) -> anyhow::Result<()> {
    let (listeners, _admin_file) = listeners::bind(config.settings.listen, &config.admin_socket).await?;
    let holder = HolderId::from_bytes(rand::random());
    let settings = config.settings.clone();
    let (tunables_sender, tunables) = watch::channel(settings.tunables.clone());
    let database = settings.database.clone();
    let master = Master::build(settings, holder, listeners).await?;
    let ticket = arguments
        .runtime_directory
        .as_deref()
        .map(|directory| Ticket::write(directory, holder, master.session(), &database))
        .transpose()?;
    let mut stops =
        Stops { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? };
    let mut hang_up = signal(SignalKind::hangup())?;
    tracing::info!(MASTER_ID = %holder, "listening, reached at {}", master.url());
    notify(&[NotifyState::Ready, NotifyState::Status("waiting for the database")]);

    let mut reloader = Reloader::new(path.to_owned(), config, log_level, tunables_sender);
    let (stop_sender, stop) = oneshot::channel();
    let wishes = Wishes { stop: async { _ = stop.await }, tunables };
    let manager =
        Manager { watchdog: watchdog(), status: Box::new(|words| notify(&[NotifyState::Status(words)])) };
    let mut stop_sender = Some(stop_sender);
    let running = master.run(wishes, manager);
    tokio::pin!(running);
    let outcome = loop {
        tokio::select! {
            outcome = &mut running => break outcome,
            () = stops.next() => match stop_sender.take() {
                Some(sender) => {
                    tracing::info!("stopping");
                    let grace = reloader.drain_grace() + STOP_MARGIN;
                    let micros = u32::try_from(grace.as_micros()).unwrap_or(u32::MAX);
                    notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
                    // It may have ended by itself a moment ago.
                    let _heard = sender.send(());
                }
                None => bail!("stopped at once by a second signal"),
            },
            Some(()) = hang_up.recv() => reloader.reload(),
        }
    };
    // Else it tells `release-lease` what is left behind.
    if let (Ok(true), Some(ticket)) = (&outcome, ticket) {
        ticket.remove();
    }
    outcome.map(drop).map_err(Into::into)
}

/// What ends the program.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// If the service manager wants to hear that we live, it does so twice in the time that it waits. The way to it is open
/// from the start: a master that has no file descriptors left is alive, and must not be ended for that.
fn watchdog() -> Option<Watchdog> {
    let every = sd_notify::watchdog_enabled()? / 2;
    let untold = |error: &io::Error| tracing::debug!(%error, "each sign of life opens its own way");
    let way = way_to_manager().inspect_err(untold).ok();
    let feed = move || {
        let told = way.as_ref().map(|way| way.send(b"WATCHDOG=1"));
        match told {
            Some(Ok(_)) => {}
            // It does not read what it was told before. Waiting for that would hold up the lease.
            Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
            Some(Err(_)) | None => notify(&[NotifyState::Watchdog]),
        }
    };
    Some(Watchdog { every, feed: Box::new(feed) })
}

fn way_to_manager() -> io::Result<UnixDatagram> {
    let path = env::var_os("NOTIFY_SOCKET").ok_or(io::ErrorKind::NotFound)?;
    let way = UnixDatagram::unbound()?;
    way.connect(path)?;
    way.set_nonblocking(true)?;
    Ok(way)
}

pub(crate) fn notify(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
