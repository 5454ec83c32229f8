//! Finds our programs: those that this build makes.

use std::collections::BTreeMap;
use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// The programs that tests run.
const NAMES: [&str; 2] = ["kontena-master", "kontena-tui"];

static PROGRAMS: OnceLock<Result<BTreeMap<String, PathBuf>, String>> = OnceLock::new();

/// Builds our programs in this build's own profile, once per process, and says where the one of this name is.
pub fn program(name: &str) -> Result<PathBuf> {
    let programs = PROGRAMS.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    let programs = programs.as_ref().map_err(|error| anyhow::Error::msg(error.clone()))?;
    programs.get(name).cloned().with_context(|| format!("cargo does not say where it built {name}"))
}

fn build() -> Result<BTreeMap<String, PathBuf>> {
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
    command.args(["build", "--workspace", "--message-format", "json-render-diagnostics"]);
    command.args(NAMES.iter().flat_map(|name| ["--bin", name]));
    command.arg("--manifest-path").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"));
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("{} were not built", NAMES.join(" and "));
    }
    // One JSON message a line.
    Ok(String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|message| {
            let name = message.get("target")?.get("name")?.as_str()?.to_owned();
            Some((name, PathBuf::from(message.get("executable")?.as_str()?)))
        })
        .collect())
}
