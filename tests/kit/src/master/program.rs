//! Finds the master's program: the one that this build makes.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use serde_json::Value;

static PROGRAM: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// Builds `kontena-master` in this build's own profile, once per process, and says where it is.
pub fn program() -> Result<PathBuf> {
    PROGRAM.get_or_init(|| build().map_err(|error| format!("{error:#}"))).clone().map_err(anyhow::Error::msg)
}

fn build() -> Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    // What cargo tells the running test of its package is none of the build's business: a build script that looks
    // at it (that of `ring` does) would run anew each time, and all that depends on it.
    for (name, _) in env::vars_os() {
        let foreign = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_"];
        if name.to_str().is_some_and(|name| foreign.iter().any(|prefix| name.starts_with(prefix))) {
            command.env_remove(&name);
        }
    }
    // The whole workspace is selected, so that its dependencies are those of the tests, built already.
    command.args(["build", "--workspace", "--bin", "kontena-master"]);
    command.args(["--message-format", "json-render-diagnostics"]);
    command.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("kontena-master was not built");
    }
    // One JSON message a line; the last artifact with an executable is the program.
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| Some(PathBuf::from(message.get("executable")?.as_str()?)))
        .next_back()
        .context("cargo built kontena-master, but does not say where it is")
}
