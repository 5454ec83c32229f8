//! SIGHUP: reads the configuration again, takes what a running master can take, and says what it cannot.

use std::path::PathBuf;
use std::time::Duration;

use kontena_server::Tunables;
use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::config::{self, Config};
use crate::run::notify;
use crate::telemetry::LogLevel;

/// What is in force, and where changes go.
pub(crate) struct Reloader {
    path: PathBuf,
    /// As read at the start, with what was reloaded since.
    config: Config,
    log_level: LogLevel,
    tunables: watch::Sender<Tunables>,
}

impl Reloader {
    pub(crate) fn new(
        path: PathBuf,
        config: Config,
        log_level: LogLevel,
        tunables: watch::Sender<Tunables>,
    ) -> Self {
        Self { path, config, log_level, tunables }
    }

    /// How long a stopping master goes on serving.
    pub(crate) fn drain_grace(&self) -> Duration {
        self.config.settings.tunables.drain_grace
    }

    /// Reads everything anew. What is wrong changes nothing.
    pub(crate) fn reload(&mut self) {
        let since = NotifyState::monotonic_usec_now();
        let mut states = vec![NotifyState::Reloading];
        states.extend(since.ok());
        notify(&states);
        match config::load(&self.path) {
            Ok(config) => self.take(config),
            Err(faults) => tracing::error!("not reloaded, nothing was changed: {faults}"),
        }
        notify(&[NotifyState::Ready]);
    }

    fn take(&mut self, config: Config) {
        let changes = self.config.changes(&config);
        if changes.is_empty() {
            tracing::info!("reloaded: nothing has changed");
        }
        for key in changes {
            if key.reloads {
                tracing::info!(key = key.name, "reloaded: {} has changed", key.name);
            } else {
                tracing::warn!(
                    key = key.name,
                    "{} has changed, which takes effect with a restart only: systemctl restart kontena-master",
                    key.name
                );
            }
        }
        if let Err(error) = self.log_level.set(&config.log_level) {
            tracing::error!(%error, "the log level was not changed");
        }
        self.tunables.send_replace(config.settings.tunables.clone());
        self.config = config;
    }
}
