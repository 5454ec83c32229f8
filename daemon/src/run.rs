//! `kontena-master run`: from the configuration to a running master, and back down.

use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, bail};
use kontena_core::election::HolderId;
use kontena_server::election::Standing;
use kontena_server::{Listeners, Master};
use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Run;
use crate::config::{self, Config};
use crate::release::Ticket;
use crate::telemetry;

/// Two are enough: the masters wait for the database nearly all the time.
const WORKERS: usize = 2;

pub(crate) fn run(path: &Path, arguments: &Run) -> anyhow::Result<()> {
    let mut config = config::load(path)?;
    config.settings.probe_every = arguments.probe_every;
    config.settings.trace.clone_from(&arguments.trace);
    telemetry::start(&config.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let outcome = runtime.block_on(serve(config, arguments));
    // What is still running after this is nobody's loss: the lease is given back, the clients are closed.
    runtime.shutdown_background();
    outcome
}

async fn serve(config: Config, arguments: &Run) -> anyhow::Result<()> {
    let Config { settings, admin_socket, admin_token: _, log_level: _ } = config;
    let network = TcpListener::bind(settings.listen)
        .await
        .with_context(|| format!("http.listen: {} cannot be listened on", settings.listen))?;
    let admin = bind_admin(&admin_socket)?;
    let holder = HolderId::from_bytes(rand::random());
    let database = settings.database.clone();
    let master = Master::build(settings, holder, Listeners { network, admin }).await?;
    let ticket = arguments
        .runtime_directory
        .as_deref()
        .map(|directory| Ticket::write(directory, holder, master.session(), &database))
        .transpose()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tracing::info!(MASTER_ID = %holder, "listening, reached at {}", master.url());
    notify(&[NotifyState::Ready, NotifyState::Status("waiting for the database")]);
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping");
        notify(&[NotifyState::Stopping]);
    };
    let outcome = master
        .run(stop, |standing| {
            notify(&[NotifyState::Status(&in_words(standing))]);
        })
        .await;
    if let (Ok(()), Some(ticket)) = (&outcome, ticket) {
        ticket.remove();
    }
    remove_socket(&admin_socket);
    outcome.map_err(Into::into)
}

fn in_words(standing: Standing) -> String {
    match standing {
        Standing::Acting(term) => format!("acting leader, term {term}"),
        Standing::Elected(term) => format!("elected, term {term}, not acting"),
        Standing::Releasing(term) => format!("giving back the lease, term {term}"),
        Standing::Following => "standing by".to_owned(),
    }
}

/// Makes the administrators' socket, if its directory is there. A socket left by a dead process is replaced;
/// one that a living process listens on is not.
fn bind_admin(path: &Path) -> anyhow::Result<Option<UnixListener>> {
    if !path.parent().is_some_and(Path::is_dir) {
        tracing::debug!(path = %path.display(), "no admin socket: its directory does not exist");
        return Ok(None);
    }
    let context = || format!("admin.socket: {} cannot be listened on", path.display());
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                bail!("another kontena-master listens on {}", path.display());
            }
            std::fs::remove_file(path).with_context(context)?;
        }
        Ok(_) => bail!("admin.socket: {} is not a socket", path.display()),
        Err(_) => {}
    }
    let listener = UnixListener::bind(path).with_context(context)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).with_context(context)?;
    Ok(Some(listener))
}

fn remove_socket(path: &Path) {
    if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
        && let Err(error) = std::fs::remove_file(path)
    {
        tracing::debug!(%error, path = %path.display(), "the admin socket was not removed");
    }
}

fn notify(states: &[NotifyState<'_>]) {
    // Without a service manager there is nobody to tell.
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "the service manager was not told");
    }
}
