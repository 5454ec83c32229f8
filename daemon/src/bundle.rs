//! `kontena-master bundle`: what helps to find a fault, in one archive, without any secret.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;
use flate2::Compression;
use flate2::write::GzEncoder;
use kontena_server::clock::wall_ms;
use reqwest::Method;
use tar::{Builder, Header};

use crate::admin_client::{AdminClient, Reply};
use crate::cli::{self, Connection};
use crate::{config, doctor};

/// How many lines of the journal are taken.
const JOURNAL: &str = "5000";

pub(crate) fn bundle(path: &Path, arguments: &cli::Bundle) -> anyhow::Result<()> {
    let output = arguments.output.clone().unwrap_or_else(|| PathBuf::from(name()));
    let context = || format!("{} cannot be written", output.display());
    let file = File::create_new(&output).with_context(context)?;
    let mut archive = Builder::new(GzEncoder::new(file, Compression::default()));
    for (name, text) in contents(path) {
        println!("{name}");
        let mut header = Header::new_gnu();
        header.set_size(u64::try_from(text.len()).unwrap_or(0));
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(wall_ms() / 1000).unwrap_or(0));
        archive.append_data(&mut header, name, text.as_bytes()).with_context(context)?;
    }
    archive.into_inner().and_then(GzEncoder::finish).with_context(context)?;
    println!("wrote {}: look through it before you pass it on", output.display());
    Ok(())
}

fn name() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("kontena-master-{host}-{}.tar.gz", wall_ms() / 1000)
}

/// What cannot be had is replaced by the reason.
fn contents(path: &Path) -> Vec<(&'static str, String)> {
    let configuration = match config::load(path) {
        Ok(config) => {
            lines(config.described().iter().map(|(key, value, place)| format!("{key} = {value}  ({place})")))
        }
        Err(faults) => faults.to_string(),
    };
    let findings = match doctor::examine(path) {
        Ok(findings) => lines(findings.iter().map(ToString::to_string)),
        Err(error) => format!("{error:#}\n"),
    };
    let unit = "kontena-master";
    vec![
        ("version.txt", format!("kontena-master {}\n", env!("CARGO_PKG_VERSION"))),
        ("configuration.txt", configuration),
        ("doctor.txt", findings),
        ("cluster.json", asked(path, "/v1/cluster")),
        ("readyz.json", asked(path, "/readyz")),
        ("metrics.txt", asked(path, "/metrics")),
        ("systemctl-status.txt", said("systemctl", &["status", "--no-pager", "--full", unit])),
        ("systemctl-cat.txt", without_values(&said("systemctl", &["cat", "--no-pager", unit]))),
        (
            "journal.txt",
            said("journalctl", &["--no-pager", "--output=short-iso-precise", "-n", JOURNAL, "-u", unit]),
        ),
        ("os-release.txt", said("cat", &["/etc/os-release"])),
        ("kernel.txt", said("uname", &["-a"])),
    ]
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

/// Units without the values of variables and credentials, which may be secrets; where they are commented out too.
fn without_values(units: &str) -> String {
    let mut kept = Vec::new();
    // Whether what was left out goes on in this line, and whether it is a comment.
    let mut goes_on: Option<bool> = None;
    for line in units.lines() {
        let comment = line.trim_start().starts_with(['#', ';']);
        let continued = line.trim_end().ends_with('\\');
        if let Some(of_comment) = goes_on
            && (comment || !of_comment)
        {
            // A comment within does not end it.
            goes_on = (continued || comment != of_comment).then_some(of_comment);
            continue;
        }
        let value = line.split_once('=').filter(|(key, _)| is_private(key));
        kept.push(match value {
            Some((key, value)) if !value.trim().is_empty() => format!("{key}=(left out)"),
            _ => line.to_owned(),
        });
        goes_on = value.filter(|_| continued).map(|_| comment);
    }
    lines(kept.into_iter())
}

/// Whether this key of a unit has values that may be secrets. The name of a file is none.
fn is_private(key: &str) -> bool {
    let key = key.trim_start_matches(['#', ';', ' ', '\t']).trim_end();
    key != "EnvironmentFile"
        && ["Environment", "UnsetEnvironment", "SetCredential"].iter().any(|private| key.starts_with(private))
}

fn asked(path: &Path, what: &str) -> String {
    let connection = Connection { url: None };
    let answer =
        AdminClient::find(path, &connection).and_then(|client| client.ask::<()>(Method::GET, what, None));
    match answer {
        Ok(Reply::Done(body)) => String::from_utf8_lossy(&body).into_owned(),
        Ok(Reply::Ask(other)) => format!("sent on to {other}\n"),
        Err(error) => format!("{error:#}\n"),
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    match Command::new(program).args(arguments).output() {
        Ok(output) => {
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
        }
        Err(error) => format!("{program} cannot be run: {error}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_keep_everything_but_the_values_of_variables_and_credentials() {
        let units = r#"# /etc/systemd/system/kontena-master.service.d/override.conf
[Service]
User=kontena
EnvironmentFile=-/etc/default/kontena-master
Environment=
Environment=LOG_LEVEL=debug "VAULT_KEY=secret" \
    VAULT_IV=secret \
# INITIAL_ADMIN_CODE=secret
    PORT=secret
  Environment = "MONGODB_URI=secret"
# Environment=A=secret \
#   B=secret
SetCredential=kontena-master.vault_key:secret
SetCredentialEncrypted=kontena-master.vault_iv: \
        secret \
        secret
LoadCredential=kontena-master.admin_token
;SetCredential=kontena-master.vault_key:secret \
ExecStart=/usr/bin/kontena-master run \
    --probe
"#;
        let kept = r"# /etc/systemd/system/kontena-master.service.d/override.conf
[Service]
User=kontena
EnvironmentFile=-/etc/default/kontena-master
Environment=
Environment=(left out)
  Environment =(left out)
# Environment=(left out)
SetCredential=(left out)
SetCredentialEncrypted=(left out)
LoadCredential=kontena-master.admin_token
;SetCredential=(left out)
ExecStart=/usr/bin/kontena-master run \
    --probe
";
        assert_eq!(without_values(units), kept);
    }
}
