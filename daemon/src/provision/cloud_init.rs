//! User data for cloud-init, on Debian and Ubuntu: the configuration, then the package by apt, then the service.

use std::fmt::Write as _;

use super::{Host, Package, quoted};

/// Where a package is kept while it is installed.
const DOWNLOADED: &str = "/run/kontena-master.deb";

pub(super) fn render(host: &Host, toml: &str, package: &Package<'_>) -> String {
    let mut text = format!(
        "#cloud-config\n# {}, one of several Kontena Masters of one cluster. It holds secrets. It writes\n\
         # /etc/kontena/master.toml, installs kontena-master ({}),\n# and starts it.\n",
        host.name,
        package.url.or(package.apt_source).unwrap_or("from the sources that apt has already"),
    );
    if let Some(source) = package.apt_source {
        // Writing to a string does not fail.
        let _written =
            write!(text, "apt:\n  sources:\n    kontena-master.list:\n      source: {}\n", quoted(source));
    }
    text.push_str(
        "write_files:\n  - path: /etc/kontena/master.toml\n    owner: root:root\n    permissions: \"0600\"\n    content: |\n",
    );
    indent(&mut text, 6, toml);
    // As one command, which ends where a step fails. The group is there when the package is.
    text.push_str("runcmd:\n  - - sh\n    - -euc\n    - |\n");
    indent(&mut text, 6, &script(package));
    text
}

fn script(package: &Package<'_>) -> String {
    let mut lines = vec!["export DEBIAN_FRONTEND=noninteractive".to_owned(), "apt-get update".to_owned()];
    let what = if let Some(url) = package.url {
        let sum = package.sha256.map(|sum| format!(" SHA256:{sum}")).unwrap_or_default();
        lines.push(format!("/usr/lib/apt/apt-helper download-file '{url}' {DOWNLOADED}{sum}"));
        DOWNLOADED
    } else {
        "kontena-master"
    };
    lines.push(format!("apt-get install -y --no-install-recommends {what}"));
    lines.extend(
        [
            "chown root:kontena /etc/kontena/master.toml",
            "chmod 0640 /etc/kontena/master.toml",
            "systemctl enable kontena-master.socket kontena-master.service",
            // The package started it if it could read the file by then.
            "systemctl restart kontena-master.service",
        ]
        .map(str::to_owned),
    );
    lines.join("\n")
}

fn indent(text: &mut String, columns: usize, lines: &str) {
    for line in lines.lines() {
        let spaces = if line.is_empty() { 0 } else { columns };
        let _written = writeln!(text, "{:spaces$}{line}", "");
    }
}
