//! What is accepted, what is refused, and with which words.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use super::{Config, from_text};

const URI: &str = "[mongodb]\nuri = \"mongodb://db1,db2/kontena_server\"\n";

fn load(text: &str, environment: &[(&'static str, &str)]) -> Result<Config, String> {
    let environment: HashMap<_, _> =
        environment.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
    from_text(Path::new("master.toml"), Some(text), &environment).map_err(|error| format!("{error:#}"))
}

#[test]
fn the_address_of_the_database_is_enough() {
    let config = load(URI, &[]).unwrap();
    assert_eq!(config.settings.listen.to_string(), "0.0.0.0:9292");
    assert_eq!(config.settings.timing.ttl, Duration::from_secs(2));
    assert!(config.settings.eligible);
}

#[test]
fn the_originals_environment_is_honoured_and_wins() {
    let environment = [("MONGODB_URI", "mongodb://other/kontena"), ("PORT", "8080"), ("LOG_LEVEL", "DEBUG")];
    let config = load(URI, &environment).unwrap();
    assert_eq!(config.settings.database.expose(), "mongodb://other/kontena");
    assert_eq!(config.settings.listen.port(), 8080);
    assert_eq!(config.log_level, "debug");
}

#[test]
fn a_different_vault_key_is_a_different_fingerprint() {
    let with = |key: &str| load(&format!("{URI}[vault]\nkey = \"{key}\"\n"), &[]).unwrap().settings;
    let (one, other) = (with(&"a".repeat(32)), with(&"b".repeat(32)));
    assert_ne!(one.fingerprint, other.fingerprint);
    assert_ne!(one.vault_proof, other.vault_proof);
}

#[test]
fn every_fault_says_where_it_is_and_what_would_be_right() {
    let cases: [(&str, &str); 9] = [
        ("", "mongodb.uri is missing"),
        ("[mongodb]\nurl = \"x\"\n", "master.toml:2: unknown field `url`, expected `uri`"),
        ("[mongodb]\nuri = 5\n", "master.toml:2: invalid type: integer"),
        ("[mongodb]\nuri = \"db1/kontena\"\n", "starts with mongodb:// or mongodb+srv://"),
        ("[mongodb\n", "master.toml:1: "),
        (&format!("{URI}[http]\nlisten = \"9292\"\n"), "an address and a port"),
        (&format!("{URI}[election]\nlease_ttl = \"100ms\"\n"), "a lease lasts from 1 s to 60 s"),
        (&format!("{URI}[election]\nlease_ttl = \"soon\"\n"), "a time such as \"2s\""),
        (&format!("{URI}[vault]\nkey = \"short\"\n"), "vault.key has 5 bytes: at least 32 are needed"),
    ];
    for (text, expected) in cases {
        let error = load(text, &[]).unwrap_err();
        assert!(error.contains(expected), "{text:?}: {error}");
    }
}

#[test]
fn no_fault_and_no_debug_shows_a_secret() {
    let secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
    let texts = [
        format!("[mongodb]\nuri = \"mongodb://u:{secret}@db/k\"\n[vault]\nkey = \"{secret}\"\n"),
        format!("[mongodb]\nuri = \"u:{secret}@db\"\n"),
        format!("[mongodb]\nuri = [\"{secret}\"]\n"),
        format!("[vault]\nkey = \"{secret}\n"),
    ];
    for text in texts {
        let shown = format!("{:?}", load(&text, &[]));
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
