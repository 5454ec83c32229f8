//! Checks of this host: who can read the secrets, whether the port is free or ours, and what the service may use.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use kontena_server::scarcity::{self, Shortage};
use rustix::fs::Mode;

use super::Finding;
use crate::bootstrap;
use crate::config::Config;

/// A master with many agents needs a descriptor for each.
const FILES_MIN: u64 = 65_536;

pub(super) fn examine(path: &Path, config: &Config) -> Vec<Finding> {
    let running = main_process();
    let mut findings = vec![mode(path), port(config.settings.listen, running.is_some())];
    findings.extend(running.and_then(|process| files(&process)));
    findings.extend(room());
    findings
}

fn room() -> Vec<Finding> {
    const CHECK: &str = "disk";
    let short = scarcity::of_room();
    if short.is_empty() {
        return vec![Finding::good(CHECK, "there is room where this host writes")];
    }
    short.into_iter().map(|Shortage { what, remedy }| Finding::problem(CHECK, what, remedy)).collect()
}

fn mode(path: &Path) -> Finding {
    const CHECK: &str = "configuration file";
    let Ok(found) = std::fs::metadata(path) else {
        return Finding::good(CHECK, format!("there is no {}: the environment is used", path.display()));
    };
    let mode = found.permissions().mode() & 0o777;
    let remedy = format!("chown root:kontena {0} && chmod 0640 {0}", path.display());
    let owner = (found.uid(), found.gid());
    if bootstrap::service().is_some_and(|service| !can_read(service, owner, mode)) {
        let found = format!("the service, which runs as kontena, cannot read it (mode {mode:04o})");
        return Finding::problem(CHECK, found, remedy);
    }
    if Mode::from_raw_mode(mode).intersection(Mode::RWXO).is_empty() {
        Finding::good(CHECK, format!("only its owner and group can read it (mode {mode:04o})"))
    } else {
        Finding::warning(
            CHECK,
            format!("everybody on this host can read it (mode {mode:04o}), secrets included"),
            remedy,
        )
    }
}

/// Whether a user and group can read a file that this user and group own: the first of the three classes that fits
/// decides.
fn can_read(who: (u32, u32), owner: (u32, u32), mode: u32) -> bool {
    let class = if who.0 == owner.0 {
        0o400
    } else if who.1 == owner.1 {
        0o040
    } else {
        0o004
    };
    mode & class != 0
}

fn port(listen: SocketAddr, running: bool) -> Finding {
    const CHECK: &str = "port";
    match TcpListener::bind(listen) {
        Ok(_) if running => Finding::warning(
            CHECK,
            format!("kontena-master runs, and does not listen on {listen}"),
            "it was started with another configuration: systemctl restart kontena-master",
        ),
        Ok(_) => Finding::good(CHECK, format!("{listen} is free")),
        Err(_) if running => Finding::good(CHECK, format!("{listen} is in use by the running service")),
        Err(error) => Finding::problem(
            CHECK,
            format!("{listen} cannot be listened on: {error}"),
            format!("see who has it (ss -ltnp 'sport = :{}'), or set http.listen", listen.port()),
        ),
    }
}

fn files(process: &str) -> Option<Finding> {
    const CHECK: &str = "open files";
    if let Some(Shortage { what, remedy }) = scarcity::of_descriptors(process) {
        return Some(Finding::problem(CHECK, what, remedy));
    }
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let limit = scarcity::soft_limit(&limits)?;
    Some(if limit >= FILES_MIN {
        Finding::good(CHECK, format!("the service may have {limit}"))
    } else {
        Finding::warning(
            CHECK,
            format!("the service may have {limit} only, and each agent takes one"),
            format!("LimitNOFILE={FILES_MIN} in the unit: systemctl edit kontena-master"),
        )
    })
}

/// The process of the service, if it runs here.
fn main_process() -> Option<String> {
    let output =
        Command::new("systemctl").args(["show", "--property=MainPID", "--value", "kontena-master"]).output();
    let text = String::from_utf8(output.ok()?.stdout).ok()?;
    let process = text.trim();
    (!process.is_empty() && process != "0").then(|| process.to_owned())
}

#[cfg(test)]
mod tests {
    use super::can_read;

    #[test]
    fn who_can_read_a_file_is_decided_by_the_first_class_that_fits() {
        let (service, root) = ((990, 991), (0, 0));
        assert!(!can_read(service, root, 0o600));
        assert!(!can_read(service, root, 0o640));
        assert!(can_read(service, (0, 991), 0o640));
        assert!(!can_read(service, (0, 991), 0o600));
        assert!(can_read(service, (990, 0), 0o400));
        assert!(!can_read(service, (990, 991), 0o044));
        assert!(can_read(service, root, 0o644));
    }
}
