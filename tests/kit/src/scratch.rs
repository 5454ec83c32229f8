//! Directories for the data of servers and masters. A process that is killed cannot remove its own, so the next
//! one does.

use std::path::Path;
use std::{env, fs, io, process};

use anyhow::{Context, Result};
use tempfile::TempDir;

const PREFIX: &str = "kontena-";

/// A new directory, named after this process; removes those of processes that no longer exist.
pub(crate) fn directory(what: &str) -> Result<TempDir> {
    let base = env::temp_dir();
    sweep(&base).with_context(|| format!("cannot list {}", base.display()))?;
    tempfile::Builder::new()
        .prefix(&format!("{PREFIX}{what}-{}-", process::id()))
        .tempdir_in(&base)
        .with_context(|| format!("cannot create a directory in {}", base.display()))
}

fn sweep(base: &Path) -> io::Result<()> {
    for entry in fs::read_dir(base)? {
        let entry = entry?;
        if owner(&entry.file_name().to_string_lossy()).is_some_and(|pid| !is_alive(pid)) {
            // It may be another user's, or another process may be just as tidy.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split('-').nth(1)?.parse().ok()
}

fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_dead_are_swept() -> io::Result<()> {
        let base = tempfile::tempdir()?;
        // Above the largest process id there can be.
        let dead = base.path().join(format!("{PREFIX}mongod-4194305-x"));
        let alive = base.path().join(format!("{PREFIX}mongod-{}-x", process::id()));
        let other = base.path().join("4194305-x");
        for directory in [&dead, &alive, &other] {
            fs::create_dir(directory)?;
        }
        sweep(base.path())?;
        assert!(!dead.exists() && alive.exists() && other.exists());
        Ok(())
    }
}
