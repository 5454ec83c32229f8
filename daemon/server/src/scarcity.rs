//! What this master runs short of, and who of the database is unwell: what no request shows until it is too late. Told
//! to all with the heartbeat, and by `doctor`.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use kontena_store::{Failure, Known, Store};
use rustix::io::Errno;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// For an answer of the database.
const LIMIT: Duration = Duration::from_secs(3);
/// Where a master, the journal and the service manager write.
const DIRECTORIES: [&str; 3] = ["/run", "/var/log/journal", "/var"];
/// Less room than this is none: nobody can write what must be written.
const ROOM_MIN: u64 = 8 << 20;

/// One thing that is short, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// What there is too little of.
    pub what: String,
    /// What to do.
    pub remedy: String,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what, self.remedy)
    }
}

/// Directories without room.
#[must_use]
pub fn of_room() -> Vec<Shortage> {
    let mut seen = Vec::new();
    let mut found = Vec::new();
    for directory in DIRECTORIES.map(Path::new) {
        // What is not there is nobody's directory.
        let Ok(stats) = rustix::fs::statvfs(directory) else { continue };
        if seen.contains(&stats.f_fsid) {
            continue;
        }
        seen.push(stats.f_fsid);
        let (left, size) = (stats.f_bavail * stats.f_frsize, stats.f_blocks * stats.f_frsize);
        if has_no_room(left, size) {
            found.push(Shortage {
                what: format!("the disk is full: {} has {} KiB left", directory.display(), left >> 10),
                remedy: format!(
                    "make room (du -xh --max-depth=2 {}; journalctl --vacuum-size=100M)",
                    directory.display()
                ),
            });
        }
    }
    found
}

/// Members of the database that are unwell as the set sees them, if this user may know that, and those that are silent
/// for this host.
pub async fn of_members(store: &Store, limit: Duration) -> Result<Vec<Shortage>, Failure> {
    let (set, silent) = tokio::join!(store.replica_set(limit), store.silent_members(limit));
    let (set, silent) = (set?, silent?);
    let unwell: Vec<_> = match &set {
        Known::Fact(set) => set.unwell().collect(),
        Known::Denied => Vec::new(),
    };
    let silent = silent.iter().filter(|silent| unwell.iter().all(|member| member.host != silent.host));
    let found = unwell.iter().map(|member| (member.what(), member.remedy()));
    let found = found.chain(silent.map(|member| (member.what(), member.remedy())));
    Ok(found.map(|(what, remedy)| Shortage { what, remedy }).collect())
}

/// File descriptors of a process (its number, or `self`), if hardly any are left. Nothing is known of a process that
/// is another user's.
#[must_use]
pub fn of_descriptors(process: &str) -> Option<Shortage> {
    let directory = format!("/proc/{process}");
    let listed = fs::read_dir(format!("{directory}/fd"));
    // Looking takes one as well.
    let none_left = |error: &std::io::Error| error.raw_os_error() == Some(Errno::MFILE.raw_os_error());
    let (open, limit) = match listed {
        Ok(listed) => {
            let limits = fs::read_to_string(format!("{directory}/limits"));
            let open = u64::try_from(listed.count()).ok()?;
            match limits {
                Ok(limits) => (open, soft_limit(&limits)?),
                Err(error) if none_left(&error) => (open, open),
                Err(_) => return None,
            }
        }
        Err(error) if process == "self" && none_left(&error) => (1, 1),
        Err(_) => return None,
    };
    is_exhausted(open, limit).then(|| Shortage {
        what: "hardly any of its open files are left: it takes no more connections".to_owned(),
        remedy: "raise LimitNOFILE= (systemctl edit kontena-master), or let more masters share the agents"
            .to_owned(),
    })
}

/// How many file descriptors a process may have, by what `/proc/PID/limits` says.
#[must_use]
pub fn soft_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn has_no_room(left: u64, size: u64) -> bool {
    // A small file system is not short for being small.
    size > 0 && left < ROOM_MIN.min(size / 20)
}

fn is_exhausted(open: u64, limit: u64) -> bool {
    open.saturating_mul(20) >= limit.saturating_mul(19)
}

/// Begins to look again and again.
pub(crate) fn watched(
    store: &Store,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) -> watch::Receiver<Vec<String>> {
    let (sender, found) = watch::channel(Vec::new());
    tasks.spawn(watch(store.clone(), sender, cancel.clone()));
    found
}

/// Looks until it is told to end, and tells what it found.
async fn watch(store: Store, found: watch::Sender<Vec<String>>, cancel: CancellationToken) {
    loop {
        // That it does not answer at all is told elsewhere; what was known may be over.
        let asked = tokio::time::timeout(LIMIT * 2, of_members(&store, LIMIT)).await;
        let members = asked.ok().and_then(Result::ok).unwrap_or_default();
        let looked = tokio::task::spawn_blocking(|| of_room().into_iter().chain(of_descriptors("self")));
        // The program ends.
        let Ok(short) = looked.await else { return };
        let now: Vec<String> =
            short.map(|short| short.to_string()).chain(members.iter().map(Shortage::to_string)).collect();
        found.send_if_modified(|told| {
            let changed = *told != now;
            if changed {
                for new in now.iter().filter(|warning| !told.contains(warning)) {
                    tracing::warn!("{new}");
                }
                told.clone_from(&now);
            }
            changed
        });
        tokio::select! {
            () = cancel.cancelled() => return,
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_is_full_when_hardly_anything_is_left_whatever_its_size() {
        const GIB: u64 = 1 << 30;
        assert!(has_no_room(0, GIB) && has_no_room(1 << 20, 100 * GIB) && has_no_room(0, 1 << 18));
        assert!(!has_no_room(20 << 20, GIB) && !has_no_room(1 << 17, 1 << 18) && !has_no_room(0, 0));
    }

    #[test]
    fn descriptors_are_short_from_nineteen_of_twenty_on() {
        assert!(is_exhausted(95, 100) && is_exhausted(1, 1) && !is_exhausted(94, 100));
        assert_eq!(
            soft_limit("Max cpu time  unlimited\nMax open files            1024   524288  files\n"),
            Some(1024)
        );
        assert_eq!(soft_limit("nothing"), None);
        assert_eq!(of_descriptors("self"), None);
        assert_eq!(of_descriptors("0"), None);
    }
}
