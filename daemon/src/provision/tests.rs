//! What is written for a host says what it should, whatever is in it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::config::check_text;

const URI: &str = "mongodb://u:p%40$x@db1,db2/kontena_server?replicaSet=rs0";
const SUM: &str = "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855";

fn host() -> Host {
    let values = vec![
        ("mongodb.uri", URI.into()),
        ("vault.key", random(64)),
        ("vault.iv", random(32)),
        ("access.initial_admin_code", random(32)),
        ("admin.token", random(48)),
        ("http.trusted_proxies", "10.0.0.5, 10.1.0.0/16".into()),
        ("name", "m-1".into()),
        ("http.advertise", "http://m-1.example.com:9292".into()),
    ];
    Host { name: "m-1".to_owned(), values }
}

fn from(url: &str) -> Package<'_> {
    Package { url: Some(url), sha256: Some(SUM), apt_source: None }
}

/// The lines below `head` that stand further in, as they are without that.
fn block(text: &str, head: &str, columns: usize) -> String {
    let lines = text.lines().skip_while(|line| *line != head).skip(1);
    let inside = lines.take_while(|line| line.is_empty() || line.starts_with(&" ".repeat(columns)));
    let lines: Vec<&str> = inside.map(|line| line.get(columns..).unwrap_or_default()).collect();
    lines.join("\n") + "\n"
}

#[test]
fn user_data_holds_the_whole_configuration_and_one_script() {
    let (host, package) = (host(), from("https://example.com/k.deb"));
    let text = cloud_init::render(&host, &host.toml().unwrap(), &package);
    assert!(text.starts_with("#cloud-config\n"));
    let written = block(&text, "    content: |", 6);
    assert_eq!(written, host.toml().unwrap());
    assert_eq!(check_text(Path::new("x"), &written).unwrap().settings.name, "m-1");
    let script = block(&text, "    - |", 6);
    let fetch = format!(
        "apt-helper download-file 'https://example.com/k.deb' /run/kontena-master.deb SHA256:{SUM}\n"
    );
    assert!(script.contains(&fetch), "{script}");
    assert!(script.contains("apt-get install -y --no-install-recommends /run/kontena-master.deb\n"));
    let plain =
        Package { url: None, sha256: None, apt_source: Some("deb [trusted=yes] http://apt.local ./") };
    let text = cloud_init::render(&host, "", &plain);
    assert!(text.contains("      source: \"deb [trusted=yes] http://apt.local ./\"\n"));
    assert!(text.contains("apt-get install -y --no-install-recommends kontena-master\n"));
}

#[test]
fn ignition_holds_the_whole_configuration_and_what_starts_the_program() {
    let toml = host().toml().unwrap();
    let read =
        |url: &str| -> Value { serde_json::from_str(&ignition::render(&toml, &from(url)).unwrap()).unwrap() };
    let rpm = read("https://example.com/k.rpm");
    assert_eq!(rpm["ignition"]["version"], "3.3.0");
    let files = rpm["storage"]["files"].as_array().unwrap();
    let data = files[0]["contents"]["source"].as_str().unwrap().strip_prefix("data:;base64,").unwrap();
    assert_eq!(STANDARD.decode(data).unwrap(), toml.as_bytes());
    // Ignition writes modes in tens, not in eights.
    assert_eq!(files[0]["mode"], 416);
    assert_eq!(files[1]["contents"]["source"], "https://example.com/k.rpm");
    assert_eq!(files[1]["contents"]["verification"]["hash"], format!("sha256-{}", SUM.to_lowercase()));
    let unit = rpm["systemd"]["units"][0]["contents"].as_str().unwrap();
    let path = files[1]["path"].as_str().unwrap();
    assert!(unit.contains(&format!("rpm-ostree install --apply-live --assumeyes {path}\n")));
    for (url, name) in [("k-1.0.0-x86-64.raw", "k-1.0.0-x86-64.raw"), ("x?a=b c.raw", "kontena-master.raw")] {
        let raw = read(&format!("https://example.com/{url}"));
        let image = format!("/opt/extensions/kontena-master/{name}");
        assert_eq!(raw["storage"]["files"][1]["path"], image);
        let links = raw["storage"]["links"].as_array().unwrap();
        assert_eq!((links.len(), &links[0]["target"]), (3, &Value::from(image)));
        assert_eq!(links[0]["path"], "/etc/extensions/kontena-master.raw");
        let starter = raw["systemd"]["units"][1]["contents"].as_str().unwrap();
        assert!(starter.contains("\nExecStart=systemctl daemon-reload\n"));
    }
    assert!(ignition::render(&toml, &from("https://example.com/k.deb")).is_err());
    assert!(ignition::render(&toml, &Package { url: None, sha256: None, apt_source: None }).is_err());
}

#[test]
fn compose_takes_nothing_in_a_value_for_a_variable_of_its_own() {
    let host = host();
    let text = compose::render(&host, "kontena-master:1").unwrap();
    let variables: BTreeMap<&str, String> = text
        .lines()
        .skip_while(|line| *line != "    environment:")
        .skip(1)
        .map(|line| line.trim().split_once(": ").unwrap())
        .map(|(name, value)| (name, serde_json::from_str::<String>(value).unwrap()))
        .collect();
    assert_eq!(variables["MONGODB_URI"], URI.replace('$', "$$"));
    for name in ["VAULT_KEY", "VAULT_IV", "INITIAL_ADMIN_CODE", "KONTENA_MASTER_NAME"] {
        assert!(!variables[name].is_empty());
    }
    assert!(text.contains("    ports: [\"9292:9292\"]\n"));
}

#[test]
fn what_files_of_variables_read_differently_is_refused() {
    let mut host = host();
    assert!(host.variables().unwrap().contains(&format!("\nMONGODB_URI={URI}\n")));
    for bad in ["qq zz", "qq\"zz", "qq'zz", "qq\\zz", "qq\nPORT=1", "qqä"] {
        host.values[1].1 = bad.into();
        let error = host.variables().unwrap_err().to_string();
        assert!(error.starts_with("vault.key has a space") && !error.contains("qq"), "{error}");
    }
}

#[test]
fn nothing_is_replaced_and_nobody_else_reads_it() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("new");
    let document = |name: &str| (name.to_owned(), "secret".to_owned());
    write(&target, &[document("a"), document("b")]).unwrap();
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&target), mode(&target.join("a"))), (0o700, 0o600));
    let error = write(&target, &[document("c"), document("b")]).unwrap_err().to_string();
    assert!(error.contains("b is there already, and nothing was written"), "{error}");
    assert!(!target.join("c").exists());
}
