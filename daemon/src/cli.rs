//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// One of several masters that together are one highly available Kontena Master.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, disable_help_subcommand = true)]
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
    /// Write a complete configuration with fresh keys.
    Bootstrap(Bootstrap),
    /// Write what several hosts are set up from, as masters of one cluster with the same fresh keys.
    Provision(Provision),
    /// Say what the configuration is and where it was read, or what is wrong with it.
    CheckConfig,
    /// Find out what is wrong with this host, the database or the masters, and what to do about it.
    Doctor(Doctor),
    /// Show the leader and the masters.
    Status(Status),
    /// Let another master lead.
    StepDown(StepDown),
    /// Take a master out of service: it leads no more and is not ready, until it is restarted.
    Drain(Drain),
    /// Make an access token over the administration socket of this host, when nobody can log in any more.
    #[command(subcommand)]
    Token(Token),
    /// Collect what helps to find a fault into an archive, without any secret.
    Bundle(Bundle),
    /// Give back the lease of a master whose process is dead. Run by the service manager after each end.
    ReleaseLease(ReleaseLease),
    /// Write man pages and completions, for packages.
    #[command(hide = true)]
    Generate(Generate),
}

#[derive(Debug, Args)]
pub(crate) struct Bootstrap {
    /// The database, if its URI has no password in it. Else it is taken from `MONGODB_URI` or standard input.
    #[arg(long, value_name = "URI")]
    pub(crate) mongodb_uri: Option<String>,
    /// How this master is called, instead of by the name of its host.
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where others reach this master.
    #[arg(long, value_name = "URL")]
    pub(crate) advertise: Option<String>,
    /// Replace a configuration that is there already.
    #[arg(long)]
    pub(crate) force: bool,
}

/// What a host is set up from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// User data for cloud-init, on Debian and Ubuntu: the package by apt.
    CloudInit,
    /// For Flatcar (with a system extension) and Fedora `CoreOS` (with an .rpm).
    Ignition,
    /// A file for docker compose, with the image of packaging/container.
    Compose,
    /// The original's variables, and a few more.
    Env,
}

#[derive(Debug, Args)]
pub(crate) struct Provision {
    /// The database, if its URI has no password in it. Else it is taken from --mongodb-uri-file, `MONGODB_URI` or
    /// standard input.
    #[arg(long, value_name = "URI")]
    pub(crate) mongodb_uri: Option<String>,
    /// A file with the URI of the database.
    #[arg(long, value_name = "FILE", conflicts_with = "mongodb_uri")]
    pub(crate) mongodb_uri_file: Option<PathBuf>,
    /// How many masters.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) masters: u8,
    /// What is written for each.
    #[arg(long, value_enum)]
    pub(crate) format: Format,
    /// A directory for one file for each master, readable by its owner alone. Nothing there is replaced. By default all
    /// are printed.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// How the masters are called, with a number behind it.
    #[arg(long, value_name = "PREFIX", default_value = "kontena-master")]
    pub(crate) name: String,
    /// Others reach the masters by their names in this domain. By default by their names alone.
    #[arg(long)]
    pub(crate) domain: Option<String>,
    /// The load balancers before the masters, as addresses and networks, separated by commas.
    #[arg(long, value_name = "ADDRESSES")]
    pub(crate) trusted_proxies: Option<String>,
    /// Where hosts fetch the package: a .deb for cloud-init; an .rpm or a system extension (.raw) for Ignition.
    #[arg(long, value_name = "URL")]
    pub(crate) package_url: Option<String>,
    /// What that file must be, as sha256sum prints it.
    #[arg(long, value_name = "HEX")]
    pub(crate) package_sha256: Option<String>,
    /// A line for apt's sources where kontena-master is, for cloud-init. By default hosts have it already.
    #[arg(long, value_name = "LINE")]
    pub(crate) apt_source: Option<String>,
    /// The image, for compose.
    #[arg(long, default_value = concat!("kontena-master:", env!("CARGO_PKG_VERSION")))]
    pub(crate) image: String,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// Print the findings as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    pub(crate) connection: Connection,
    /// The master, by its name or id. By default the one that is asked.
    #[arg(long, value_name = "NAME")]
    pub(crate) master: Option<String>,
    /// Even if no other master could take over.
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Print a new access token of the user "admin". It is shown once; `kontena master login --token` takes it.
    Create(CreateToken),
}

#[derive(Debug, Args)]
pub(crate) struct CreateToken {
    /// With all rights. There is no other kind yet.
    #[arg(long, required = true)]
    pub(crate) admin: bool,
    /// After how many seconds it expires. By default never.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) expires_in: Option<u32>,
}

#[derive(Debug, Args)]
pub(crate) struct Bundle {
    /// Where to write it. By default kontena-master-NAME-TIME.tar.gz in this directory.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// Where to write the man pages.
    #[arg(long, value_name = "DIR")]
    pub(crate) man: PathBuf,
    /// Where to write the completions.
    #[arg(long, value_name = "DIR")]
    pub(crate) completions: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Write a probe batch each so many milliseconds while leading, for measurements.
    #[arg(long, hide = true, value_name = "MS", value_parser = milliseconds)]
    pub(crate) probe_every: Option<Duration>,
    /// Record to this file when this master acted, for measurements.
    #[arg(long, hide = true, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,
    /// Divide the times of the link to Kontena Cloud by this, for tests.
    #[arg(long, hide = true, value_name = "TIMES", default_value_t = 1)]
    pub(crate) cloud_hurry: u32,
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
    /// For monitoring: one line, and the exit code 0 (all is well), 1 (warning), 2 (critical) or 3 (unknown).
    #[arg(long, conflicts_with = "json")]
    pub(crate) check: bool,
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
