//! Checks of this host: who can read the secrets, whether the port is free or ours, and what the service may use.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use kontena_server::scarcity::{self, Shortage};
use rustix::fs::Mode;

use super::Finding;
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
    if Mode::from_raw_mode(mode).intersection(Mode::RWXO).is_empty() {
        Finding::good(CHECK, format!("only its owner and group can read it (mode {mode:04o})"))
    } else {
        Finding::warning(
            CHECK,
            format!("everybody on this host can read it (mode {mode:04o}), secrets included"),
            format!("chown root:kontena {0} && chmod 0640 {0}", path.display()),
        )
    }
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
