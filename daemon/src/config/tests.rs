//! What is accepted, what is refused, and with which words.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{Config, Faults, Sources, load, merge};

const URI: &str = "[mongodb]\nuri = \"mongodb://db1,db2/kontena_server\"\n";

fn read(files: &[(&str, &str)], environment: &[(&'static str, &str)]) -> Result<Config, Faults> {
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let sources = Sources {
        path: PathBuf::from("master.toml"),
        files: files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect(),
        credentials: None,
    };
    merge(&sources, |name| environment.get(name).map(|value| (*value).to_owned()))
}

fn read_one(text: &str) -> Result<Config, Faults> {
    read(&[("master.toml", text)], &[])
}

#[test]
fn the_address_of_the_database_is_enough() {
    let config = read_one(URI).unwrap();
    assert_eq!(config.settings.listen.to_string(), "0.0.0.0:9292");
    assert_eq!(config.settings.tunables.timing.ttl, Duration::from_secs(2));
    assert!(config.settings.tunables.eligible);
}

#[test]
fn the_originals_environment_is_honoured_and_wins() {
    let environment = [("MONGODB_URI", "mongodb://other/kontena"), ("PORT", "8080"), ("LOG_LEVEL", "DEBUG")];
    let config = read(&[("master.toml", URI)], &environment).unwrap();
    assert_eq!(config.settings.database.expose(), "mongodb://other/kontena");
    assert_eq!(config.settings.listen.port(), 8080);
    assert_eq!(config.log_level, "debug");
    // As the original has it, an empty variable is none.
    let config = read(&[("master.toml", URI)], &[("MONGODB_URI", "")]).unwrap();
    assert_eq!(config.settings.database.expose(), "mongodb://db1,db2/kontena_server");
}

#[test]
fn later_files_override_earlier_ones_key_by_key() {
    let files = [
        ("master.toml", "name = \"one\"\n[mongodb]\nuri = \"mongodb://a/k\"\n[log]\nlevel = \"warn\"\n"),
        ("master.toml.d/10.toml", "[mongodb]\nuri = \"mongodb://b/k\"\n"),
        ("master.toml.d/20.toml", "[log]\nlevel = \"debug\"\n"),
    ];
    let config = read(&files, &[]).unwrap();
    assert_eq!(config.settings.name, "one");
    assert_eq!(config.settings.database.expose(), "mongodb://b/k");
    assert_eq!(config.log_level, "debug");
    let described = config.described();
    let level = described.iter().find(|(key, ..)| *key == "log.level").unwrap();
    assert_eq!(level.2, "master.toml.d/20.toml:2");
}

#[test]
fn files_and_credentials_are_found_where_systemd_puts_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("master.toml");
    std::fs::write(&path, URI).unwrap();
    std::fs::create_dir(directory.path().join("master.toml.d")).unwrap();
    std::fs::write(directory.path().join("master.toml.d/90-name.toml"), "name = \"from-d\"\n").unwrap();
    std::fs::write(directory.path().join("master.toml.d/ignored.bak"), "nonsense").unwrap();
    let config = load(&path).unwrap();
    assert_eq!(config.settings.name, "from-d");

    let credentials = directory.path().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("kontena-master.mongodb_uri"), "mongodb://credential/k\n").unwrap();
    let sources = Sources { path, files: Vec::new(), credentials: Some(credentials) };
    let config =
        merge(&sources, |name| (name == "MONGODB_URI").then(|| "mongodb://environment/k".to_owned()))
            .unwrap();
    assert_eq!(config.settings.database.expose(), "mongodb://credential/k");
}

#[test]
fn a_different_vault_key_is_a_different_fingerprint() {
    let with = |key: &str| read_one(&format!("{URI}[vault]\nkey = \"{key}\"\n")).unwrap().settings;
    let (one, other) = (with(&"a".repeat(32)), with(&"b".repeat(32)));
    assert_ne!(one.fingerprint, other.fingerprint);
    assert_ne!(one.vault_proof, other.vault_proof);
}

#[test]
fn a_change_is_told_by_its_key() {
    let before = read_one(&format!("{URI}[log]\nlevel = \"info\"\n")).unwrap();
    let after = read_one(&format!("name = \"x\"\n{URI}")).unwrap();
    let changed: Vec<_> = before.changes(&after).into_iter().map(|key| (key.name, key.reloads)).collect();
    assert_eq!(changed, [("name", false), ("log.level", true)]);
}

/// Every broken file beside the words that a person gets for it. `KONTENA_GOLDEN=write` writes them anew.
#[test]
fn every_broken_file_is_told_where_it_is_wrong_and_what_would_be_right() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/config/broken");
    let mut files: Vec<_> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    assert!(files.len() >= 20, "{} files", files.len());
    for path in files {
        let told = read_one(&std::fs::read_to_string(&path).unwrap()).unwrap_err().to_string() + "\n";
        assert!(!told.contains("hunter2"), "{told}");
        let golden = path.with_extension("txt");
        if std::env::var("KONTENA_GOLDEN").is_ok_and(|wish| wish == "write") {
            std::fs::write(&golden, &told).unwrap();
        }
        let expected = std::fs::read_to_string(&golden).unwrap_or_default();
        assert_eq!(told, expected, "{}", path.display());
    }
}

#[test]
fn no_debug_shows_a_secret() {
    let secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
    let text = format!(
        "[mongodb]\nuri = \"mongodb://u:{secret}@db/k\"\n[vault]\nkey = \"{secret}\"\n[admin]\ntoken = \"{secret}\"\n"
    );
    let config = read_one(&text).unwrap();
    let shown = format!("{config:?} {:?}", config.described());
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn trusted_proxies_are_addresses_and_networks() {
    let text = format!("{URI}[http]\ntrusted_proxies = \"10.0.0.5, 10.1.0.0/16,\"\n");
    let config = read_one(&text).unwrap();
    let shown: Vec<String> = config.settings.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["10.0.0.5/32", "10.1.0.0/16"]);
    let faults = read_one(&text.replace("10.0.0.5", "balancer")).unwrap_err().to_string();
    assert!(faults.contains("\"balancer\", which is neither an address nor a network"), "{faults}");
}

#[test]
fn the_originals_variables_fill_what_the_database_has_no_value_of_and_never_show() {
    let environment =
        [("AUTH_CLIENT_SECRET", "hush"), ("USERINFO_REQUIRES_BASIC_AUTH", "true"), ("SERVER_NAME", "")];
    let config = read(&[("master.toml", URI)], &environment).unwrap();
    let value = |wanted: &str| {
        let found = config.settings.configuration_defaults.0.iter().find(|(key, _)| key == wanted);
        found.map(|(_, value)| value.to_string())
    };
    assert_eq!(value("oauth2.client_secret").as_deref(), Some("\"hush\""));
    assert_eq!(value("oauth2.userinfo_requires_basic_auth").as_deref(), Some("true"));
    assert_eq!(value("oauth2.ignore_invalid_ssl").as_deref(), Some("false"));
    assert_eq!(value("cloud.enabled").as_deref(), Some("\"true\""));
    assert_eq!(value("server.name"), None);
    assert!(!format!("{:?}", config.settings).contains("hush"));
}

#[test]
fn how_patient_a_master_is_with_agents_can_be_set_as_the_original_had_it() {
    let agents = |environment: &[(&'static str, &str)], text: &str| {
        let config = read(&[("master.toml", &format!("{URI}{text}"))], environment).unwrap();
        let agents = config.settings.agents;
        (agents.ping_timeout, agents.tolerance.connect, agents.tolerance.skew)
    };
    assert_eq!(agents(&[], ""), (Duration::from_secs(5), 5.0, 1.0));
    let environment = [("WEBSOCKET_TIMEOUT", "7.5"), ("KONTENA_CLOCK_SKEW", "30")];
    let file = "[agents]\nping_timeout = \"3s\"\nclock_skew = \"2m\"\n";
    assert_eq!(agents(&[], file), (Duration::from_secs(3), 3.0, 120.0));
    assert_eq!(agents(&environment, file), (Duration::from_millis(7500), 7.5, 30.0));
    let faults = read(&[("master.toml", URI)], &[("WEBSOCKET_TIMEOUT", "soon")]).unwrap_err().to_string();
    assert!(
        faults.contains("WEBSOCKET_TIMEOUT in the environment: agents.ping_timeout is \"soon\""),
        "{faults}"
    );
}

#[test]
fn masters_that_announce_another_version_do_not_share_their_settings() {
    let read = |version: &str| read_one(&format!("{URI}[agents]\ncompat_version = {version:?}\n"));
    let config = read("1.6.0.dev").unwrap();
    assert_eq!(config.settings.compat_version, "1.6.0.dev");
    assert_ne!(config.settings.fingerprint, read_one(URI).unwrap().settings.fingerprint);
    for wrong in ["", "1.5", "latest", "1.5.4\nX=1"] {
        assert!(read(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn an_old_endpoint_of_the_original_is_warned_of_and_not_used() {
    const DEFAULT: &str = "https://acme-v02.api.letsencrypt.org/directory";
    let at = |endpoint: &str| read(&[("master.toml", URI)], &[("ACME_ENDPOINT", endpoint)]);
    let config = at("https://acme-v01.api.letsencrypt.org/").unwrap();
    assert_eq!(config.settings.acme.directory, DEFAULT);
    let [warning] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
    assert!(warning.contains("ACME_ENDPOINT") && warning.contains(DEFAULT), "{warning}");
    let config = at("https://acme.example.com/directory").unwrap();
    assert_eq!(config.settings.acme.directory, "https://acme.example.com/directory");
    assert_eq!(config.warnings, [""; 0]);
    assert_eq!(read_one(URI).unwrap().settings.acme.directory, DEFAULT);
    assert!(at("http://acme.example.com/directory").is_err());
}
