//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// One of several masters that together are one highly available Kontena Master.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Cli {
    /// The configuration file. Without one, the environment alone is used: `MONGODB_URI`, `VAULT_KEY`, `VAULT_IV`,
    /// PORT, `LOG_LEVEL`.
    #[arg(long, global = true, default_value = "/etc/kontena/master.toml", env = "KONTENA_MASTER_CONFIG")]
    pub(crate) config: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a master until it is stopped by SIGTERM or Ctrl-C.
    Run(Run),
    /// Say whether the configuration is valid, and if not, what is wrong with it.
    CheckConfig,
    /// Show the leader and the masters.
    Status(Status),
    /// Let another master lead.
    StepDown(StepDown),
    /// Give back the lease of a master whose process is dead. Run by the service manager after each end.
    ReleaseLease(ReleaseLease),
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Write a probe batch each so many milliseconds while leading, for measurements.
    #[arg(long, hide = true, value_name = "MS", value_parser = milliseconds)]
    pub(crate) probe_every: Option<Duration>,
    /// Record to this file when this master acted, for measurements.
    #[arg(long, hide = true, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Where to note what is needed to give back the lease of this process when it is dead.
    #[arg(long, hide = true, env = "RUNTIME_DIRECTORY", value_name = "DIR")]
    pub(crate) runtime_directory: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Connection {
    /// Ask the master at this address instead of the one on this host.
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Status {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Print the answer as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StepDown {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// Even if no other master could take over.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ReleaseLease {
    /// Where the dead process noted what is needed.
    #[arg(long, env = "RUNTIME_DIRECTORY", value_name = "DIR", default_value = "/run/kontena-master")]
    pub(crate) runtime_directory: PathBuf,
}

fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
