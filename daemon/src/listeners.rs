//! The sockets of the master: those that the service manager kept or made for us, else our own.
//!
//! The service manager makes the administrators' socket from its socket unit. The network's listener is ours, but
//! we hand it to the service manager to keep over restarts, so that a client that comes in between waits and is
//! not refused.

use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use kontena_server::Listeners;
use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::net::{TcpListener, UnixListener};

/// The name under which the service manager keeps the network's listener.
const NAME: &str = "http";

/// Takes over what there is, and binds the rest.
pub(crate) async fn bind(listen: SocketAddr, admin: &Path) -> anyhow::Result<(Listeners, AdminFile)> {
    let mut inherited = inherited()?;
    let network = match inherited.network.take() {
        Some(kept) if kept.local_addr().is_ok_and(|kept| kept == listen) => TcpListener::from_std(kept)?,
        Some(_) | None => TcpListener::bind(listen)
            .await
            .with_context(|| format!("http.listen: {listen} cannot be listened on"))?,
    };
    keep(&network);
    let (admin, file) = match inherited.admin {
        Some(made) => (Some(UnixListener::from_std(made)?), AdminFile(None)),
        None => bind_admin(admin)?,
    };
    Ok((Listeners { network, admin }, file))
}

#[derive(Default)]
struct Inherited {
    network: Option<StdTcpListener>,
    admin: Option<StdUnixListener>,
}

fn inherited() -> anyhow::Result<Inherited> {
    let mut descriptors = ListenFd::from_env();
    let mut inherited = Inherited::default();
    for index in 0..descriptors.len() {
        // A socket of another kind is an error of the taking, which leaves it in its place.
        if let Ok(Some(listener)) = descriptors.take_unix_listener(index) {
            listener.set_nonblocking(true)?;
            inherited.admin = Some(listener);
        } else if let Ok(Some(listener)) = descriptors.take_tcp_listener(index) {
            listener.set_nonblocking(true)?;
            inherited.network = Some(listener);
        } else {
            tracing::warn!(index, "the service manager passed a socket of an unknown kind");
        }
    }
    Ok(inherited)
}

/// Has the service manager keep the listener. The one that it kept under the name before is let go first.
fn keep(network: &TcpListener) {
    let told = sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName(NAME)]).and_then(|()| {
        sd_notify::notify_with_fds(&[NotifyState::FdStore, NotifyState::FdName(NAME)], &[network.as_fd()])
    });
    if let Err(error) = told {
        tracing::debug!(%error, "the service manager does not keep the listener");
    }
}

/// The file of a socket that we made. Removed when this is dropped.
#[derive(Debug)]
pub(crate) struct AdminFile(Option<PathBuf>);

impl Drop for AdminFile {
    fn drop(&mut self) {
        let Some(path) = &self.0 else { return };
        if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket())
            && let Err(error) = std::fs::remove_file(path)
        {
            tracing::debug!(%error, path = %path.display(), "the admin socket was not removed");
        }
    }
}

/// Makes the administrators' socket, if its directory is there. A socket left by a dead process is replaced;
/// one that a living process listens on is not.
fn bind_admin(path: &Path) -> anyhow::Result<(Option<UnixListener>, AdminFile)> {
    if !path.parent().is_some_and(Path::is_dir) {
        tracing::debug!(path = %path.display(), "no admin socket: its directory does not exist");
        return Ok((None, AdminFile(None)));
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
    Ok((Some(listener), AdminFile(Some(path.to_owned()))))
}
