//! Nothing is left of something: file descriptors of a process, room on a disk.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::time::{Instant, sleep};

use crate::hosts::{COUNT, Cluster, Script};

/// A database writes what it must within a checkpoint, and stumbles then.
const STUMBLES_WITHIN: Duration = Duration::from_secs(100);
const PATIENCE: Duration = Duration::from_secs(90);

/// A process that gets no more file descriptors. It gets as many as before when this is dropped.
pub(super) struct Descriptors {
    process: Pid,
    before: Rlimit,
}

impl Descriptors {
    /// Lets a process keep those that it has.
    pub(super) fn exhaust(process: u32) -> Result<Self> {
        let open = std::fs::read_dir(format!("/proc/{process}/fd"))?.count();
        let process = Pid::from_raw(i32::try_from(process)?).context("no process")?;
        let open = u64::try_from(open)?;
        // The hard limit stays, whatever it is: it is read from the process first.
        let maximum = hard_limit(process)?;
        let before = prlimit(Some(process), Resource::Nofile, Rlimit { current: Some(open), maximum })?;
        Ok(Self { process, before })
    }
}

/// As `/proc` tells it; none without a limit.
fn hard_limit(process: Pid) -> Result<Option<u64>> {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.as_raw_nonzero()))?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let hard = line.and_then(|line| line.split_whitespace().nth(1)).context("no limit")?;
    Ok(hard.parse().ok())
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        // It may have ended.
        let _restored = prlimit(Some(self.process), Resource::Nofile, self.before);
    }
}

/// Leaves no room where a master's host keeps its journal and what its daemons leave for each other.
pub(super) async fn fill_host(script: &Script, host: usize) -> Result<()> {
    let line = "mkdir -p /var/log/journal; mount -t tmpfs -o size=256k,mode=755 lab /var/log/journal; \
                systemctl restart systemd-journald; \
                dd if=/dev/zero of=/var/log/journal/full bs=4k 2>/dev/null || true; \
                mount -o remount,size=$(($(df -k --output=used /run | tail -1) + 16))k /run; \
                dd if=/dev/zero of=/run/full bs=4k 2>/dev/null || true";
    script.shell(host, line).await.map(drop)
}

/// Makes room again.
pub(super) async fn empty_host(script: &Script, host: usize) -> Result<()> {
    let line = "mount -o remount,size=512m /run; rm -f /run/full; umount -l /var/log/journal; \
                systemctl restart systemd-journald";
    script.shell(host, line).await.map(drop)
}

/// Gives each member of the database a small disk of its own, one after the other.
pub(super) async fn small_disks(cluster: &Cluster) -> Result<()> {
    let line = "systemctl stop mongod; mv /var/lib/mongodb /var/lib/mongodb.disk; mkdir /var/lib/mongodb; \
                mount -t tmpfs -o size=$(($(du -sm /var/lib/mongodb.disk | cut -f1) + 300))m,mode=700 lab /var/lib/mongodb; \
                cp -a /var/lib/mongodb.disk/. /var/lib/mongodb/; chown mongodb: /var/lib/mongodb; systemctl start mongod";
    for host in 1..=COUNT {
        cluster.script.shell(host, line).await?;
        all_members(&cluster.script).await?;
    }
    Ok(())
}

/// Takes the small disks away again.
pub(super) async fn large_disks(cluster: &Cluster) -> Result<()> {
    let line = "systemctl stop mongod; mkdir /var/lib/mongodb.new; cp -a /var/lib/mongodb/. /var/lib/mongodb.new/; \
                umount /var/lib/mongodb; rmdir /var/lib/mongodb; rm -rf /var/lib/mongodb.disk; \
                mv /var/lib/mongodb.new /var/lib/mongodb; chown mongodb: /var/lib/mongodb; systemctl start mongod";
    for host in 1..=COUNT {
        cluster.script.shell(host, line).await?;
        all_members(&cluster.script).await?;
    }
    Ok(())
}

/// Fills the disk of a member, and waits until it stumbles over it.
pub(super) async fn fill_member(script: &Script, host: usize) -> Result<()> {
    script.shell(host, "dd if=/dev/zero of=/var/lib/mongodb/full bs=1M 2>/dev/null || true").await?;
    let deadline = Instant::now() + STUMBLES_WITHIN;
    while script.try_shell(host, "systemctl is-active --quiet mongod").await?.0 {
        if Instant::now() > deadline {
            eprintln!("  mongod of host {host} goes on without room on its disk");
            break;
        }
        sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

/// Makes room again, and starts the member.
pub(super) async fn empty_member(script: &Script, host: usize) -> Result<()> {
    script.shell(host, "rm -f /var/lib/mongodb/full; systemctl restart mongod").await?;
    all_members(script).await
}

/// Waits until all members of the database are well.
pub(super) async fn all_members(script: &Script) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // Without a password a member says who it is, and no more.
        let mut well = 0;
        for host in 1..=COUNT {
            let (_, said) = script.try_run(&["mongo", "run", r#"{"hello":1}"#, &host.to_string()]).await?;
            let is = |what: &str| said.contains(&format!("\"{what}\": true"));
            well += usize::from(is("isWritablePrimary") || is("secondary"));
        }
        if well == COUNT {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{well} of {COUNT} members of the database are well");
        }
        sleep(Duration::from_millis(300)).await;
    }
}
