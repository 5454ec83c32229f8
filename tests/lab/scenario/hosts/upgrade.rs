//! The packages come and go under API load, and nobody who calls notices.

use anyhow::{Context, Result, ensure};

use crate::hosts::{COUNT, Cluster, Packages, Script, Town, UNIT, push_and_install};
use crate::report::Report;

/// Upgrades the three one by one, the leader last, then goes back; then one is disabled, removed and purged.
pub(super) async fn upgrade(
    cluster: &mut Cluster,
    town: &mut Town,
    packages: &Packages,
    report: &mut Report,
) -> Result<()> {
    let newer = packages.newer()?;
    // What was called before is no matter of the upgrade.
    let _before = town.calls();
    for deb in [&newer, &packages.deb] {
        let (leader, _) = cluster.settled().await?;
        let mut order: Vec<_> = (1..=COUNT).filter(|host| *host != leader).collect();
        order.push(leader);
        for host in order {
            let (_, term) = cluster.settled().await?;
            // A service is deployed across each restart.
            town.order().await?;
            push_and_install(&cluster.script, host, deb).await?;
            if host == leader {
                let (next, _) = cluster.successor(term).await?;
                eprintln!("  the leader was replaced, term {next}");
            }
        }
    }
    cluster.settled().await?;
    let (answered, failures) = town.calls();
    for failure in &failures {
        eprintln!("  a call failed: {}", failure.what);
    }
    let failed = u64::try_from(failures.len())?;
    eprintln!("  {answered} calls answered, {failed} failed");
    ensure!(answered > 0, "no call was answered");
    report.violations("stuck_deploys", town.stuck().await?);
    report.violations("lost_writes", town.lost().await?);
    report.sample("upgrade_calls", f64::from(u32::try_from(answered).unwrap_or(u32::MAX)));
    report.violations("failed_calls", failed);
    off_and_on(cluster, packages).await?;
    purge(cluster, packages).await
}

/// What was disabled stays down over an upgrade, and what was removed comes up when it is installed again.
async fn off_and_on(cluster: &Cluster, packages: &Packages) -> Result<()> {
    let (leader, _) = cluster.settled().await?;
    let host = (1..=COUNT).find(|host| *host != leader).context("there is one host only")?;
    let script = &cluster.script;
    script.shell(host, &format!("systemctl disable --now {UNIT}.service {UNIT}.socket")).await?;
    push_and_install(script, host, &packages.newer()?).await?;
    stays_down(script, host).await?;
    script.shell(host, &format!("systemctl enable --now {UNIT}.service {UNIT}.socket")).await?;
    cluster.settled().await?;
    script.shell(host, "DEBIAN_FRONTEND=noninteractive apt-get remove -y kontena-master").await?;
    push_and_install(script, host, &packages.deb).await?;
    cluster.settled().await?;
    eprintln!("  disabled: stayed down over an upgrade; removed and installed: came up");
    Ok(())
}

/// Neither the service nor its socket runs or is enabled.
pub(super) async fn stays_down(script: &Script, host: usize) -> Result<()> {
    for question in ["is-active", "is-enabled"] {
        // Succeeds if any of them is.
        let line = format!("systemctl {question} {UNIT}.service {UNIT}.socket");
        let (any, told) = script.try_shell(host, &line).await?;
        ensure!(!any, "{line}, though it was disabled:\n{told}");
    }
    Ok(())
}

/// Purging leaves nothing but the user; afterwards the host is set up again.
async fn purge(cluster: &mut Cluster, packages: &Packages) -> Result<()> {
    let (leader, _) = cluster.settled().await?;
    let host = (1..=COUNT).find(|host| *host != leader).context("there is one host only")?;
    let script = cluster.script.clone();
    let kept = script.shell(host, "cat /etc/kontena/master.toml").await?;
    script.shell(host, "DEBIAN_FRONTEND=noninteractive apt-get purge -y kontena-master").await?;
    let left = "ls -d /etc/kontena/master.toml /usr/bin/kontena-master /run/kontena-master /etc/default/kontena-master";
    let (found, listed) = script.try_shell(host, left).await?;
    ensure!(
        !found && !listed.lines().any(|line| line.starts_with('/')),
        "left behind by the purge:\n{listed}"
    );
    script.write(host, "/etc/kontena/master.toml", 0o640, &kept).await?;
    // With a configuration that is valid, the installation starts it.
    push_and_install(&script, host, &packages.deb).await?;
    script
        .shell(host, "chown root:kontena /etc/kontena/master.toml; systemctl restart kontena-master")
        .await?;
    cluster.settled().await.map(drop)
}
