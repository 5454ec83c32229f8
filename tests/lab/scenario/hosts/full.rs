//! Nothing is left of something: file descriptors of a process, room on a disk.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use crate::hosts::{COUNT, Cluster, Script};

/// A database writes what it must within a checkpoint, and stumbles then.
const STUMBLES_WITHIN: Duration = Duration::from_secs(100);
const PATIENCE: Duration = Duration::from_secs(90);

/// Lets the main process of a unit keep the file descriptors that it has, and get no more. Its own user may do that,
/// whatever root may here.
pub(super) async fn exhaust(script: &Script, host: usize, unit: &str) -> Result<()> {
    limit(script, host, unit, "$(ls /proc/$p/fd | wc -l)").await
}

/// Lets it have as many as it may; starts it again if it did not survive that.
pub(super) async fn restore(script: &Script, host: usize, unit: &str) -> Result<()> {
    let (runs, _) = script.try_shell(host, &format!("systemctl is-active {unit}")).await?;
    if !runs {
        eprintln!("  {unit} of host {host} has ended for it, and is started again");
        return script.shell(host, &format!("systemctl start {unit}")).await.map(drop);
    }
    limit(script, host, unit, "$(awk '/open files/ { print $5 }' /proc/$p/limits)").await
}

async fn limit(script: &Script, host: usize, unit: &str, soft: &str) -> Result<()> {
    let line = format!(
        "p=$(systemctl show -P MainPID {unit}); \
         setpriv --reuid $(ps -o uid= -p $p) --regid $(ps -o gid= -p $p) --clear-groups \
         prlimit --pid $p --nofile={soft}:"
    );
    script.shell(host, &line).await.map(drop)
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
