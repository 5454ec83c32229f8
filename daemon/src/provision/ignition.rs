//! Ignition configurations, for Flatcar (the program as a system extension) and Fedora `CoreOS` (as a package): the
//! configuration, the program, and what starts it.

use anyhow::{bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::Package;

/// Of the specification: what Flatcar and Fedora `CoreOS` read since 2021.
const VERSION: &str = "3.3.0";
const RPM: &str = "/var/lib/kontena-master/kontena-master.rpm";
/// What systemd mounts: a link, so that another version takes the place of this one, and gives it back, at once.
const EXTENSION: &str = "/etc/extensions/kontena-master.raw";
/// Where the versions of the extension lie.
const VERSIONS: &str = "/opt/extensions/kontena-master";
/// Until systemd 255 the units of an extension are unknown to the manager that has mounted it.
const STARTER: &str = include_str!("../../../packaging/sysext/kontena-master-extension.service");
const WANTED: [(&str, &str); 2] =
    [("multi-user.target", "kontena-master.service"), ("sockets.target", "kontena-master.socket")];

pub(super) fn render(toml: &str, package: &Package<'_>) -> anyhow::Result<String> {
    let Some(url) = package.url else {
        bail!(
            "Ignition needs --package-url: the .rpm for Fedora CoreOS, or a system extension (.raw, see \
             packaging/sysext) for Flatcar"
        );
    };
    ensure!(
        url.starts_with("https://") || url.starts_with("http://"),
        "--package-url: Ignition reads http and https"
    );
    let configuration = json!({
        "path": "/etc/kontena/master.toml",
        "mode": 0o640,
        "user": { "name": "root" },
        "group": { "name": "kontena" },
        "contents": { "source": format!("data:;base64,{}", STANDARD.encode(toml)) },
    });
    let mut source = json!({ "source": url });
    if let Some(sum) = package.sha256 {
        source["verification"] = json!({ "hash": format!("sha256-{}", sum.to_lowercase()) });
    }
    let file = |path: &str, mode: u32| json!({ "path": path, "mode": mode, "contents": source });
    let (program, links, units) = match url.rsplit_once('.') {
        Some((_, "rpm")) => (file(RPM, 0o644), Vec::new(), vec![installer()]),
        Some((_, "raw")) => {
            let image = format!("{VERSIONS}/{}", name(url));
            (
                file(&image, 0o644),
                links(&image),
                vec![
                    json!({ "name": "systemd-sysext.service", "enabled": true }),
                    json!({ "name": "kontena-master-extension.service", "enabled": true, "contents": STARTER }),
                ],
            )
        }
        _ => bail!(
            "--package-url: {url} is neither an .rpm (for Fedora CoreOS) nor a system extension, .raw (for Flatcar)"
        ),
    };
    let ignition = json!({
        "ignition": { "version": VERSION },
        "passwd": {
            "groups": [{ "name": "kontena", "system": true }],
            "users": [{
                "name": "kontena", "gecos": "Kontena Master", "system": true, "primaryGroup": "kontena",
                "homeDir": "/", "noCreateHome": true, "shell": "/usr/sbin/nologin",
            }],
        },
        "storage": {
            "directories": [{
                "path": "/etc/kontena", "mode": 0o750, "user": { "name": "root" }, "group": { "name": "kontena" },
            }],
            "files": [configuration, program],
            "links": links,
        },
        "systemd": { "units": units },
    });
    let mut text = serde_json::to_string_pretty(&ignition)?;
    text.push('\n');
    Ok(text)
}

/// The name of the file at an address, or a name that is always good.
fn name(url: &str) -> &str {
    let name = url.rsplit('/').next().unwrap_or_default();
    let plain = name.chars().all(|letter| letter.is_ascii_alphanumeric() || "-._~+".contains(letter));
    if plain && !name.starts_with('.') { name } else { "kontena-master.raw" }
}

/// The extension that is in use, and what enables units in it, which are not there when Ignition runs.
fn links(image: &str) -> Vec<Value> {
    let link = |path: String, target: &str| json!({ "path": path, "target": target });
    let wanted = WANTED.into_iter().map(|(target, unit)| {
        let path = format!("/etc/systemd/system/{target}.wants/{unit}");
        link(path, &format!("/usr/lib/systemd/system/{unit}"))
    });
    std::iter::once(link(EXTENSION.to_owned(), image)).chain(wanted).collect()
}

/// Installs the package at the first start that has a network, before the host may restart for an update of its own.
fn installer() -> Value {
    let contents = format!(
        "[Unit]\nDescription=Install the Kontena Master\nConditionPathExists=!/usr/bin/kontena-master\n\
         Wants=network-online.target\nAfter=network-online.target\nBefore=zincati.service\n\n[Service]\nType=oneshot\nRemainAfterExit=yes\n\
         ExecStart=/usr/bin/rpm-ostree install --apply-live --assumeyes {RPM}\n\
         ExecStart=/usr/bin/systemctl enable --now kontena-master.socket kontena-master.service\n\n\
         [Install]\nWantedBy=multi-user.target\n"
    );
    json!({ "name": "kontena-master-install.service", "enabled": true, "contents": contents })
}
