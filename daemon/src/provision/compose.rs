//! Compose files, one for each host: the image with the original's variables.

use std::fmt::Write as _;

use super::{Host, quoted};

pub(super) fn render(host: &Host, image: &str) -> anyhow::Result<String> {
    let mut text = format!(
        "# {0}, one of several Kontena Masters of one cluster, for its host alone. It holds secrets.\n\
         # The image is made by packaging/container.\n\
         services:\n  master:\n    image: {1}\n    hostname: {2}\n    restart: unless-stopped\n    \
         init: true\n    read_only: true\n    cap_drop: [ALL]\n    tmpfs: [\"/run/kontena-master:uid=999,gid=999,mode=0750\"]\n    \
         # It gives its lease to another master and serves on for a moment.\n    stop_grace_period: 30s\n    \
         ulimits:\n      nofile: 65536\n    ports: [\"9292:9292\"]\n    environment:\n",
        host.name,
        quoted(image),
        quoted(&host.name),
    );
    for (name, value) in host.environment()? {
        // What compose would take for a variable of its own.
        let value = value.replace('$', "$$");
        // Writing to a string does not fail.
        let _written = writeln!(text, "      {name}: {}", quoted(&value));
    }
    Ok(text)
}
