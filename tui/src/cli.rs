//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::theme::Palette;

/// Watch and steer the masters of a Kontena cluster.
///
/// Without options it connects to the master on this host by its admin socket; where there is none, to the master
/// in use in `~/.kontena_client.json`.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
#[expect(clippy::struct_excessive_bools, reason = "independent options")]
pub(crate) struct Cli {
    /// Connect to the master at this address.
    #[arg(long, value_name = "URL", env = "KONTENA_URL")]
    pub(crate) url: Option<String>,
    /// Read the token for administration over TCP from this file. The environment variable `KONTENA_TOKEN` does too.
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Connect to this master of `~/.kontena_client.json`.
    #[arg(long, value_name = "NAME", conflicts_with = "url")]
    pub(crate) context: Option<String>,
    /// The admin socket of the master on this host.
    #[arg(long, value_name = "PATH", default_value = "/run/kontena-master/admin.sock")]
    pub(crate) socket: PathBuf,
    /// The configuration file. By default ~/.config/kontena/tui.toml, if it is there.
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Colours. `NO_COLOR` in the environment leaves bold and reverse only.
    #[arg(long, value_enum)]
    pub(crate) palette: Option<Palette>,
    /// Plain characters only.
    #[arg(long)]
    pub(crate) ascii: bool,
    /// Use the mouse.
    #[arg(long)]
    pub(crate) mouse: bool,
    /// Show times in this zone: local, utc, or a name such as Europe/Helsinki.
    #[arg(long, value_name = "ZONE")]
    pub(crate) time_zone: Option<String>,
    /// Only look: nothing can be done to the masters.
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Print the masters as a table, and end.
    #[arg(long, conflicts_with_all = ["record", "replay"])]
    pub(crate) once: bool,
    /// With --once: print JSON.
    #[arg(long, requires = "once")]
    pub(crate) json: bool,
    /// Record everything that happens to this file.
    #[arg(long, value_name = "FILE", conflicts_with = "replay")]
    pub(crate) record: Option<PathBuf>,
    /// Show what was recorded: p plays and pauses, . steps, + and - change the speed.
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,
    /// Where the demo of the lab takes orders.
    #[arg(long, value_name = "SOCKET", hide = true)]
    pub(crate) lab: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the manual page and the shells' completions.
    #[command(hide = true)]
    Generate {
        /// Where the manual page goes.
        #[arg(long, value_name = "DIR")]
        man: Option<PathBuf>,
        /// Where the completions go.
        #[arg(long, value_name = "DIR")]
        completions: Option<PathBuf>,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
