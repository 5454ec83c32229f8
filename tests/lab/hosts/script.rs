//! The script that boots, cuts, freezes and kills hosts (`tests/hosts/hosts`).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::process::Command;

/// Nothing that the script does takes longer, but for the first boot.
const LIMIT: Duration = Duration::from_secs(120);
/// The first boot makes a root file system, and fetches what it is made from.
const UP_LIMIT: Duration = Duration::from_secs(900);

/// The script, which knows where its hosts are.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    directory: PathBuf,
}

impl Script {
    pub(crate) fn find() -> Self {
        Self { directory: Path::new(env!("CARGO_MANIFEST_DIR")).join("hosts") }
    }

    /// Runs a command of the script; returns what it printed.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<String> {
        let (succeeded, text) = self.try_run(arguments).await?;
        if !succeeded {
            bail!("hosts {} failed:\n{text}", arguments.join(" "));
        }
        Ok(text)
    }

    /// The same, if a failure says something; returns whether it succeeded.
    pub(crate) async fn try_run(&self, arguments: &[&str]) -> Result<(bool, String)> {
        let limit = if arguments.first() == Some(&"up") { UP_LIMIT } else { LIMIT };
        let mut command = self.command(arguments);
        // Whoever types Ctrl-C does not mean to leave a host half broken.
        command.process_group(0);
        let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = tokio::time::timeout(limit, output)
            .await
            .with_context(|| format!("hosts {} took longer than {limit:?}", arguments.join(" ")))?
            .context("cannot run tests/hosts/hosts")?;
        let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            text.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        Ok((output.status.success(), text))
    }

    /// Runs a line of shell in a host.
    pub(crate) async fn shell(&self, host: usize, line: &str) -> Result<String> {
        self.run(&["exec", &host.to_string(), "sh", "-ec", line]).await
    }

    /// The same, if a failure says something.
    pub(crate) async fn try_shell(&self, host: usize, line: &str) -> Result<(bool, String)> {
        self.try_run(&["exec", &host.to_string(), "sh", "-ec", line]).await
    }

    /// Writes a file in a host.
    pub(crate) async fn write(&self, host: usize, path: &str, mode: u32, text: &str) -> Result<()> {
        let local = tempfile::NamedTempFile::new()?;
        std::fs::write(local.path(), text)?;
        let parent = Path::new(path).parent().map(|parent| parent.display().to_string()).unwrap_or_default();
        self.shell(host, &format!("mkdir -p {parent}")).await?;
        self.run(&["push", &host.to_string(), &local.path().display().to_string(), path]).await?;
        self.shell(host, &format!("chmod {mode:o} {path}")).await?;
        Ok(())
    }

    /// A command of the script, to be run otherwise than by waiting for its output.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.directory.join("hosts"));
        // For clocks that are wrong, and to try the .rpm.
        command.args(arguments).env("KONTENA_HOSTS_PACKAGES", "libfaketime,rpm");
        command
    }

    /// Another file beside the script.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}
