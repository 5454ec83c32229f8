//! From the command line, the environment and the files to what the program works with.

use std::env;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use secrecy::SecretString;

use crate::cli::Cli;
use crate::client::contexts::{self, Context, Known};
use crate::clock::Moment;
use crate::preferences::{File, Preferences};

/// How large a token's file may be.
const TOKEN_MAX: u64 = 16 << 10;
/// How large the configuration may be.
const CONFIG_MAX: u64 = 1 << 20;
/// Where a master on this host listens if nothing says otherwise.
const DEFAULT_URL: &str = "http://127.0.0.1:9292";

/// What the program works with.
#[derive(Debug)]
pub(crate) struct Setup {
    pub(crate) preferences: Preferences,
    pub(crate) contexts: Vec<Context>,
    pub(crate) context: usize,
    /// What is worth a word, but no reason to stop.
    pub(crate) notes: Vec<String>,
}

impl Setup {
    pub(crate) fn new(cli: &Cli) -> Result<Self> {
        let preferences = preferences(cli)?;
        let mut notes = Vec::new();
        let token = token(cli)?;
        let original = known(&mut notes);
        let mut all = Vec::new();
        if let Some(url) = &cli.url {
            all.push(Context::url(url, token.clone(), "command line").map_err(anyhow::Error::msg)?);
        }
        if cli.socket.exists() {
            all.push(Context::socket(cli.socket.clone(), token.clone()));
        }
        let others = all.len();
        all.extend(original.contexts);
        let named = |name: &str| all.iter().skip(others).position(|context| context.name == name);
        let context = match &cli.context {
            Some(name) => {
                let known: Vec<&str> = all.iter().skip(others).map(|context| context.name.as_str()).collect();
                let Some(place) = named(name) else {
                    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                    bail!("there is no master {name:?} in ~/.kontena_client.json; it has: {known}");
                };
                others + place
            }
            None if others > 0 => 0,
            None => original.current.as_deref().and_then(named).unwrap_or(0),
        };
        if all.is_empty() {
            all.push(Context::url(DEFAULT_URL, token, "by default").map_err(anyhow::Error::msg)?);
        }
        Ok(Self { preferences, contexts: all, context, notes })
    }
}

fn preferences(cli: &Cli) -> Result<Preferences> {
    let file = match &cli.config {
        Some(path) => read_config(path)?,
        None => match config_path().filter(|path| path.exists()) {
            Some(path) => read_config(&path)?,
            None => File::default(),
        },
    };
    let mut preferences = Preferences::new(&file).map_err(anyhow::Error::msg)?;
    preferences.palette = cli.palette.unwrap_or(preferences.palette);
    preferences.ascii |= cli.ascii;
    preferences.mouse |= cli.mouse;
    preferences.read_only |= cli.read_only;
    // https://no-color.org: any value that is not empty.
    preferences.no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if let Some(zone) = &cli.time_zone {
        preferences.zone = crate::time::Zone::named(zone).map_err(anyhow::Error::msg)?;
    }
    Ok(preferences)
}

fn config_path() -> Option<PathBuf> {
    let base = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let base = base.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".config")))?;
    Some(base.join("kontena/tui.toml"))
}

fn read_config(path: &Path) -> Result<File> {
    let text = read(path, CONFIG_MAX).with_context(|| format!("{} cannot be read", path.display()))?;
    File::parse(path, &text).map_err(anyhow::Error::msg)
}

/// The token, from its file or from the environment; never from an argument, which every user of the host could
/// read.
fn token(cli: &Cli) -> Result<Option<SecretString>> {
    let text = match &cli.token_file {
        Some(path) => {
            Some(read(path, TOKEN_MAX).with_context(|| format!("{} cannot be read", path.display()))?)
        }
        None => env::var("KONTENA_TOKEN").ok(),
    };
    let Some(text) = text else { return Ok(None) };
    let token = text.trim();
    if token.is_empty() {
        return Ok(None);
    }
    // It goes into a header.
    if !token.chars().all(|char| char.is_ascii_graphic()) {
        bail!("the token has characters that no token has: is it the right file?");
    }
    Ok(Some(SecretString::from(token)))
}

/// What the original's command line knows. Whatever is wrong with its file is told and otherwise left alone.
fn known(notes: &mut Vec<String>) -> Known {
    let path = match env::var_os("KONTENA_CONFIG") {
        Some(path) => PathBuf::from(path),
        None => match env::var_os("HOME") {
            Some(home) => PathBuf::from(home).join(".kontena_client.json"),
            None => return Known::default(),
        },
    };
    match read(&path, contexts::FILE_MAX) {
        Ok(text) => {
            let known = contexts::parse(&text, Moment::now().wall_ms);
            notes.extend(known.faults.iter().map(|fault| format!("{}: {fault}", path.display())));
            known
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Known::default(),
        Err(error) => {
            notes.push(format!("{} cannot be read: {error}", path.display()));
            Known::default()
        }
    }
}

/// Reads a small text file.
pub(crate) fn read(path: &Path, most: u64) -> std::io::Result<String> {
    let mut text = Vec::new();
    std::fs::File::open(path)?.take(most + 1).read_to_end(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > most {
        return Err(std::io::Error::other(format!("it is larger than {most} bytes")));
    }
    String::from_utf8(text).map_err(|_| std::io::Error::other("it is not text"))
}
