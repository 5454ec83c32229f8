//! The configuration in three stages: fragments of what files, environment and credentials say, merged, then
//! checked.

mod acme;
mod fault;
mod fragment;
mod key;
mod original;
mod settings;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub(crate) use fault::Faults;
use fault::{Fault, Place};
use fragment::Fragment;
use kontena_server::ConfigurationDefaults;
pub(crate) use settings::Config;

/// Where systemd looks for credentials.
const CREDSTORE: &str = "/etc/credstore";

/// What is read, besides the environment.
#[derive(Debug, Default)]
struct Sources {
    /// The file that was asked for, whether it is there or not.
    path: PathBuf,
    /// The files that are there with their texts, in the order in which they override each other.
    files: Vec<(PathBuf, String)>,
    /// Where systemd put the credentials.
    credentials: Option<PathBuf>,
}

/// Reads the file at `path` if it is there, the files in the directory of the same name with `.d` behind it, the
/// environment, and the credentials of systemd. What comes later overrides what came before.
pub(crate) fn load(path: &Path) -> Result<Config, Faults> {
    // Outside of the service, root can see where the service's credentials come from.
    let store = || std::fs::read_dir(CREDSTORE).is_ok().then(|| PathBuf::from(CREDSTORE));
    let credentials = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from).or_else(store);
    let sources = Sources { path: path.to_owned(), files: files(path)?, credentials };
    merge(&sources, |name| std::env::var(name).ok())
}

/// The directory of files that override the one at `path`.
pub(crate) fn overrides(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".d");
    PathBuf::from(name)
}

/// Checks one text as if it stood at `path`, and nothing else were said anywhere.
pub(crate) fn check_text(path: &Path, text: &str) -> Result<Config, Faults> {
    let files = vec![(path.to_owned(), text.to_owned())];
    merge(&Sources { path: path.to_owned(), files, credentials: None }, |_| None)
}

/// The variable of the environment that sets a key, the first if there are several.
pub(crate) fn variable(key: &str) -> Option<&'static str> {
    key::find(key)?.variables.first().copied()
}

/// The names of all keys.
#[cfg(test)]
pub(crate) fn keys() -> impl Iterator<Item = &'static str> {
    key::ALL.into_iter().map(|key| key.name)
}

fn files(path: &Path) -> Result<Vec<(PathBuf, String)>, Faults> {
    let mut faults = Vec::new();
    let mut paths = vec![path.to_owned()];
    let directory = overrides(path);
    match std::fs::read_dir(&directory) {
        Ok(entries) => {
            let found = entries.flatten().map(|entry| entry.path());
            let mut found: Vec<_> =
                found.filter(|path| path.extension().is_some_and(|extension| extension == "toml")).collect();
            found.sort();
            paths.extend(found);
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => faults.push(unreadable(&directory, &error)),
    }
    let mut files = Vec::new();
    for path in paths {
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push((path, text)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => faults.push(unreadable(&path, &error)),
        }
    }
    if faults.is_empty() { Ok(files) } else { Err(Faults(faults)) }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Fault {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => {
            ": the service runs as the user kontena, so that chown root:kontena and chmod 0640 are right"
        }
        ErrorKind::InvalidData => ": it must be text in UTF-8",
        _ => "",
    };
    Fault::at(Place::File(path.into()), format!("cannot be read: {error}{remedy}"))
}

fn merge(sources: &Sources, variables: impl Fn(&'static str) -> Option<String>) -> Result<Config, Faults> {
    let mut faults = Vec::new();
    let mut merged = Fragment::default();
    for (path, text) in &sources.files {
        merged = merged.overridden_by(Fragment::of_file(path, text, &mut faults));
    }
    merged = merged.overridden_by(Fragment::of_environment(&variables, &mut faults));
    if let Some(directory) = &sources.credentials {
        merged = merged.overridden_by(Fragment::of_credentials(directory, &mut faults));
    }
    let path = sources.path.display();
    let looked_in = if sources.files.iter().any(|(found, _)| *found == sources.path) {
        path.to_string()
    } else {
        format!("{path}, which does not exist")
    };
    match settings::check(merged, &looked_in) {
        Ok(mut config) if faults.is_empty() => {
            config.settings.configuration_defaults = ConfigurationDefaults(original::defaults(&variables));
            Ok(config)
        }
        Ok(_) => Err(Faults(faults)),
        Err(more) => {
            // What a file that cannot be understood may well have said is not missed.
            let unread = !faults.is_empty();
            faults.extend(more.into_iter().filter(|fault| !(unread && fault.is_missing())));
            faults.sort_by_key(Fault::line);
            Err(Faults(faults))
        }
    }
}

#[cfg(test)]
mod tests;
