//! `kontena-master bootstrap`: writes a complete configuration with fresh keys, and says what to do next.

use std::fs::OpenOptions;
use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{OpenOptionsExt, fchown};
use std::path::Path;

use anyhow::{Context, bail};
use kontena_store::DatabaseUri;
use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};

use crate::{cli, config};

/// The documented sample, into which the values go.
const SAMPLE: &str = include_str!("../../packaging/config/master.toml");
/// The service's user, who must be able to read the file, and that user's group.
const USER: &str = "kontena";
/// Letters and digits that nobody confuses in reading aloud.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

pub(crate) fn bootstrap(path: &Path, arguments: &cli::Bootstrap) -> anyhow::Result<()> {
    if path.exists() && !arguments.force {
        bail!(
            "{} is there already and was left as it is; --force replaces it (and its vault key, without which the \
             secrets in the database cannot be read)",
            path.display()
        );
    }
    let uri = database_uri(&UriSource { argument: arguments.mongodb_uri.as_deref(), file: None })?;
    DatabaseUri::from(uri.clone()).check().map_err(|error| anyhow::anyhow!("the URI {error}"))?;
    let mut values = vec![
        ("mongodb.uri", uri),
        // What an original left in the environment goes on in use: the database is encrypted with it.
        ("vault.key", from_environment("VAULT_KEY").unwrap_or_else(|| random(64))),
        ("access.initial_admin_code", from_environment("INITIAL_ADMIN_CODE").unwrap_or_else(|| random(32))),
        ("admin.token", random(48)),
    ];
    values.extend(from_environment("VAULT_IV").map(|iv| ("vault.iv", iv)));
    values.extend(arguments.name.as_deref().map(|name| ("name", name.into())));
    values.extend(arguments.advertise.as_deref().map(|url| ("http.advertise", url.into())));
    let text = filled(&values)?;
    config::check_text(path, &text)?;
    write(path, &text)?;
    println!(
        "wrote {} with fresh keys. Next:\n\n  1. Make the database user, if there is none yet (in mongosh):\n       {}\n  \
         2. kontena-master doctor\n  3. systemctl start kontena-master && systemctl status kontena-master\n  4. Copy \
         the same file to the other masters, and start them.\n\nThe first login as admin takes \
         access.initial_admin_code of that file: kontena master login --code CODE URL\nKeep a copy of vault.key: \
         without it the secrets in the database cannot be read.",
        path.display(),
        create_user_line(&values),
    );
    Ok(())
}

/// The line that makes the masters' database user with the least rights.
fn create_user_line(values: &[(&str, SecretString)]) -> String {
    let uri = values.iter().find(|(key, _)| *key == "mongodb.uri").map(|(_, uri)| uri.expose_secret());
    let database = uri
        .and_then(|uri| uri.split_once("://"))
        .and_then(|(_, rest)| rest.split_once('/'))
        .and_then(|(_, path)| path.split('?').next())
        .filter(|name| !name.is_empty())
        .unwrap_or("kontena_server");
    crate::doctor::create_user(database)
}

/// Where the URI of the database may stand, besides the environment and standard input.
pub(crate) struct UriSource<'a> {
    /// On the command line.
    pub(crate) argument: Option<&'a str>,
    /// In a file.
    pub(crate) file: Option<&'a Path>,
}

/// The URI of the database, from where its password is not seen.
pub(crate) fn database_uri(source: &UriSource<'_>) -> anyhow::Result<SecretString> {
    if let Some(path) = source.file {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("the URI cannot be read from {}", path.display()))?;
        return match text.trim() {
            "" => bail!("there is no URI in {}", path.display()),
            uri => Ok(uri.into()),
        };
    }
    if let Some(uri) = source.argument {
        if uri.contains('@') {
            bail!(
                "arguments are seen by everybody on this host: give a URI with a password in the environment \
                 (MONGODB_URI), or on standard input"
            );
        }
        return Ok(uri.into());
    }
    if let Some(uri) = from_environment("MONGODB_URI").or_else(|| from_environment("MONGOHQ_URL")) {
        return Ok(uri);
    }
    let input = std::io::stdin();
    if input.is_terminal() {
        print!("MongoDB URI (mongodb://user:password@host1,host2,host3/kontena_server?replicaSet=rs0): ");
        std::io::stdout().flush()?;
    }
    let mut line = String::new();
    input.lock().read_line(&mut line).context("the URI cannot be read from standard input")?;
    match line.trim() {
        "" => bail!("no URI of a database was given: see --help"),
        uri => Ok(uri.into()),
    }
}

/// What an original left there.
pub(crate) fn from_environment(name: &str) -> Option<SecretString> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).map(SecretString::from)
}

/// A fresh secret of so many letters and digits.
pub(crate) fn random(length: usize) -> SecretString {
    let mut rng = rand::rng();
    let letters = (0..length).map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]));
    SecretString::from(letters.collect::<String>())
}

/// The sample with these values in the places that are kept for them.
pub(crate) fn filled(values: &[(&str, SecretString)]) -> anyhow::Result<String> {
    let (mut table, mut text, mut left) = (String::new(), String::new(), values.to_vec());
    for line in SAMPLE.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = format!("{name}.");
        }
        let key = line.strip_prefix('#').and_then(|line| line.split_once(" = ")).map(|(key, _)| key);
        let value = key.and_then(|key| {
            let place = left.iter().position(|(name, _)| *name == format!("{table}{key}"))?;
            let (_, value) = left.remove(place);
            Some(format!("{key} = {}", toml::Value::String(value.expose_secret().to_owned())))
        });
        text.push_str(value.as_deref().unwrap_or(line));
        text.push('\n');
    }
    match left.first() {
        None => Ok(text),
        Some((key, _)) => bail!("the sample has no place for {key}"),
    }
}

/// Writes the file beside its place and moves it there, so that nobody reads half of it. Only root and the service
/// can read it.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let context = || format!("{} cannot be written", path.display());
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).with_context(context)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = Path::new(&name);
    let group = group_id();
    let mode = if group.is_some() { 0o640 } else { 0o600 };
    let _absent = std::fs::remove_file(fresh);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(fresh).with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)?;
    if let Some(group) = group {
        fchown(&file, None, Some(group)).with_context(context)?;
    }
    file.sync_all().with_context(context)?;
    std::fs::rename(fresh, path).with_context(context)
}

/// The service's group, if this is root on a host that has it.
fn group_id() -> Option<u32> {
    rustix::process::geteuid().is_root().then(|| id_in("/etc/group")).flatten()
}

/// The service's user and group, if this host has both.
pub(crate) fn service() -> Option<(u32, u32)> {
    id_in("/etc/passwd").zip(id_in("/etc/group"))
}

/// The id of the service's user or group in the file that lists them.
fn id_in(list: &str) -> Option<u32> {
    let text = std::fs::read_to_string(list).ok()?;
    let mut entries = text.lines().map(|line| line.split(':'));
    entries.find_map(|mut fields| fields.next().filter(|name| *name == USER).and(fields.nth(1)))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{check_text, keys};

    #[test]
    fn what_is_written_is_valid_and_complete() {
        let values = [
            ("mongodb.uri", "mongodb://u:p%40\"@db1/k".into()),
            ("vault.key", random(64)),
            ("vault.iv", random(16)),
            ("access.initial_admin_code", random(32)),
            ("admin.token", random(48)),
            ("name", "m\\1".into()),
            ("http.advertise", "http://m1:9292".into()),
        ];
        let text = filled(&values).unwrap();
        check_text(Path::new("master.toml"), &text).unwrap();
        assert!(filled(&[("no.such", "x".into())]).is_err());
    }

    #[test]
    fn the_sample_shows_every_key_once_and_is_valid_when_it_is_used() {
        let uncommented: Vec<&str> = SAMPLE
            .lines()
            .map(|line| line.strip_prefix('#').filter(|line| !line.starts_with(' ')).unwrap_or(line))
            // Files that would have to be there.
            .filter(|line| !line.starts_with("token_file") && !line.starts_with("ca_file"))
            .collect();
        let config = check_text(Path::new("master.toml"), &uncommented.join("\n")).unwrap();
        let shown: Vec<_> = config.described().into_iter().map(|(key, ..)| key).collect();
        let all: Vec<_> = keys().filter(|key| !["admin.token_file", "acme.ca_file"].contains(key)).collect();
        assert_eq!(shown, all);
        assert!(SAMPLE.contains("\n#token_file = ") && SAMPLE.contains("\n#ca_file = "));
    }

    #[test]
    fn two_keys_are_never_the_same() {
        assert_ne!(random(64).expose_secret(), random(64).expose_secret());
        assert_eq!(random(64).expose_secret().len(), 64);
    }
}
