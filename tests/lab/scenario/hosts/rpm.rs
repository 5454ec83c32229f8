//! The .rpm on a host: it installs, upgrades and is erased by the service manager's rules, beside two masters that
//! came as .deb.

use anyhow::{Context, Result, ensure};

use super::upgrade::stays_down;
use crate::hosts::{COUNT, Cluster, Packages, Script, UNIT, push_and_install};

/// Debian's rpm knows nothing of what dpkg installed, so it cannot check what is required.
const RPM: &str = "rpm --dbpath /var/lib/rpm --nodeps";
/// A file that the administrator may edit, and which a package must leave alone.
const EDITED: &str = "/etc/default/kontena-master";

/// Exchanges a follower's package for the .rpm, upgrades it, erases it, and puts the .deb back.
pub(super) async fn rpm(cluster: &mut Cluster, packages: &Packages) -> Result<()> {
    let (leader, _) = cluster.settled().await?;
    let host = (1..=COUNT).find(|host| *host != leader).context("there is one host only")?;
    let script = cluster.script.clone();
    let kept = script.shell(host, "cat /etc/kontena/master.toml").await?;
    script.shell(host, "DEBIAN_FRONTEND=noninteractive apt-get purge -y kontena-master").await?;
    script.write(host, "/etc/kontena/master.toml", 0o640, &kept).await?;

    let told =
        script.shell(host, &format!("{RPM} -ivh {}", push(&script, host, &packages.rpm()?).await?)).await?;
    ensure!(told.contains("kontena-master bootstrap"), "the .rpm does not say what to do next:\n{told}");
    script
        .shell(
            host,
            &format!(
                "chown root:kontena /etc/kontena/master.toml; systemctl enable --now {UNIT}; \
                 echo '# edited' >>{EDITED}"
            ),
        )
        .await?;
    cluster.settled().await?;
    eprintln!("  host {host} stands, from the .rpm");

    let before = main_pid(&script, host).await?;
    script.shell(host, &format!("{RPM} -Uvh {}", push(&script, host, &packages.newer_rpm()?).await?)).await?;
    cluster.settled().await?;
    let after = main_pid(&script, host).await?;
    ensure!(before != after, "the upgrade of the .rpm did not restart the master");
    script.shell(host, &format!("grep -q '^# edited' {EDITED}; systemctl is-enabled {UNIT}")).await?;
    eprintln!("  upgraded: restarted, what was edited is kept");

    script.shell(host, &format!("systemctl disable --now {UNIT}.service {UNIT}.socket")).await?;
    let older = push(&script, host, &packages.rpm()?).await?;
    script.shell(host, &format!("{RPM} -Uvh --oldpackage {older}")).await?;
    stays_down(&script, host).await?;
    script.shell(host, &format!("systemctl enable --now {UNIT}.service {UNIT}.socket")).await?;
    cluster.settled().await?;
    eprintln!("  disabled: stayed down over going back");

    script.shell(host, &format!("{RPM} -e kontena-master")).await?;
    let (runs, state) = script.try_shell(host, &format!("systemctl is-active {UNIT}")).await?;
    ensure!(!runs, "the erased master still runs: {state}");
    let left =
        format!("ls -d /usr/bin/kontena-master /usr/lib/systemd/system/{UNIT}.service /run/kontena-master");
    let (_, listed) = script.try_shell(host, &left).await?;
    ensure!(!listed.lines().any(|line| line.starts_with('/')), "left behind by the erasure:\n{listed}");
    script.shell(host, &format!("grep -q '^# edited' {EDITED}.rpmsave && rm {EDITED}.rpmsave")).await?;
    eprintln!("  erased: stopped, and what was edited is kept as .rpmsave");

    // With a configuration that is valid, the installation starts it.
    push_and_install(&script, host, &packages.deb).await?;
    cluster.settled().await.map(drop)
}

async fn push(script: &Script, host: usize, package: &std::path::Path) -> Result<String> {
    let name = package.file_name().context("a package without a name")?.to_string_lossy();
    script.run(&["push", &host.to_string(), &package.display().to_string(), "/root/"]).await?;
    Ok(format!("/root/{name}"))
}

async fn main_pid(script: &Script, host: usize) -> Result<String> {
    script.shell(host, &format!("systemctl show -P MainPID {UNIT}")).await
}
