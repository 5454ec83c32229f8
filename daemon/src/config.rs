//! The configuration in three stages: what the file and the environment say, merged, then checked.

mod fragment;
mod settings;

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;

use fragment::Fragment;
pub(crate) use settings::Config;

/// The variables of the original that are honoured.
const VARIABLES: [&str; 6] = ["MONGODB_URI", "MONGOHQ_URL", "VAULT_KEY", "VAULT_IV", "PORT", "LOG_LEVEL"];

/// Reads the file at `path`, if it is there, and the environment.
pub(crate) fn load(path: &Path) -> anyhow::Result<Config> {
    let environment = VARIABLES
        .into_iter()
        .filter_map(|name| Some((name, std::env::var(name).ok().filter(|value| !value.is_empty())?)))
        .collect();
    let file = match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(error).with_context(|| format!("{} cannot be read", path.display())),
    };
    from_text(path, file.as_deref(), &environment)
}

fn from_text(
    path: &Path,
    file: Option<&str>,
    environment: &HashMap<&'static str, String>,
) -> anyhow::Result<Config> {
    let written = match file {
        Some(text) => Fragment::parse(text).map_err(|fault| anyhow::anyhow!("{}:{fault}", path.display()))?,
        None => Fragment::default(),
    };
    let merged = written.overridden_by(Fragment::from_environment(environment)?);
    settings::check(merged).map_err(|fault| match file {
        Some(_) => anyhow::anyhow!("{}: {fault}", path.display()),
        None => anyhow::anyhow!("{} does not exist, and with the environment alone: {fault}", path.display()),
    })
}

#[cfg(test)]
mod tests;
